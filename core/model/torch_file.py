"""Files that `torch.save` wrote (.pth, .pt), read without running anything in them.

They hold a pickle, which is a program: it names functions and classes and has them called. Here the pickle machine knows a
dozen names, those of plain containers and tensors, and to each of them answers with a function of its own; whatever else
is named becomes a `Foreign`, which does nothing. No module is imported and no object of a file's choosing is made. So the
tensors of a checkpoint are found beside hyper-parameters, callbacks and other objects of its trainer, too.

What `torch.load(weights_only=True)` leaves open is bounded as well: archives are never inflated, sizes are compared with
those of the file, and a tensor is read only when it is asked for.
Formats: torch/serialization.py (zip since 1.6; before that a row of pickles and the storages after them).
"""

from __future__ import annotations

import io
import math
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar, cast

import torch
from torch import Tensor

from core.model.stored import DamagedFile, StoredTensor

LARGEST_PICKLE = 1 << 23  # bytes; tensors are not in it
DEEPEST = 50  # containers inside one another
_LARGEST_DIRECTORY = 1 << 24  # bytes of the archive's table of contents
_MOST_NAMES = 10_000  # of functions and classes
_MOST_SHARED = 4  # times the file's size: tied weights and averages share values
_MOST_COPIED = 1_000_000  # entries of dictionaries made from lists
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LOCAL_HEADER = 30  # bytes, before name and extra field
_STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "UntypedStorage": torch.uint8,
}
_DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in _STORAGES.values()}
# What damaged bytes raise in a pickle machine, and in the ones below it.
_ANYTHING = (
    *(pickle.UnpicklingError, EOFError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError),
    *(RecursionError, AssertionError, NotImplementedError, RuntimeError, struct.error, zipfile.BadZipFile),
)


@dataclass(frozen=True)
class Foreign:
    """An object in the file that is neither a plain value nor a tensor: only its name ("module.Class") is known."""

    kind: str

    def append(self, *_: Any) -> None:
        """The pickle machine fills what it takes for a list, a dictionary or a set; nothing is kept."""

    extend = add = update = __setitem__ = append

    def __call__(self, *_: Any, **__: Any) -> Foreign:
        """What a function that is not known here gives is not known either."""
        return self


@dataclass(frozen=True)
class _Kind:
    """A function or class that is not known here; calling it gives a Foreign."""

    name: str

    def __call__(self, *_: Any, **__: Any) -> Foreign:
        return Foreign(self.name)


@dataclass(frozen=True)
class _Storage:
    """A row of `count` numbers in the file."""

    key: str
    dtype: torch.dtype
    count: int


@dataclass(frozen=True)
class _View:
    """A tensor as the pickle describes it, checked by `_stored`."""

    storage: Any
    offset: Any
    size: Any
    stride: Any
    dtype: Any = None


def read_torch_file(stream: BinaryIO) -> Any:
    """What was saved: plain values, containers, `StoredTensor` for tensors, `Foreign` for everything else.

    The tensors are read from `stream` when they are loaded: keep it open until then.

    Raises:
        DamagedFile: it is no such file, damaged, compressed, or would need more memory than it has bytes.
        OSError: it cannot be read.
    """
    size = stream.seek(0, 2)
    stream.seek(0)
    source = _Archive(stream, size) if stream.read(4) == b"PK\x03\x04" else _Legacy(stream, size)
    stream.seek(0)
    content = _guarded(source.content)
    return _resolved(content, source, size)


def loaded(value: Any) -> Any:
    """`value` with its StoredTensors loaded; dictionaries, lists and tuples inside it are made anew.

    Raises: as `read_torch_file`.
    """
    return _mapped(value, lambda each: each.load() if isinstance(each, StoredTensor) else each)


def _guarded(step: Callable[[], Any]) -> Any:
    try:
        return step()
    except DamagedFile:
        raise
    except _ANYTHING as error:
        words = " ".join(str(error).split())[:120]
        raise DamagedFile(f"its contents cannot be unpacked ({type(error).__name__}{': ' if words else ''}{words})") from error


