"""Dataclasses as plain values for JSON, and back: what a file holds has the types that its dataclass says, or is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """What a dataclass holds as plain values for JSON; `from_plain` reads them back equal."""
    kind: Any = type(value)
    return _adapter(kind).dump_python(value, mode="json", by_alias=True)


def from_plain(kind: type[T], plain: Any) -> T:
    """The dataclass that these plain values (of JSON) are; fields that it does not have are passed over.

    A whole number passes for a float; a bool or a text for neither.

    Raises:
        ValueError: with the place of the first value that does not fit.
    """
    wanted: Any = kind
    try:
        found: T = _adapter(wanted).validate_json(to_json(plain), strict=True)
    except ValidationError as error:
        raise ValueError(first_problem(error)) from error
    return found


def first_problem(error: ValidationError, objects: Mapping[str, str] | None = None) -> str:
    """The first thing that is wrong, with its place: "levels.image.counts.tp: expected a valid integer, got 'x'".

    `objects` says, by place, what an object there would be: "one a level".
    """
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part)[:40] for part in first["loc"] if "[" not in str(part))  # names of validators say nothing
    if first["type"] == "dict_type" and objects and place in objects:
        first["msg"] = f"expected {objects[place]}"
    said = first["msg"].removeprefix("Value error, ").replace("Input should be", "expected", 1)
    said = re.sub(r"^(String|List|Dictionary|Value) should have", "expected", said)
    said = said.replace("a valid boolean", "true or false")
    simple = first["input"] is None or isinstance(first["input"], bool | int | float | str)
    own = first["type"] == "value_error" and not simple  # a sentence of ours about the whole: it has said what came
    return (f"{place}: " if place else "") + said + ("" if own or "got " in said else f", got {repr(first['input'])[:40]}")


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
