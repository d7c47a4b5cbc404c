"""What a table of subgroups tested, and what differs: AUC, sensitivity and specificity of each group against the others.

With two values, the first against the second is the second against the first: one test.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.metrics.comparison import equivalence
from core.metrics.features import feature_title
from core.metrics.intervals import SIGNIFICANT, Interval
from core.metrics.subgroups import UNKNOWN
from core.wording import counted

if TYPE_CHECKING:
    from core.metrics import Subgroup
    from core.metrics.omnibus import Omnibus


@dataclass(frozen=True)
class Tested:
    """One metric of a group against the others': the metric, its difference from theirs, and p adjusted for the table."""

    name: str
    metric: Interval | str
    difference: Interval | str
    adjusted: float


def comparisons(row: Subgroup) -> tuple[Tested, ...]:
    """The tests of a row, in the order AUC, sensitivity, specificity."""
    first = "AUC" if row.compared == "auc" else "sensitivity"
    metric = row.auc if row.compared == "auc" else row.sensitivity
    every = (
        (first, metric, row.difference, row.adjusted),
        ("sensitivity", row.sensitivity, row.sensitivity_difference, row.sensitivity_adjusted),
        ("specificity", row.specificity, row.specificity_difference, row.specificity_adjusted),
    )
    return tuple(Tested(name, value, gap, p) for name, value, gap, p in every if p is not None)


def differing(row: Subgroup) -> tuple[Tested, ...]:
    """Those that differ at SIGNIFICANT after adjustment."""
    return tuple(each for each in comparisons(row) if each.adjusted < SIGNIFICANT)


def equivalent(row: Subgroup, margin: float) -> tuple[Tested, ...]:
    """Those whose whole interval of the difference lies within ± `margin`. A large p value alone shows nothing of the kind."""
    return tuple(
        each
        for each in comparisons(row)
        if isinstance(each.difference, Interval) and equivalence(each.difference, margin) == "equivalent"
    )


def equivalence_sentence(rows: Sequence[Subgroup], margin: float, confidence: float) -> str:
    """How many of the table's tests show that a group is equivalent to the others, in words; "" where nothing was tested."""
    made, shown, unclear = Counter[str](), Counter[str](), 0
    for row, each in _tests(rows):
        made[each.name] += 1
        within = each in equivalent(row, margin)
        shown[each.name] += within
        unclear += not within and each.adjusted >= SIGNIFICANT
    if not made:
        return ""
    by_metric = ", ".join(f"{name} {shown[name]} of {made[name]}" for name in made)
    neither = "" if not unclear else f" For {unclear} neither a difference nor equivalence is shown."
    return (
        f"Shown to be equivalent within ±{margin:g} (the whole {confidence:.0%} interval of the difference lies within it; "
        f"not adjusted for the number of tests): {sum(shown.values())} of {sum(made.values())} ({by_metric}).{neither}"
    )


def omnibus_sentence(rows: Sequence[Omnibus]) -> str:
    """Which features differ, all their groups at once, in words; "" where nothing was tested."""
    if not rows:
        return ""
    apart = [
        f"{feature_title(row.feature)} ({METRICS_TESTED[row.metric]}, p "
        f"{'< 0.001' if row.adjusted < 0.001 else f'= {row.adjusted:.3f}'})"
        for row in rows
        if row.adjusted < SIGNIFICANT
    ]
    tests = counted(len(rows), "test")
    return f"All groups of a feature at once (Wald test, one for each feature and metric, adjusted for {tests}): " + (
        f"a difference is shown for {', '.join(apart)}." if apart else "no feature is shown to differ."
    )


METRICS_TESTED = {"auc": "AUC", "sensitivity": "sensitivity", "specificity": "specificity"}


def _tests(rows: Sequence[Subgroup]) -> list[tuple[Subgroup, Tested]]:
    """Each test once: of two groups that make up a feature, the first."""
    by_feature: dict[str, list[Subgroup]] = {}
    for row in rows:
        if row.value != UNKNOWN and (row.compared == "auc" or row.malignant_images):
            by_feature.setdefault(row.feature, []).append(row)
    found = []
    for known in by_feature.values():
        seen = set()
        for row in known:
            found += [(row, each) for each in comparisons(row) if len(known) != 2 or each.name not in seen]
            seen |= {each.name for each in comparisons(row)}
    return found


def count_tests(rows: Sequence[Subgroup]) -> int:
    """The tests that the p values of `rows` are adjusted for; counted here where an earlier version did not write it down."""
    return rows[0].tests if rows and rows[0].tests else len(_tests(rows))
