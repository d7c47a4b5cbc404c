"""What every way to score uploaded images shares: how many at once, and the record of test images that are scored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.runs import Run
from core.runs.test_set.accesses import PREDICTION
from core.runs.test_set.identity import file_keys, sealed_by, warning_of
from dashboard.ui import test_set_access

PAGE = "Test image"  # as records of accesses to test images name it
AT_ONCE = 4  # scores at a time, of all visitors together
MANY_AT_ONCE = 2  # requests for many images, which take minutes: those for one do not wait for them
QUEUE: dict[str, Any] = {"concurrency_limit": AT_ONCE, "concurrency_id": "score"}
QUEUE_OF_MANY: dict[str, Any] = {"concurrency_limit": MANY_AT_ONCE, "concurrency_id": "score many"}
PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal"}


def record_scoring(run: Run, path: Path) -> str:
    """Record the scoring of a test file; what to say of one whose test set has not been evaluated. Raises NotRecorded."""
    sets = test_set_access.test_sets()
    keys = file_keys(path)
    found = sealed_by(keys, sets, run.path)
    own = any(each.folder == run.path and not each.keys.isdisjoint(keys) for each in sets)
    if own or found is not None:
        test_set_access.record(PREDICTION, PAGE, [keys], run=run if own else None)
    return warning_of(found) if found is not None else ""
