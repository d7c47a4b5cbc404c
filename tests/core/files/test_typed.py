"""Dataclasses as plain values for JSON, and a file's values against the types of their dataclass."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest

from core.files.typed import from_plain, to_plain
from core.metrics import Estimate, Interval, OrNote


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
    estimate: Estimate = "not asked"
    beside: Annotated[Interval | str, OrNote(beside=("value",))] = "none"


GOOD = Outer("a", (Inner(1.0), Inner(0.5, "x")), {"x": "note", "y": Inner(2.0)}, estimate=Interval(0.5, 0.25, 0.75))


def test_what_was_written_is_read_back_equal() -> None:
    plain = json.loads(json.dumps(to_plain(GOOD), allow_nan=False))
    assert from_plain(Outer, plain) == GOOD
    assert plain["estimate"] == {"value": 0.5, "low": 0.25, "high": 0.75, "method": "bootstrap"}
    assert plain["beside"] == {"value": None, "note": "none"} and plain["pair"] == [1, "x"]


def test_fields_of_a_later_version_are_passed_over_and_missing_ones_have_their_defaults() -> None:
    assert from_plain(Outer, {"kind": "b", "inner": [], "by_name": {}, "later": 1}) == Outer("b", (), {})


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"kind": "c"}, r"kind: expected 'a' or 'b', got 'c'"),
        ({"inner": {"value": 1}}, "inner"),
        ({"inner": [{"value": "1"}]}, r"inner\.0\.value: expected a valid number, got '1'"),
        ({"inner": [{"value": True}]}, r"inner\.0\.value"),
        ({"inner": [{"value": 1, "name": 5}]}, r"inner\.0\.name"),
        ({"by_name": {"x": 5}}, r"by_name\.x"),
        ({"by_name": []}, "by_name"),
        ({"pair": [1]}, "pair"),
        ({"pair": ["x", 1]}, r"pair\.0"),
        ({"estimate": {"value": 1.0}}, "estimate"),
        ({"estimate": "a bare text"}, "estimate"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(changes: dict[str, Any], where: str) -> None:
    with pytest.raises(ValueError, match=f"^{where}"):
        from_plain(Outer, to_plain(GOOD) | changes)
