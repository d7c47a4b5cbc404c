"""A metric with its interval, and the interval of a proportion that needs no resampling."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema
from scipy.special import ndtri

# The p value below which a sentence says that something differs. It does not depend on the level of the intervals.
SIGNIFICANT = 0.05

Method = Literal["bootstrap", "wilson", "delong", "obuchowski", "sandwich", "exact", "score", "none"]


@dataclass(frozen=True)
class Interval:
    """A metric and the limits of its confidence interval, all three in the metric's own unit.

    `method` says where the limits come from: "bootstrap" (patients resampled, percentiles), "wilson" (a proportion,
    with the number of images that the patients are worth), "score" (an AUC: a binormal model's variance at each limit, not
    below the patients' own), "delong" and "obuchowski" (the estimated variance of an AUC alone, the second with several images
    a patient), "sandwich" (cluster-robust variance of a regression), "exact" (a paired difference of proportions, limits that
    agree with the exact test), "none" (no interval holds its level here: the limits are the value itself, and text leaves them
    out).
    """

    value: float
    low: float
    high: float
    method: Method = "bootstrap"

    def __format__(self, spec: str) -> str:
        spec = spec or ".3f"
        value, low, high = (_formatted(each, spec) for each in (self.value, self.low, self.high))
        if self.method == "none":
            return value
        return f"{value} [{low}, {high}]"

    def __str__(self) -> str:
        return format(self)


def _formatted(value: float, spec: str) -> str:
    """As format() has it, but for "-0.000"."""
    text = format(value, spec)
    return format(0.0, spec) if text.startswith("-") and not text.strip("-0.%") else text


@dataclass(frozen=True)
class _Note:
    note: str


@dataclass(frozen=True)
class OrNote:
    """In `Annotated[X | str, OrNote()]`: a text says why there is no X, and is {"note": ...} in JSON, `beside` null."""

    beside: tuple[str, ...] = ()

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        found = core_schema.union_schema(
            [handler.generate_schema(kind) for kind in get_args(source) if kind is not str], mode="left_to_right"
        )

        def write(value: Any, plain: Callable[[Any], Any]) -> Any:
            return dict.fromkeys(self.beside) | {"note": value} if isinstance(value, str) else plain(value)

        return core_schema.no_info_after_validator_function(
            lambda value: value.note if isinstance(value, _Note) else value,
            core_schema.union_schema([found, handler.generate_schema(_Note)], mode="left_to_right"),
            serialization=core_schema.wrap_serializer_function_ser_schema(write, schema=found),
        )


Estimate = Annotated[Interval | str, OrNote()]


def plain_metric(metric: Interval | str) -> dict[str, Any]:
    """A metric, or the note why there is none, as plain values for JSON."""
    return {"note": metric} if isinstance(metric, str) else asdict(metric)


def wilson(successes: float, total: float, confidence: float) -> Interval:
    """Wilson's score interval of the proportion `successes / total`.

    Args:
        successes: 0 <= successes <= total; fractions are allowed (a share of patients).
        total: trials, above 0.
        confidence: level of the interval, between 0 and 1.

    Raises:
        ValueError: the counts or the level are impossible (a programming error, not a data error).
    """
    if not (0 <= successes <= total and total > 0 and 0 < confidence < 1):
        raise ValueError(f"expected 0 <= successes <= total > 0 and a level in (0, 1); got {successes}, {total}, {confidence}")
    z = float(ndtri(0.5 + confidence / 2))
    share = successes / total
    denominator = 1 + z * z / total
    centre = (share + z * z / (2 * total)) / denominator
    half = z / denominator * (share * (1 - share) / total + z * z / (4 * total * total)) ** 0.5
    # At the ends the formula is exact up to rounding; the interval must contain its own value.
    return Interval(share, max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share)), "wilson")


def square_and_add(first: Interval, second: Interval, correlation: float = 0.0) -> Interval:
    """Limits of `second - first` from the limits of both: shares and AUCs, or anything else within [0, 1].

    Source: Newcombe, Stat Med 1998;17:873 for shares; Zou and Donner, Stat Med 2008;27:1693 for any metric.

    Args:
        correlation: of the two metrics, -1 to 1; 0 when they come from different patients.
    """

    def distance(up: float, down: float) -> float:
        return math.sqrt(max(0.0, up * up - 2 * correlation * up * down + down * down))

    value = second.value - first.value
    low = value - distance(second.value - second.low, first.high - first.value)
    high = value + distance(second.high - second.value, first.value - first.low)
    return Interval(value, max(-1.0, low), min(1.0, high), second.method)
