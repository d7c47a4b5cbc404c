"""Files that `torch.save` wrote (.pth, .pt): looked at first, then read by `torch.load(weights_only=True)`.

They hold a pickle, which is a program. torch's restricted reader runs nothing of a file's choosing, but it inflates archives,
makes copies and hashes values as the file says; and what it says about objects that it does not know is advice to switch it
off. So what a file would cost is bounded beforehand, and the objects in it are named; see `torch_pickle`.
Formats: torch/serialization.py (ZIP since 1.6; before that a row of pickles and the storages after them).
"""

from __future__ import annotations

import io
import math
import os
import pickle
import struct
import threading
import zipfile
from collections.abc import Iterable
from typing import Any, BinaryIO

import torch
from torch import Tensor

from core.model.stored import DamagedFile, require_memory
from core.model.torch_pickle import STAND_INS, PickleCheck

LARGEST_PICKLE = 1 << 23  # bytes; tensors are not in it
DEEPEST = 50  # containers inside one another
_LARGEST_DIRECTORY = 1 << 22  # bytes of the archive's table of contents: some 50,000 tensors
_MOST_SHARED = 4  # times the file's size: tied weights and averages share values
_LEGACY_START = pickle.dumps(torch.serialization.MAGIC_NUMBER, protocol=2)
_LEGACY_PICKLES = 5  # that number, the version, the machine, the content, the storages' keys
_LOADING = threading.Lock()  # what torch's reader knows besides is common to all threads
# What odd files raise in zipfile, in pickletools and in torch.
_ANYTHING = (
    *(pickle.UnpicklingError, EOFError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError),
    *(RecursionError, AssertionError, NotImplementedError, RuntimeError, struct.error, zipfile.BadZipFile),
    Warning,  # about odd names and numbers, where warnings are errors
)


class HoldsObjects(DamagedFile):
    """A file with objects in it that are neither tensors nor plain values."""

    def __init__(self, names: Iterable[str]) -> None:
        names = ["".join(each if each.isprintable() else "?" for each in name[:100]) for name in names]
        more = f" and {len(names) - 4} more" if len(names) > 4 else ""
        super().__init__(
            f"it holds objects besides tensors and plain values ({', '.join(names[:4])}{more}), which are not made here"
        )


def read_torch_file(stream: BinaryIO) -> Any:
    """What was saved: plain values and dense tensors, on the processor, in dictionaries, lists and tuples made anew.

    Tensors may share their values, as they did when they were saved. Plain objects of argparse, numpy and pathlib are
    replaced by an empty one.

    Raises:
        DamagedFile: it is no such file, damaged or compressed, has objects (HoldsObjects), or tensors beyond its size.
        MemoryError: the file is larger than the memory that is free.
        OSError: it cannot be read.
    """
    size = stream.seek(0, os.SEEK_END)
    require_memory(size, "its tensors")
    try:
        stream.seek(0)
        check = _checked_archive(stream, size) if stream.read(4) == b"PK\x03\x04" else _checked_legacy(stream, size)
        if check.unknown:
            raise HoldsObjects(check.unknown)
        stream.seek(0)
        with _LOADING, torch.serialization.safe_globals([(kind, name) for name, kind in STAND_INS.items()]):
            content = torch.load(stream, map_location="cpu", weights_only=True)
        return _plain(content, size)
    except (DamagedFile, OSError):
        raise
    except _ANYTHING as error:
        raise DamagedFile(f"its contents cannot be unpacked ({type(error).__name__}{_words(error)})") from error


def _words(error: Exception) -> str:
    """The reason, without torch's advice to have the file's program run."""
    words = str(error).rpartition("WeightsUnpickler error:")[2].partition("Check the documentation")[0]
    words = " ".join(words.split())[:120]
    return f": {words}" if words and "weights_only" not in words and "safe_globals" not in words else ""


# ---------------------------------------------------------------------- before loading


