"""What leaks between the splits of a manifest: patients and copies of images, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from core.data.duplicates import Duplicate, How
from core.data.splits import leaking_patients, patients_written_apart
from core.wording import counted

REMEDY = (
    "`data check` names them, and `data repair` writes a manifest in which each stands in one split; so does the Data page. "
    "To train all the same, with every metric marked as too optimistic, set data.allow_leakage to true."
)
_WORDS: dict[How, tuple[str, str]] = {
    "file": ("group of identical files", "groups of identical files"),
    "pixels": ("group of files with the same pixels", "groups of files with the same pixels"),
    "near": ("picture in several versions", "pictures in several versions"),
    "name": ("group of copies by their names", "groups of copies by their names"),
}


def leakage_words(frame: pd.DataFrame, duplicates: Sequence[Duplicate]) -> str:
    """What stands in several splits, counted, such as `2 patients and 3 pictures in several versions stand in several splits`;
    "" where nothing does."""
    patients = len(leaking_patients(frame)) + len(patients_written_apart(frame))
    found = [counted(patients, "patient")] if patients else []
    kinds = Counter(each.how for each in duplicates if each.across)
    found += [counted(kinds[how], one, many) for how, (one, many) in _WORDS.items() if kinds[how]]
    if not found:
        return ""
    what = found[0] if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]}"
    alone = len(found) == 1 and found[0].startswith("1 ")
    return f"{what} {'stands' if alone else 'stand'} in several splits"
