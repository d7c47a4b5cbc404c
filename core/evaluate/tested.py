"""How many tests a table of subgroups holds: with two values, the first against the second is the second against the first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.metrics.subgroups import UNKNOWN

if TYPE_CHECKING:
    from core.metrics import Subgroup


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
        tested = sum(row.adjusted is not None for row in known)
        count += 1 if len(known) == 2 and tested == 2 else tested
    return count
