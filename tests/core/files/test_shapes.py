"""A value from a file against the types of its dataclass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ConfigDict, TypeAdapter, ValidationError

from core.files.shapes import require_types


@dataclass(frozen=True)
class Inner:
    value: float
    name: str | None = None


@dataclass(frozen=True)
class Outer:
    kind: Literal["a", "b"]
    inner: tuple[Inner, ...]
    by_name: dict[str, Inner | str]
    pair: tuple[int, str] = (1, "x")
    free: Any = None
    more: Mapping[str, float] | None = None


GOOD = Outer("a", (Inner(1), Inner(0.5, "x")), {"x": "note", "y": Inner(2.0)}, free=object(), more={"z": 1})


def test_what_fits_passes() -> None:
    require_types(GOOD, Outer)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"kind": "c"}, "kind"),
        ({"kind": ["a"]}, "kind"),
        ({"inner": Inner(1)}, "inner"),
        ({"inner": (Inner("1"),)}, r"inner\[0\].value"),  # type: ignore[arg-type]
        ({"inner": (Inner(True),)}, r"inner\[0\].value"),
        ({"inner": (Inner(10**400),)}, r"inner\[0\].value"),
        ({"inner": (Inner(1, 5),)}, r"inner\[0\].name"),  # type: ignore[arg-type]
        ({"by_name": {"x": 5}}, "by_name.x"),
        ({"by_name": {5: "x"}}, "by_name"),
        ({"by_name": []}, "by_name"),
        ({"pair": (1,)}, "pair"),
        ({"pair": ("x", 1)}, r"pair\[0\]"),
        ({"more": {"z": "1"}}, "more"),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(changes: dict[str, Any], where: str) -> None:
    with pytest.raises(TypeError, match=f"^{where}"):
        require_types(Outer(**(vars(GOOD) | changes)), Outer)


PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=2)
)
KINDS = [int, float, str, bool, None, int | None, float | str, list[int], tuple[int, ...], tuple[int, str], dict[str, float]]


@given(
    st.one_of(
        PLAIN, st.lists(PLAIN, max_size=3), st.lists(PLAIN, max_size=3).map(tuple), st.dictionaries(st.text(max_size=1), PLAIN)
    ),
    st.sampled_from(KINDS),
)
def test_it_agrees_with_pydantic_in_strict_mode(value: Any, kind: Any) -> None:
    adapter = TypeAdapter(kind, config=ConfigDict(strict=True))
    try:
        adapter.validate_python(value)
        expected = True
    except ValidationError:
        expected = False
    if isinstance(value, list | tuple) and kind is not None and str(kind).startswith(("list", "tuple")):
        value = tuple(value) if str(kind).startswith("tuple") else list(value)  # JSON has lists only: either passes here
        try:
            adapter.validate_python(value)
            expected = True
        except ValidationError:
            expected = False
    try:
        require_types(value, kind)
        found = True
    except TypeError:
        found = False
    assert found == expected
