"""What the test set was used for, as the report tells it: how, when, and whether preprocessing was tuned with it in view."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from core.report.document import Block, Table, Text, Warn
from core.runs.test_set.accesses import IMAGES, LABELS, PREPROCESS, RECIPE, SCORED
from core.runs.test_set.models import seen_words
from core.wording import times

if TYPE_CHECKING:
    from core.report.material import Material
    from core.runs.test_set.accesses import Access

_SHOWN = (IMAGES, LABELS)
_NOT_COUNTED = (
    "Recorded is what MammoLab showed or computed of these images. What it cannot notice: files opened in other programs, "
    "files converted to another format, images seen before the split was made, and work in another folder of runs."
)


def seen(material: Material) -> list[Block]:
    """How many models were scored on this test set before and after this one, and when."""
    if isinstance(material.use, str):
        return [Warn(f"Nobody can say how many models were scored on this test set: {material.use}")]
    words = seen_words(material.use, material.patients_known)
    return [
        Text(" ".join(words[: len(words) - bool(material.use.gap)])),
        *([Warn(material.use.gap)] if material.use.gap else []),
    ]


def seen_before(material: Material) -> str:
    """What nobody should miss of it: that other models had been scored on the same test set; "" when none had."""
    if isinstance(material.use, str):
        return "How many models were scored on this test set cannot be said: a record is damaged, see test-set access."
    if not material.use.before:
        return ""
    return (
        f"{seen_words(material.use, material.patients_known)[0]} What they showed may have guided this run, which makes its "
        "metrics too optimistic."
    )


def blocks(material: Material) -> list[Block]:
    """Every access, those alike in one row; what was decided after one; what is not counted."""
    if isinstance(material.accesses, str):
        return [Warn(f"Nobody can say what the test set was used for: its record cannot be read. {material.accesses}")]
    counted = [each for each in material.accesses if each.counts]
    if not counted:
        return [Text("No access to a test image has been recorded for this run."), Text(_NOT_COUNTED)]
    alike: dict[tuple[str, ...], list[Access]] = {}
    for each in counted:
        early = "yes" if each.before_threshold else "no"
        alike.setdefault((each.words, each.where, _whose(material, each), early), []).append(each)
    rows = tuple((*key[:3], *_metrics(found), key[3]) for key, found in alike.items())
    head = ("What", "Page or command", "By", "Times", "Images", "First (UTC)", "Last (UTC)", "Before the threshold was frozen")
    note = "Images: the most at a time. Forks inherit what their parent's test set was used for; it is the same."
    found: list[Block] = [Table("Accesses to the test set that are on record.", head, rows, note=note, small=True)]
    found += [Warn(sentence) for sentence in tuned(material)]
    return [*found, Text(_NOT_COUNTED)]


def warnings(material: Material) -> list[str]:
    """What nobody should miss of it."""
    if isinstance(material.accesses, str):
        return ["The record of accesses to the test set is damaged: see test-set access."]
    early = [each for each in material.accesses if each.counts and each.before_threshold]
    found = tuned(material)
    if early:
        count = times(sum(each.times for each in early))
        found.append(
            f"Test images were accessed {count} before this run's threshold was frozen: see test-set access. "
            "Whatever was chosen since then may have been chosen with them in view."
        )
    return found


def seen_early(material: Material) -> bool:
    """Whether test images were accessed before the threshold was frozen, or nobody can tell."""
    if isinstance(material.accesses, str):
        return True
    return any(each.counts and each.before_threshold for each in material.accesses)


def tuned(material: Material) -> list[str]:
    """Whether preprocessing was tuned while test images were visible; [] when it was not, as far as the record tells."""
    if isinstance(material.accesses, str):
        return []
    before = [each for each in material.accesses if _before_run(material, each)]
    saved = [each for each in before if each.kind == RECIPE]
    if saved:
        last = saved[-1]
        return [
            f"Preprocessing was tuned while test images were visible: on {last.latest[:10]}, after they had been shown on the "
            f"Preprocess page, the recipe {last.detail} was saved for training. "
            f"This run's is {material.config.preprocessing.hash}."
        ]
    shown = [each for each in before if each.where == PREPROCESS and each.kind in _SHOWN]
    if shown:
        return [
            f"Test images were shown on the Preprocess page on {shown[-1].latest[:10]}, before this run was set up. No "
            "recipe was saved there afterwards."
        ]
    return []


def _before_run(material: Material, access: Access) -> bool:
    """Whether it came before the run was made; also where nobody can tell."""
    if access.inherited or material.created is None or not access.latest:
        return True
    return datetime.fromisoformat(access.latest) < datetime.fromtimestamp(material.created, UTC)


def _whose(material: Material, access: Access) -> str:
    if access.inherited:
        return f"{access.inherited}, before it was forked"
    by = access.run or (f"data set {Path(access.manifest).name}" if access.manifest else "this run")
    return f"{by}, before this run was made" if access.kind != SCORED and _before_run(material, access) else by


def _metrics(found: list[Access]) -> tuple[str, str, str, str]:
    first = next((each.when for each in found if each.when), "")
    known = [_minute(first), _minute(found[-1].latest)]
    return (f"{sum(each.times for each in found)}", f"{max(each.images for each in found):,}", known[0], known[1])


def _minute(when: str) -> str:
    return when.replace("T", " ")[:16] or "not recorded"
