"""What the pickle in a torch file would do, read from its instructions alone: nothing of it is done.

torch's restricted reader does what a pickle says with the few functions that it knows, as often as it says so. Here the
instructions are gone through with the standard library's own description of them (`pickletools`), which tells for each
what it takes from the stack and what it puts there; kept are only how deep and how large the values would become.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass
from typing import Any, BinaryIO

from core.model.stored import DamagedFile

# What a file may call: containers, plain values and tensors.
CONSTRUCTORS = {
    *("collections.OrderedDict", "collections.Counter", "builtins.set", "builtins.complex", "_codecs.encode"),
    *("torch.Size", "torch.device", "torch.nn.parameter.Parameter"),
    *(f"torch._utils._rebuild_{name}" for name in ("tensor", "tensor_v2", "tensor_v3")),
    *(f"torch._utils._rebuild_{name}" for name in ("parameter", "parameter_with_state")),
}
_TYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
_STORAGES = ("Double", "Float", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
# What it may name besides, for others to use.
_NAMES = (
    {f"torch.{name}" for name in _TYPES} | {f"torch.{name}Storage" for name in _STORAGES} | {"torch.storage.UntypedStorage"}
)


class Unread:
    """In the place of a plain object that is no tensor. Of what the file says about it, nothing is kept."""

    def __new__(cls, *_: Any) -> Unread:
        """Whatever the arguments are."""
        return super().__new__(cls)

    def __setstate__(self, _: Any) -> None:
        """Attributes are left out."""


def _dictionary(*_: Any) -> dict[Any, Any]:
    return {}


# Plain objects that trainers leave beside the weights. Not made: numpy's own functions trust what a file says of memory.
STAND_INS: dict[str, Any] = {
    "collections.defaultdict": _dictionary,
    **{f"builtins.{name}": Unread for name in ("int", "float", "bool", "str", "list", "dict", "tuple")},
    **{f"pathlib.{name}": Unread for name in ("Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")},
    **{f"pathlib._local.{name}": Unread for name in ("PosixPath", "WindowsPath")},
    **{f"numpy.{core}.multiarray.{name}": Unread for core in ("core", "_core") for name in ("scalar", "_reconstruct")},
    **{f"numpy.{name}": Unread for name in ("dtype", "ndarray")},
    "argparse.Namespace": Unread,
}
_DEEPEST_TUPLE = 50  # Python hashes nested tuples without end, until the process dies
_MOST_INSTRUCTIONS = 2_000_000  # three tensors for each of 10,000 parameters are half a million
_MOST_COPIED = 1 << 24  # values and characters that are handed to functions, which may copy them
_PUT = ("PUT", "BINPUT", "LONG_BINPUT")
_GET = ("GET", "BINGET", "LONG_BINGET")
_FILL = ("APPEND", "APPENDS", "SETITEM", "SETITEMS", "BUILD")
_CALL = ("REDUCE", "NEWOBJ")


@dataclass
class _Value:
    """What would be on the stack: levels inside, values and characters inside, and itself where it is a constant.

    Of a tuple or a list, `constant` is a list of its elements' constants. What is `placed` in another value is complete:
    depth and weight of that one rely on it.
    """

    depth: int = 0
    weight: int = 1
    constant: Any = None
    placed: bool = False


class PickleCheck:
    """What was found in pickles: `unknown`, the names of objects that are neither tensors nor plain, in their order;

    `storages`, the number of values that each storage claims to have, by its key; `result`, what the last pickle gives,
    where that is a constant or a list of constants.
    """

    def __init__(self) -> None:
        self.storages: dict[str, int] = {}
        self.result: Any = None
        self._unknown: dict[str, None] = {}
        self._instructions = 0
        self._copied = 0
        self._stack: list[_Value | None] = []
        self._memo: dict[Any, _Value] = {}

    @property
    def unknown(self) -> list[str]:
        """ "module.Class" of each."""
        return list(self._unknown)

    def read(self, stream: BinaryIO) -> None:
        """Go through one pickle; the stream is then behind it.

        Raises:
            DamagedFile: it would cost far more than its bytes, or calls what is no function.
            ValueError, LookupError, AttributeError, TypeError: it is no pickle.
        """
        self._stack, self._memo = [], {}
        for opcode, argument, _ in pickletools.genops(stream):
            self._instructions += 1
            if self._instructions > _MOST_INSTRUCTIONS or self._copied > _MOST_COPIED:
                raise DamagedFile("its pickle does more than any network needs")
            if opcode.name == "PROTO" and argument != 2:
                raise DamagedFile(f"it was saved with pickle_protocol={argument}: save it again without, in torch's own")
            self._step(opcode, argument)

    def _step(self, opcode: pickletools.OpcodeInfo, argument: Any) -> None:
        stack, name = self._stack, opcode.name
        if name == "MARK":
            stack.append(None)
        elif name in _PUT:
            self._memo[argument] = _value(stack[-1])
        elif name in _GET:
            stack.append(self._memo[argument])
        elif name in _FILL:
            *parts, target = self._taken(opcode)
            if target.placed and not self._unknown:
                raise DamagedFile("values in it lie in themselves")
            target.depth = max(target.depth, 1 + max((each.depth for each in parts), default=0))
            target.weight += sum(each.weight for each in parts)
            if name == "BUILD":
                self._copied += parts[0].weight
            elif name.startswith("SETITEM"):
                self._copied += sum(each.weight for each in parts[1::2])  # keys: Python looks through all that is in them
            elif isinstance(target.constant, list):
                target.constant += _constants(parts)
            for part in parts:
                part.placed = True
            stack.append(target)
        else:
            parts = self._taken(opcode)
            for part in parts:
                part.placed = True
            made = _Value(1 + max((each.depth for each in parts), default=-1), 1 + sum(each.weight for each in parts))
            if made.depth > _DEEPEST_TUPLE:
                raise DamagedFile(f"its values lie more than {_DEEPEST_TUPLE} deep in one another")
            if name == "GLOBAL":
                made.constant = self._named(argument)
            elif name.startswith("TUPLE"):
                made.constant = _constants(parts)
            elif name in _CALL:
                self._called(parts[1].constant, parts[0])
            elif name == "BINPERSID":
                self._claimed(parts[0].constant)
            elif name == "STOP":
                self.result = parts[0].constant
            elif not parts:
                made.constant = [] if name == "EMPTY_LIST" else argument
                made.weight += len(argument) if isinstance(argument, str | bytes) else 0
            stack.extend([made] * len(opcode.stack_after))

    def _taken(self, opcode: pickletools.OpcodeInfo) -> list[_Value]:
        """What the instruction takes from the stack, the uppermost first."""
        taken: list[_Value] = []
        for kind in reversed(opcode.stack_before):
            if kind is pickletools.stackslice:
                while (top := self._stack.pop()) is not None:
                    taken.append(top)
            elif kind is not pickletools.markobject:  # went with the slice
                taken.append(_value(self._stack.pop()))
        return taken

    def _named(self, argument: str) -> str:
        module, _, name = argument.partition(" ")
        full = f"{'builtins' if module == '__builtin__' else module}.{name}"
        if full not in CONSTRUCTORS and full not in _NAMES and full not in STAND_INS:
            self._unknown[full] = None
        return full

    def _called(self, function: Any, arguments: _Value) -> None:
        self._copied += arguments.weight
        if not self._unknown and function not in CONSTRUCTORS and function not in STAND_INS:
            raise DamagedFile("its pickle calls what torch.save never calls")
        if function == "_codecs.encode" and (arguments.constant or [None])[-1] != "latin1":  # others can take for ever
            raise DamagedFile("bytes in it are not in the encoding of pickles")

    def _claimed(self, storage: Any) -> None:
        if storage[0] == "module":  # a class, which is named already, and its source text
            return
        _, _, key, _, count, *_ = storage
        if not isinstance(key, str) or type(count) is not int or count < 0:
            raise DamagedFile("a storage in it is described in an unknown way")
        self.storages[key] = max(count, self.storages.get(key, 0))


def _constants(parts: list[_Value]) -> list[Any]:
    """Those of a container's elements, the uppermost of the stack first; containers in it have none."""
    return [None if isinstance(each.constant, list) else each.constant for each in reversed(parts)]


def _value(found: _Value | None) -> _Value:
    if found is None:
        raise ValueError("an instruction finds nothing on the stack")
    return found
