"""Type checks of dataclasses that were read from a file, which may hold anything under the right names."""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


def require_types(value: Any, expected: Any, where: str = "") -> None:
    """Check a value, and all that is in it, against an annotation: dataclasses, unions, literals, tuples, mappings.

    A whole number passes for a float; a bool passes for neither. Of other classes only the class itself is looked at.

    Raises:
        TypeError: with the place of the first value that does not fit.
    """
    if expected is Any:
        return
    origin = get_origin(expected)
    if origin in (Union, types.UnionType):
        if not any(_fits(value, option) for option in get_args(expected)):
            raise TypeError(f"{where}: expected {_name(expected)}, got {_shown(value)}")
    elif origin is Literal:
        if value not in get_args(expected):
            raise TypeError(f"{where}: expected one of {', '.join(map(str, get_args(expected)))}, got {_shown(value)}")
    elif origin in (tuple, list):
        _require_items(value, expected, where)
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise TypeError(f"{where}: expected {_name(expected)}, got {_shown(value)}")
        of_key, of_value = get_args(expected)
        for key, item in value.items():
            require_types(key, of_key, where)
            require_types(item, of_value, f"{where}.{key}")
    else:
        _require_plain(value, origin or expected, where)


def _require_items(value: Any, expected: Any, where: str) -> None:
    kinds = get_args(expected)
    if not isinstance(value, tuple | list):
        raise TypeError(f"{where}: expected {_name(expected)}, got {_shown(value)}")
    if get_origin(expected) is list or kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(kinds) != len(value):
        raise TypeError(f"{where}: expected {len(kinds)} values, got {len(value)}")
    for number, (item, kind) in enumerate(zip(value, kinds, strict=True)):
        require_types(item, kind, f"{where}[{number}]")


def _require_plain(value: Any, expected: Any, where: str) -> None:
    wanted = type(None) if expected is None else expected
    if wanted is float:
        right = isinstance(value, int | float) and not isinstance(value, bool)
        right = right and (isinstance(value, float) or abs(value) < 2**63) and not math.isinf(value)
    elif wanted is int:
        right = isinstance(value, int) and not isinstance(value, bool)
    else:
        right = not isinstance(wanted, type) or isinstance(value, wanted)
    if not right:
        raise TypeError(f"{where}: expected {_name(expected)}, got {_shown(value)}")
    if isinstance(wanted, type) and is_dataclass(wanted):
        hints = _hints(wanted)
        for field in fields(wanted):
            require_types(getattr(value, field.name), hints[field.name], f"{where}.{field.name}".lstrip("."))


def _fits(value: Any, option: Any) -> bool:
    try:
        require_types(value, option)
    except TypeError:
        return False
    return True


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _name(expected: Any) -> str:
    return expected.__name__ if isinstance(expected, type) else str(expected).replace("core.", "")[:100]


def _shown(value: Any) -> str:
    return f"{type(value).__name__} {repr(value)[:60]}"