def _checked_archive(stream: BinaryIO, size: int) -> PickleCheck:
    """The check of data.pkl in a ZIP archive that cannot grow: torch.save never compresses."""
    _check_directory(stream, size)
    with zipfile.ZipFile(stream) as archive:
        members = archive.infolist()
        for member in members:
            if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size or member.flag_bits & 1:
                raise DamagedFile(f"{member.filename[:80]!r} in it is compressed or encrypted, as torch.save never writes it")
        total = sum(member.file_size for member in members)
        if total > size:
            raise DamagedFile(f"its members claim {total:,} bytes, the whole file has {size:,}")
        # torch's reader takes upper and lower case for the same, and the first member's folder for everyone's.
        names = {member.orig_filename.lower() for member in members}
        root = members[0].orig_filename.partition("/")[0] if members else ""
        if len(names) < len(members) or any("\0" in name for name in names):
            raise DamagedFile("several of its members have the same name")
        if f"{root}/constants.pkl" in archive.NameToInfo:
            raise DamagedFile("it is a TorchScript program, not a state dict: save model.state_dict() with torch.save")
        content = archive.NameToInfo.get(f"{root}/data.pkl")
        if content is None:
            raise DamagedFile("it is a ZIP archive without the data.pkl that torch.save writes")
        if content.file_size > LARGEST_PICKLE:
            raise DamagedFile(f"its data.pkl has {content.file_size:,} bytes, more than {LARGEST_PICKLE:,}")
        for member in members:
            if member.CRC:  # torch can be computed to write none
                _check_sum(archive, member)
        check = PickleCheck()
        check.read(io.BytesIO(archive.read(content)))
    return check


def _check_directory(stream: BinaryIO, size: int) -> None:
    """The table of contents ends the file, as torch writes it: so every reader finds the same one. It is small, too."""
    stream.seek(max(0, size - 98))
    tail = stream.read().rjust(98, b"\0")
    if tail[-22:-18] != b"PK\x05\x06" or tail[-2:] != b"\0\0":
        raise DamagedFile("its ZIP archive is cut short, or has more behind it")
    length, offset = struct.unpack("<II", tail[-10:-2])
    end = size - 22
    if tail[-42:-38] == b"PK\x06\x07":  # 64-bit sizes
        length, offset = struct.unpack("<QQ", tail[40:56])
        end = size - 98
        if tail[:4] != b"PK\x06\x06" or struct.unpack("<Q", tail[-34:-26])[0] != end:
            raise DamagedFile("its ZIP archive has two tables of contents")
    if offset + length != end or length > _LARGEST_DIRECTORY:
        raise DamagedFile(f"its table of contents of {length:,} bytes is not at its end, or larger than {_LARGEST_DIRECTORY:,}")


def _check_sum(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """torch's own reader compares no check sums."""
    try:
        with archive.open(member) as content:
            while content.read(1 << 22):
                pass
    except zipfile.BadZipFile as error:
        raise DamagedFile(f"the check sum of {member.filename[:80]!r} in it differs: {error}") from error


def _checked_legacy(stream: BinaryIO, size: int) -> PickleCheck:
    """The check of the pickles, whose storages torch's reader would make as large as they claim to be."""
    stream.seek(0)
    head = io.BytesIO(stream.read(LARGEST_PICKLE))
    if not head.getvalue().startswith(_LEGACY_START):
        raise DamagedFile("it is a pickle, but not one that torch.save wrote")
    check = PickleCheck()
    for _ in range(_LEGACY_PICKLES):
        check.read(head)
    if not check.unknown and sorted(check.result) != sorted(check.storages):  # one left out would hold whatever memory holds
        raise DamagedFile("its list of storages differs from those in use")
    claimed = sum(check.storages.values())
    if claimed > size:
        raise DamagedFile(f"its storages claim {claimed:,} values, the whole file has {size:,} bytes")
    return check


# ---------------------------------------------------------------------- after loading


def _plain(content: Any, size: int) -> Any:
    """The same containers with tensors that are nothing more. What occurs twice is made once, however it is entangled."""
    known: dict[int, Any] = {}
    inside: set[int] = set()
    total = 0

    def plain(value: Any, depth: int) -> Any:
        nonlocal total
        if id(value) in known:
            return known[id(value)]
        if depth > DEEPEST or id(value) in inside:
            raise DamagedFile(f"its containers lie more than {DEEPEST} deep in one another, or in themselves")
        result = value
        if isinstance(value, dict | list | tuple):
            inside.add(id(value))
            if isinstance(value, dict):
                result = {key: plain(each, depth + 1) for key, each in dict.items(value)}
            else:
                made = (plain(each, depth + 1) for each in value)
                result = list(made) if isinstance(value, list) else tuple(made)
            inside.discard(id(value))
        elif isinstance(value, Tensor):
            result = _plain_tensor(value)
            total += result.nbytes
            if total > _MOST_SHARED * size:
                raise DamagedFile("its tensors share their values so often that they would need many times the file's size")
        known[id(value)] = result
        return result

    return plain(content, 1)


def _plain_tensor(value: Tensor) -> Tensor:
    """Raises DamagedFile when it has more elements than its storage, which a few bytes could then make huge."""
    tensor = Tensor.detach(value)  # without the attributes that a file can give it
    if math.prod(tensor.shape) * tensor.itemsize > tensor.untyped_storage().nbytes():
        raise DamagedFile(f"a tensor of shape {list(tensor.shape)[:8]} does not fit its storage")
    return tensor
