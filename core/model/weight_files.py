"""Weights files as people have them: safetensors and torch.save's, wrapped and prefixed as trainers do; or something else.

What a file is, its content says, not its name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from torch import Tensor

from core.errors import MissingWeights
from core.files.untrusted import open_regular
from core.images.formats import describe
from core.model.safetensors_file import SafetensorsFile
from core.model.stored import DamagedFile, StoredTensor
from core.model.torch_file import HoldsObjects, read_torch_file

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".tar")
# Under these names trainers keep the network; others (averages of the weights) come after them.
_WRAPPERS = ("state_dict", "model", "model_state_dict", "model_state", "net", "network")
# Taken off when nothing fits yet, before timm's converters see the names.
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "backbone.")
_DEEPEST_WRAPPER = 4
_MOST_STATE_DICTS = 20
_LONGEST_PREFIX = 6  # parts: "student.module.backbone."

Stored = dict[str, StoredTensor]


@dataclass(frozen=True)
class StateDict:
    """Named tensors, and where they lie in the file: `name` "" for the file itself, "checkpoint.student" within dictionaries.

    `rank` counts the names on the way there that are not those under which trainers keep the network.
    """

    name: str
    rank: int
    tensors: Stored


@contextmanager
def state_dicts(path: Path) -> Iterator[list[StateDict]]:
    """The state dicts in a weights file, at least one, the likeliest first; their tensors are read within the block.

    A link is followed: whoever names a file may keep it elsewhere. What it leads to has to be a regular file.

    Raises:
        MissingWeights: no such file, no weights file, damaged, or without named tensors; the message names what it is.
    """
    try:
        resolved = path.resolve()
        if path.suffix.lower() not in SUFFIXES and resolved.is_file():
            raise MissingWeights(f"model.weights: {path}: expected a file ending in {', '.join(SUFFIXES)}, got {path.suffix!r}")
        stream = open_regular(resolved)
    except FileNotFoundError as error:
        raise MissingWeights(
            f"model.weights: {path}: no such file. Give none, hub, or the path of a {' or '.join(SUFFIXES[:2])} file"
        ) from error
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError, before Python 3.13: links in a circle
        reason = getattr(error, "strerror", None) or str(error)
        raise MissingWeights(f"model.weights: {path}: cannot be read: {reason}. Give the path of a weights file") from error
    with stream:
        try:
            found = _found(stream)
        except HoldsObjects as error:
            raise MissingWeights(f"model.weights: {path}: cannot be read as tensors alone: {error}. {_ALONE}") from error
        except DamagedFile as error:
            raise MissingWeights(f"model.weights: {path}: {error}. {_REMEDY}") from error
        except MemoryError as error:
            raise MissingWeights(
                f"model.weights: {path}: {error or 'too large for the memory'}. Close other programs"
            ) from error
        except OSError as error:
            raise MissingWeights(f"model.weights: {path}: cannot be read: {error.strerror or error}") from error
        yield found


_REMEDY = "Fetch it again, or save it as safetensors or with torch.save(model.state_dict(), path)"
_ALONE = (
    "In the program that wrote it, save the network's state dict alone: torch.save(model.state_dict(), path), or "
    "torch.save(checkpoint['state_dict'], path)"
)


def _found(stream: BinaryIO) -> list[StateDict]:
    head = stream.read(512)
    if head[8:9] == b"{" and head[4:8] == bytes(4):  # after the header's length, which is below 4 GiB
        try:
            tensors = SafetensorsFile(stream).tensors
        except DamagedFile as error:
            raise DamagedFile(f"not a readable safetensors file: {error}") from error
        if not tensors:
            raise DamagedFile("holds no named tensors; expected the state dict of a network")
        return [StateDict("", 0, tensors)]
    if head[257:262] == b"ustar":
        raise DamagedFile("a tar archive, which torch wrote until 2017 or which has files to be unpacked")
    if not head.startswith((b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")):
        raise DamagedFile(f"expected weights (safetensors, or what torch.save writes), got {describe(head)}")
    try:
        content = read_torch_file(stream)
    except HoldsObjects:
        raise
    except DamagedFile as error:
        raise DamagedFile(f"cannot be read as tensors alone: {error}") from error
    found = _candidates(content)
    if not found:
        raise DamagedFile(f"holds no named tensors; expected the state dict of a network, got {_in_words(content)}")
    return found


def _candidates(content: Any) -> list[StateDict]:
    """Mappings with tensors by name, from the outside in; those under the usual names first."""
    found: list[StateDict] = []
    waiting: list[tuple[Any, tuple[str, ...], int]] = [(content, (), 0)]
    seen: set[int] = set()
    while waiting and len(found) < _MOST_STATE_DICTS:
        value, way, rank = waiting.pop(0)
        if not isinstance(value, Mapping) or id(value) in seen:
            continue
        seen.add(id(value))
        tensors = {key: _stored(each) for key, each in value.items() if isinstance(key, str) and isinstance(each, Tensor)}
        if tensors:
            found.append(StateDict(".".join(way), rank, tensors))
        if len(way) < _DEEPEST_WRAPPER:
            waiting += [(each, (*way, str(key)[:40]), rank + (key not in _WRAPPERS)) for key, each in value.items()]
    return sorted(found, key=lambda each: each.rank)


def _stored(tensor: Tensor) -> StoredTensor:
    return StoredTensor(tuple(tensor.shape), tensor.dtype, lambda: tensor)


def _in_words(content: Any) -> str:
    if isinstance(content, Tensor):
        return f"one tensor without a name, of shape {list(content.shape)}"
    if isinstance(content, Mapping):
        keys = ", ".join(str(key)[:30] for key in list(content)[:8])
        return f"a dictionary of {keys}" if keys else "an empty dictionary"
    if isinstance(content, list | tuple):
        return f"a {type(content).__name__} of {len(content)} values: choose one network and save its state dict"
    return f"a value of type {type(content).__name__}"


def prefixes(state: Stored, wanted: Set[str]) -> Counter[str]:
    """What stands before names of the network ("", "module.", "student.backbone."), and before how many."""
    found: Counter[str] = Counter()
    for name in state:
        parts = name.split(".", _LONGEST_PREFIX)
        for cut in range(len(parts)):
            if ".".join(parts[cut:]) in wanted:
                found[name[: len(name) - len(".".join(parts[cut:]))]] += 1
    return found


def usual(prefix: str) -> bool:
    """Whether trainers put this before the names of the network itself, and something else before those of a copy."""
    return not prefix or prefix in _PREFIXES


def without_prefix(state: Stored, wanted: Set[str]) -> Stored:
    """Without what a trainer or a class of its own put before the names ("module.", "resnet."), where names then fit."""
    found = prefixes(state, wanted)
    if found:
        # The commonest; of equally common ones the usual, then the shortest.
        return _cut(state, min(found, key=lambda prefix: (-found[prefix], not usual(prefix), len(prefix))))
    for _ in range(_LONGEST_PREFIX):
        prefix = next((prefix for prefix in _PREFIXES if all(name.startswith(prefix) for name in state)), "")
        state = _cut(state, prefix)
    return state


def _cut(state: Stored, prefix: str) -> Stored:
    """Names with the prefix lose it; others stay, where no name takes their place."""
    shorter = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    return {**{name: tensor for name, tensor in state.items() if not name.startswith(prefix)}, **shorter}
