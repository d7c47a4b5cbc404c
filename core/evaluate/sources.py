"""The internal test set and an external one side by side: the same model, other patients.

The samples are independent: the external set has left out the run's own patients. So a difference has limits by square-and-add
from those of both sets (Newcombe, Stat Med 1998;17:873; Zou and Donner, Stat Med 2008;27:1693). Only metrics that do not depend
on the share of malignant have one: the others differ between sources also where the model does equally well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast

from core.evaluate.result import Evaluation
from core.metrics import LEVELS, TITLES, Interval, Level, OrNote, Summary, square_and_add

COMPARED = ("auc", "sensitivity", "specificity")
DEPENDS = "depends on the share of malignant"


@dataclass(frozen=True)
class SourceRow:
    """A metric on both sets; `difference` is external less internal, or in words why it is not given."""

    metric: str
    internal: Annotated[Interval | str, OrNote()]
    external: Annotated[Interval | str, OrNote()]
    difference: Annotated[Interval | str, OrNote()]

    @property
    def title(self) -> str:
        return TITLES[self.metric]


@dataclass(frozen=True)
class SourceComparison:
    """All metrics of both sets at one `level`; `shares` are those of malignant, internal and external."""

    level: Level
    internal: str
    external: str
    rows: tuple[SourceRow, ...]
    shares: tuple[float, float]
    confidence: tuple[float, float]

    def difference(self, metric: str) -> Interval | str:
        """External less internal."""
        return next(row.difference for row in self.rows if row.metric == metric)


def compare_sources(internal: Evaluation, external: Evaluation) -> dict[str, SourceComparison | str]:
    """By level; in words where one of the sets has no metrics at a level."""
    return {level: _at(internal, external, level) for level in LEVELS}


def _at(internal: Evaluation, external: Evaluation, level: Level) -> SourceComparison | str:
    found = internal.levels.get(level, "not computed"), external.levels.get(level, "not computed")
    for summary, name in zip(found, (internal.split, external.split), strict=True):
        if isinstance(summary, str):
            return f"{name}: {summary}"
    ours, theirs = cast("tuple[Summary, Summary]", found)
    rows = tuple(SourceRow(name, ours[name], theirs[name], _difference(name, ours, theirs)) for name in TITLES)
    confidence = ours.confidence, theirs.confidence
    return SourceComparison(level, internal.split, external.split, rows, (share_of(ours), share_of(theirs)), confidence)


def share_of(summary: Summary) -> float:
    """The share of malignant units."""
    counts = summary.counts
    return (counts.tp + counts.fn) / summary.rows


def _difference(name: str, internal: Summary, external: Summary) -> Interval | str:
    if name not in COMPARED:
        return DEPENDS
    ours, theirs = internal[name], external[name]
    if isinstance(ours, str) or isinstance(theirs, str):
        return "not on both sets"
    if internal.confidence != external.confidence:
        return f"intervals of {internal.confidence:.0%} and {external.confidence:.0%}"
    return square_and_add(ours, theirs)