# ---------------------------------------------------------------------- the pickle machine


class _Unpickler(pickle._Unpickler):
    """In Python, not in C: the C one makes a table as long as the largest number by which a file remembers a value."""

    dispatch: ClassVar = dict(pickle._Unpickler.dispatch)

    def __init__(self, stream: Any, storage: Callable[[Any], Any]) -> None:
        super().__init__(stream, encoding="utf-8", errors="replace")
        self._storage = storage
        self._names: dict[tuple[str, str], Any] = {}
        self._copied = 0

    def persistent_load(self, pid: Any) -> Any:
        return self._storage(pid)

    def find_class(self, module: str, name: str, /) -> Any:
        """One of our own functions and types, or a _Kind. Never what the name stands for in Python."""
        known = {
            "collections.OrderedDict": self._dictionary,
            "collections.defaultdict": self._default_dictionary,
            "torch.Size": _as_tuple,
            "torch._utils._rebuild_tensor": _view,
            "torch._utils._rebuild_tensor_v2": _view,
            "torch._utils._rebuild_tensor_v3": _typed_view,
            "torch._utils._rebuild_parameter": _first,
            "torch._utils._rebuild_parameter_with_state": _first,
            "torch.nn.parameter.Parameter": _first,
        }
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        if (module, name) == ("torch.storage", "UntypedStorage"):
            return torch.uint8
        full = f"{module}.{name}"
        if full in known:
            return known[full]
        if len(self._names) >= _MOST_NAMES:
            raise DamagedFile(f"it names more than {_MOST_NAMES:,} functions and classes")
        return self._names.setdefault(
            (module, name), _Kind("".join(each if each.isprintable() else "?" for each in full[:120]))
        )

    def _dictionary(self, *pairs: Any) -> dict[Any, Any]:
        if not pairs:
            return {}
        self._copied += len(pairs[0])
        if self._copied > _MOST_COPIED:
            raise DamagedFile("its dictionaries are copies of copies")
        return {_key(key): value for key, value in pairs[0]}

    def _default_dictionary(self, *_: Any) -> dict[Any, Any]:
        return {}

    def _build(self) -> None:
        """Attributes given to an object: left out. Ours have none, and those of others are not there."""
        cast(Any, self).stack.pop()

    def _fill(self) -> None:
        entries = cast(Any, self).pop_mark()
        self._put(zip(entries[::2], entries[1::2], strict=True))

    def _fill_one(self) -> None:
        value = cast(Any, self).stack.pop()
        self._put([(cast(Any, self).stack.pop(), value)])

    def _put(self, entries: Iterable[tuple[Any, Any]]) -> None:
        target = cast(Any, self).stack[-1]
        if isinstance(target, dict):  # a Foreign is filled, too, but keeps nothing
            target.update((_key(key), value) for key, value in entries)

    def _dictionary_of_stack(self) -> None:
        entries = cast(Any, self).pop_mark()
        cast(Any, self).append({_key(key): value for key, value in zip(entries[::2], entries[1::2], strict=True)})

    def _set_of_stack(self) -> None:
        cast(Any, self).append(frozenset(map(_key, cast(Any, self).pop_mark())))

    def _add_to_set(self) -> None:
        entries = cast(Any, self).pop_mark()
        target = cast(Any, self).stack[-1]
        if isinstance(target, set):
            target.update(map(_key, entries))

    def _make(self) -> None:
        arguments = cast(Any, self).stack.pop()
        kind = cast(Any, self).stack.pop()
        cast(Any, self).append(kind(*arguments))

    def _make_with_keywords(self) -> None:
        cast(Any, self).stack.pop()
        self._make()

    def _refuse(self) -> None:
        raise DamagedFile("its pickle uses an instruction that torch.save never writes")


