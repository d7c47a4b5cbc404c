"""What a table of subgroups tested, and what differs: AUC, sensitivity and specificity of each group against the others.

With two values, the first against the second is the second against the first: one test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.metrics.intervals import Interval
from core.metrics.subgroups import UNKNOWN

if TYPE_CHECKING:
    from core.metrics import Subgroup

LEVEL = 0.05


@dataclass(frozen=True)
class Tested:
    """One figure of a group against the others': the figure, its difference from theirs, and p adjusted for the table."""

    name: str
    figure: Interval | str
    difference: Interval | str
    adjusted: float


def comparisons(row: Subgroup) -> tuple[Tested, ...]:
    """The tests of a row, in the order AUC, sensitivity, specificity."""
    first = "AUC" if row.compared == "auc" else "sensitivity"
    figure = row.auc if row.compared == "auc" else row.sensitivity
    every = (
        (first, figure, row.difference, row.adjusted),
        ("sensitivity", row.sensitivity, row.sensitivity_difference, row.sensitivity_adjusted),
        ("specificity", row.specificity, row.specificity_difference, row.specificity_adjusted),
    )
    return tuple(Tested(name, value, gap, p) for name, value, gap, p in every if p is not None)


def differing(row: Subgroup) -> tuple[Tested, ...]:
    """Those that differ at LEVEL after adjustment."""
    return tuple(each for each in comparisons(row) if each.adjusted < LEVEL)


def count_tests(rows: Sequence[Subgroup]) -> int:
    """The tests that the p values of `rows` are adjusted for; counted here where an earlier version did not write it down."""
    if rows and rows[0].tests:
        return rows[0].tests
    by_feature: dict[str, list[Subgroup]] = {}
    for row in rows:
        if row.value != UNKNOWN and (row.compared == "auc" or row.malignant_images):
            by_feature.setdefault(row.feature, []).append(row)
    count = 0
    for known in by_feature.values():
        made = sum(row.adjusted is not None for row in known)
        count += 1 if len(known) == 2 and made == 2 else made
    return count
