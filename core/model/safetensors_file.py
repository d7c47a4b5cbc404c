"""The safetensors format: 8 bytes with the header's length, a JSON header, and the tensors one after another.

Read here and not by the package, because a header has to be judged before its tensors are loaded, from a file that stays
open: who maps a file that another process cuts short dies of it.
Format: https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any, BinaryIO

import torch
from torch import Tensor

from core.files.untrusted import parse_json
from core.model.stored import DamagedFile, StoredTensor

_LARGEST_HEADER = 1 << 24  # bytes; a network of 4,000 tensors has half a megabyte
_CHUNK = 1 << 22
_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


class SafetensorsFile:
    """The tensors of an open file, by name; nothing but the header has been read."""

    def __init__(self, stream: BinaryIO) -> None:
        """Raises DamagedFile when the header is not one, or does not fit the file."""
        self._stream = stream
        size = stream.seek(0, 2)
        stream.seek(0)
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or not 2 <= length <= min(size - 8, _LARGEST_HEADER):
            raise DamagedFile(f"its header says {length:,} bytes, the file has {size:,}")
        self._start = 8 + length
        try:
            header = parse_json(stream.read(length))
        except ValueError as error:
            raise DamagedFile(f"its header is no JSON: {error}") from error
        if not isinstance(header, dict):
            raise DamagedFile("its header is no JSON object")
        header.pop("__metadata__", None)
        entries = {str(name): _entry(str(name), entry) for name, entry in header.items()}
        _check_coverage(entries, size - self._start)
        self._offsets = {name: begin for name, (_, _, begin, _) in entries.items()}
        self.tensors: dict[str, StoredTensor] = {
            name: StoredTensor(shape, dtype, lambda name=name: self._load(name))  # type: ignore[misc]
            for name, (shape, dtype, _, _) in entries.items()
        }

    def weights_digest(self) -> str:
        """SHA-256 of the tensors, in hex: of each, by name, the name, type, shape and values. Bit-equal weights have equal
        digests, whatever else stands in the header and wherever in the file a tensor lies."""
        found = hashlib.sha256()
        for name in sorted(self.tensors):
            tensor = self.tensors[name]
            found.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode("utf-8"))
            self._stream.seek(self._start + self._offsets[name])
            left = tensor.nbytes
            while left:
                chunk = self._stream.read(min(_CHUNK, left))
                if not chunk:
                    raise DamagedFile(f"{name[:200]}: the file ends before its values")
                found.update(chunk)
                left -= len(chunk)
        return found.hexdigest()

    def file_digest(self) -> str:
        """SHA-256 of the whole file, in hex: what earlier versions wrote into their cards."""
        found = hashlib.sha256()
        self._stream.seek(0)
        while chunk := self._stream.read(_CHUNK):
            found.update(chunk)
        return found.hexdigest()

    def read_into(self, name: str, target: Tensor) -> None:
        """Read a tensor into another one of its shape and dtype, which is contiguous: without a second copy in memory.

        Raises:
            DamagedFile: the file has become shorter.
        """
        if not target.numel():
            return
        content = memoryview(target.detach().reshape(-1).view(torch.uint8).numpy())
        self._stream.seek(self._start + self._offsets[name])
        done = 0
        while done < len(content):
            count = self._stream.readinto(content[done:])  # type: ignore[attr-defined]
            if not count:
                raise DamagedFile(f"{name}: the file ends before its values")
            done += count

    def _load(self, name: str) -> Tensor:
        stored = self.tensors[name]
        tensor = torch.empty(stored.shape, dtype=stored.dtype)
        self.read_into(name, tensor)
        return tensor


def _entry(name: str, entry: Any) -> tuple[tuple[int, ...], torch.dtype, int, int]:
    """(shape, dtype, begin, end) of a header's entry."""
    if not isinstance(entry, Mapping):
        raise DamagedFile(f"{name[:200]}: its entry is no JSON object")
    dtype = _DTYPES.get(entry["dtype"]) if isinstance(entry.get("dtype"), str) else None
    if dtype is None:
        raise DamagedFile(f"{name[:200]}: values of type {str(entry.get('dtype'))[:20]!r} are not known here")
    shape: Any = entry.get("shape")
    offsets: Any = entry.get("data_offsets")
    if not _whole(shape) or not _whole(offsets) or len(offsets) != 2:
        raise DamagedFile(f"{name[:200]}: its shape and place are no whole numbers")
    if math.prod(shape) * dtype.itemsize != offsets[1] - offsets[0]:
        raise DamagedFile(f"{name[:200]}: {offsets[1] - offsets[0]:,} bytes are no tensor of shape {shape[:8]}")
    return tuple(shape), dtype, offsets[0], offsets[1]


def _whole(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= 64 and all(type(each) is int and each >= 0 for each in value)


def _check_coverage(entries: Mapping[str, tuple[tuple[int, ...], torch.dtype, int, int]], size: int) -> None:
    """Raises DamagedFile unless the tensors lie one after another and end with the file: no gap, no byte counted twice."""
    end = 0
    for name, (_, _, begin, after) in sorted(entries.items(), key=lambda each: each[1][2:]):
        if begin != end:
            raise DamagedFile(f"{name[:200]}: begins at byte {begin:,} instead of {end:,}")
        end = after
    if end != size:
        raise DamagedFile(f"its tensors have {end:,} bytes, the file has {size:,} for them: it is cut short or has more")