for _code, _step in {
    pickle.BUILD: _Unpickler._build,
    pickle.SETITEM: _Unpickler._fill_one,
    pickle.SETITEMS: _Unpickler._fill,
    pickle.DICT: _Unpickler._dictionary_of_stack,
    pickle.FROZENSET: _Unpickler._set_of_stack,
    pickle.ADDITEMS: _Unpickler._add_to_set,
    pickle.NEWOBJ: _Unpickler._make,
    pickle.NEWOBJ_EX: _Unpickler._make_with_keywords,
    # These reserve memory by a number in the file, or call what other programs registered in this process.
    pickle.BYTEARRAY8: _Unpickler._refuse,
    pickle.NEXT_BUFFER: _Unpickler._refuse,
    pickle.READONLY_BUFFER: _Unpickler._refuse,
    pickle.EXT1: _Unpickler._refuse,
    pickle.EXT2: _Unpickler._refuse,
    pickle.EXT4: _Unpickler._refuse,
}.items():
    _Unpickler.dispatch[_code[0]] = cast(Any, _step)


def _key(value: Any) -> Any:
    """A value that may be looked up: Python hashes nested tuples without end, until the process dies."""
    simple = (str, int, float, complex, bytes, type(None), torch.dtype, Foreign, _Kind)
    if isinstance(value, simple) or (isinstance(value, tuple) and all(isinstance(each, simple) for each in value)):
        return value
    raise DamagedFile("a dictionary or set in it has keys that are no plain values")


def _as_tuple(values: Any = ()) -> tuple[Any, ...]:
    return values if isinstance(values, tuple) else tuple(values[:64])


def _view(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> _View:
    return _View(storage, offset, size, stride)


def _typed_view(storage: Any, offset: Any, size: Any, stride: Any, _grad: Any, _hooks: Any, dtype: Any, *_: Any) -> Any:
    return _View(storage, offset, size, stride, dtype) if isinstance(dtype, torch.dtype) else Foreign("a tensor of a rare type")


def _first(value: Any = None, *_: Any) -> Any:
    return value


# ---------------------------------------------------------------------- the two formats


class _Archive:
    """The zip format: data.pkl, and a member for each storage. torch.save never compresses them."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream = stream
        self._size = size
        self._members: dict[str, zipfile.ZipInfo] = {}
        self._root = ""

    def content(self) -> Any:
        """The unpickled data.pkl, with _View in the place of tensors."""
        with zipfile.ZipFile(cast(Any, _Bounded(self._stream, _LARGEST_DIRECTORY))) as archive:
            members = archive.infolist()
        for member in members:
            if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size or member.flag_bits & 1:
                raise DamagedFile(f"{member.filename[:80]!r} in it is compressed or encrypted, as torch.save never writes it")
        total = sum(member.file_size for member in members)
        if total > self._size:
            raise DamagedFile(f"its members claim {total:,} bytes, the whole file has {self._size:,}")
        self._members = {member.filename: member for member in members}
        pickles = [name for name in self._members if name.rpartition("/")[2] == "data.pkl" and name.count("/") <= 1]
        if not pickles:
            raise DamagedFile("it is a ZIP archive without the data.pkl that torch.save writes")
        self._root = pickles[0].removesuffix("data.pkl")
        if self._root + "constants.pkl" in self._members:
            raise DamagedFile("it is a TorchScript program, not a state dict: save model.state_dict() with torch.save")
        order = self._members.get(self._root + "byteorder")
        if order is not None and self._bytes(order, 16) != b"little":
            raise DamagedFile("it was written on a big-endian machine")
        return _Unpickler(io.BytesIO(self._bytes(self._members[pickles[0]], LARGEST_PICKLE)), self._persistent).load()

    def _persistent(self, pid: Any) -> _Storage:
        _, dtype, key, _, count = pid
        storage = _checked_storage(key, dtype, count)
        member = self._members.get(f"{self._root}data/{key}")
        if member is None:
            raise DamagedFile(f"its storage {key[:20]!r} is missing: the file is cut short")
        if member.file_size != storage.count * storage.dtype.itemsize:
            raise DamagedFile(f"its storage {key[:20]!r} has {member.file_size:,} bytes, not what its pickle says")
        return storage

    def read(self, storage: _Storage, begin: int, end: int) -> bytearray:
        """These bytes of a storage."""
        return self._bytes(self._members[f"{self._root}data/{storage.key}"], self._size, begin, end)

    def _bytes(self, member: zipfile.ZipInfo, limit: int, begin: int = 0, end: int = -1) -> bytearray:
        if member.file_size > limit:
            raise DamagedFile(f"{member.filename[:80]!r} in it has {member.file_size:,} bytes, more than {limit:,}")
        end = member.file_size if end < 0 else end
        stream = self._stream
        stream.seek(member.header_offset)
        header = stream.read(_LOCAL_HEADER)
        if len(header) < _LOCAL_HEADER or header[:4] != b"PK\x03\x04":
            raise DamagedFile("its table of contents points at something else")
        stream.seek(int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little") + begin, 1)
        content = _exactly(stream, end - begin)
        if (
            len(content) == member.file_size and member.CRC and zlib.crc32(content) != member.CRC
        ):  # torch can be told to write none
            raise DamagedFile(f"the check sum of {member.filename[:80]!r} in it differs")
        return content


class _Legacy:
    """The format before torch 1.6: pickles of a number, the version, the machine, the content and the keys; storages."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream = stream
        self._size = size
        self._storages: dict[str, _Storage] = {}
        self._places: dict[str, int] = {}

    def content(self) -> Any:
        """The unpickled content, with _View in the place of tensors; the places of the storages are found."""
        stream = _Bounded(self._stream, LARGEST_PICKLE, in_all=True)
        magic = _Unpickler(stream, self._persistent).load()
        if magic != _LEGACY_MAGIC:
            raise DamagedFile("it is a pickle, but not one that torch.save wrote")
        _Unpickler(stream, self._persistent).load()  # the version of the format
        machine = _Unpickler(stream, self._persistent).load()
        if isinstance(machine, dict) and machine.get("little_endian") is False:
            raise DamagedFile("it was written on a big-endian machine")
        content = _Unpickler(stream, self._persistent).load()
        keys = _Unpickler(stream, self._persistent).load()
        if not isinstance(keys, list) or set(map(_key, keys)) != self._storages.keys():
            raise DamagedFile("its list of storages differs from those in use")
        for key in keys:
            storage = self._storages[key]
            count = int.from_bytes(_exactly(self._stream, 8), "little")
            if count != storage.count:
                raise DamagedFile(f"its storage {key[:20]!r} has {count:,} values, its pickle says {storage.count:,}")
            self._places[key] = self._stream.tell()
            self._stream.seek(storage.count * storage.dtype.itemsize, 1)
        if self._stream.tell() > self._size:
            raise DamagedFile("the file is cut short")
        return content

    def _persistent(self, pid: Any) -> Any:
        if pid[0] == "module":  # a class and its source text
            return pid[1]
        _, dtype, key, _, count, view = pid
        if view is not None:
            raise DamagedFile("its storages are parts of one another, as only torch before 0.4 wrote them: save it again")
        storage = _checked_storage(key, dtype, count)
        if storage.count * storage.dtype.itemsize > self._size:
            raise DamagedFile(f"its storage {key[:20]!r} claims {storage.count:,} values, more than the file has")
        return self._storages.setdefault(storage.key, storage)

    def read(self, storage: _Storage, begin: int, end: int) -> bytearray:
        """These bytes of a storage."""
        self._stream.seek(self._places[storage.key] + begin)
        return _exactly(self._stream, end - begin)


class _Bounded:
    """A stream that gives at most `limit` bytes at once, or `in_all`: lengths in a file are its maker's word."""

    def __init__(self, stream: BinaryIO, limit: int, *, in_all: bool = False) -> None:
        self._stream = stream
        self._left = limit
        self._in_all = in_all
        self.seek, self.tell, self.seekable = stream.seek, stream.tell, stream.seekable

    def read(self, count: int = -1) -> bytes:
        """As the stream's."""
        content = self._stream.read(self._left + 1 if count < 0 else min(count, self._left + 1))
        if len(content) > self._left:
            raise DamagedFile(f"a part of it that has to be read at once has more than {self._left:,} bytes")
        return self._counted(content)

    def readline(self) -> bytes:
        """As the stream's."""
        return self._counted(self._stream.readline(self._left))

    def _counted(self, content: bytes) -> bytes:
        if self._in_all:
            self._left -= len(content)
        return content

    def close(self) -> None:
        """Left open: its owner closes it."""


def _checked_storage(key: Any, dtype: Any, count: Any) -> _Storage:
    if not isinstance(key, str) or not isinstance(dtype, torch.dtype) or type(count) is not int or count < 0:
        raise DamagedFile("a storage in it is described in an unknown way")
    return _Storage(key, dtype, count)


def _exactly(stream: BinaryIO, count: int) -> bytearray:
    """So many bytes. Piece by piece: memory is asked for as the file proves to have them."""
    content = bytearray()
    while len(content) < count:
        piece = stream.read(min(count - len(content), 1 << 24))
        if not piece:
            raise DamagedFile("the file is cut short")
        content += piece
    return content


# ---------------------------------------------------------------------- from descriptions to tensors


def _resolved(content: Any, source: _Archive | _Legacy, size: int) -> Any:
    """`content` with a StoredTensor for each _View."""
    read = 0

    def resolve(value: Any) -> Any:
        nonlocal read
        if isinstance(value, _Kind):
            return Foreign(value.name)
        if not isinstance(value, _View):
            return value
        stored, span = _guarded(lambda: _stored(value, source))
        read += span
        if read > _MOST_SHARED * size:
            raise DamagedFile("its tensors share their values so often that they would need many times the file's size")
        return stored

    return _mapped(content, resolve)


def _mapped(content: Any, change: Callable[[Any], Any]) -> Any:
    """The same containers with other leaves. What occurs twice is changed once, however it is entangled."""
    known: dict[int, Any] = {}
    inside: set[int] = set()

    def mapped(value: Any, depth: int) -> Any:
        if id(value) in known:
            return known[id(value)]
        if depth > DEEPEST or id(value) in inside:
            raise DamagedFile(f"its containers lie more than {DEEPEST} deep in one another, or in themselves")
        if isinstance(value, dict | list | tuple):
            inside.add(id(value))
            if isinstance(value, dict):
                result: Any = {key: mapped(each, depth + 1) for key, each in value.items()}
            else:
                result = type(value)(mapped(each, depth + 1) for each in value)
            inside.discard(id(value))
        else:
            result = change(value)
        known[id(value)] = result
        return result

    return mapped(content, 1)


def _stored(view: _View, source: _Archive | _Legacy) -> tuple[StoredTensor, int]:
    """A tensor whose every element lies inside its storage, and the bytes of it that have to be read.

    Raises:
        DamagedFile: one does not; or it has more elements than its storage, which a few bytes could then make huge.
    """
    storage, size, stride = view.storage, view.size, view.stride
    if not isinstance(storage, _Storage) or len(size) != len(stride) or len(size) > 64:
        raise DamagedFile("a tensor in it is described in an unknown way")
    if any(type(number) is not int or number < 0 for number in (view.offset, *size, *stride)):
        raise DamagedFile("a tensor in it has a shape that is no row of whole numbers")
    dtype = view.dtype if isinstance(view.dtype, torch.dtype) else storage.dtype
    room = storage.count * storage.dtype.itemsize // dtype.itemsize
    elements = math.prod(size)
    span = 1 + sum((length - 1) * step for length, step in zip(size, stride, strict=True)) if elements else 0
    if elements > room or view.offset + span > room:
        raise DamagedFile(f"a tensor of shape {list(size)[:8]} does not fit its storage of {room:,} values")
    begin, width = view.offset * dtype.itemsize, dtype.itemsize

    def load() -> Tensor:
        if not elements:
            return torch.empty(size, dtype=dtype)
        values = torch.frombuffer(source.read(storage, begin, begin + span * width), dtype=dtype).as_strided(size, stride)
        return values if elements == span else values.clone()

    return StoredTensor(tuple(size), dtype, load), span * width
