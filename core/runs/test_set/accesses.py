"""What test sets were used for: an append-only record, a line an access.

`test_accesses.jsonl` lies in each run's folder and in the folder of the runs. An access goes into the one of the folder of
runs, where a run that is made later on the same images finds it, and into those of all runs with such images in their test
set, so that a run which is moved keeps its own. Nothing is ever removed: of a file that grows long, lines that say the same
are folded into one that counts them. Data folders, which may be read-only, are never written to.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError

from core.errors import BadRun
from core.files.untrusted import LARGE, read_bytes, read_json
from core.model.card import read_card
from core.runs.status import read_status
from core.runs.test_set.identity import TestSet, test_set_of
from core.runs.test_set.provenance import read_entries
from core.wording import times

log = logging.getLogger(__name__)

FILE = "test_accesses.jsonl"
SETS = ".test_sets"  # in the folder of runs: which images a long access was to, a file a set
LIMIT = 1 << 23  # bytes of a record
MODEL_DIGITS = 16  # of the SHA-256 of weights
FROM_EVALUATION = "opening:"  # begins the id of what stands in evaluation.json only

SCORED, IMAGES, LABELS, HEATMAPS, AUDIT, PREDICTION = "scored", "images", "labels", "heatmaps", "audit", "prediction"
KINDS = {
    SCORED: "scored",
    IMAGES: "images shown",
    LABELS: "labels shown",
    HEATMAPS: "heatmaps",
    AUDIT: "audit of heatmaps",
    PREDICTION: "test file predicted",
}
# Lines that are no access: what was decided after one.
RECIPE, THRESHOLD = "recipe", "threshold"
NOTES = {RECIPE: "recipe saved after test images were shown", THRESHOLD: "threshold chosen again"}
PREPROCESS = "Preprocess"  # the page where recipes are tuned


def _with_zone(when: str) -> str:
    if when and datetime.fromisoformat(when).tzinfo is None:
        raise ValueError("expected a time with its zone")
    return when


def _known_kind(kind: str) -> str:
    if kind not in KINDS and kind not in NOTES:
        raise ValueError(f"expected one of {', '.join((*KINDS, *NOTES))}")
    return kind


@dataclass(frozen=True)
class Access:
    """One access to test images, or (see NOTES) what was decided after one.

    `when`: UTC, ISO 8601, "" where an early version recorded no time. `kind`: of KINDS or NOTES. `where`: page or command.
    `images`: how many of the test set. `run`: by which run ("" in a run's own record: by itself), or `manifest`: of which data
    set. `before_threshold`: whether the threshold of the run that is asked had not been frozen yet. `inherited`: the run that
    it was copied from when this one was forked. `times`: how many lines it stands for, the last of them at `last`. `keys` or
    `test_set` (a file in SETS) say which images; only the folder of runs needs them. `model`: the first digits of the
    SHA-256 of the weights that were scored, "" where an earlier version did not write it down. `external`: the name of the
    external test set of the run by which it is; such a line in a run's own record is no access to its own test set.
    """

    __pydantic_config__ = ConfigDict(strict=True)

    when: Annotated[str, AfterValidator(_with_zone)]
    kind: Annotated[str, AfterValidator(_known_kind)]
    where: str
    images: Annotated[int, Field(ge=0, lt=2**63)]
    run: str = ""
    manifest: str = ""
    detail: str = ""
    before_threshold: bool | None = None
    inherited: str = ""
    times: Annotated[int, Field(ge=0, lt=2**63)] = 1
    last: str = ""
    id: str = ""
    keys: tuple[str, ...] = ()
    test_set: Annotated[str, Field(pattern="^[a-zA-Z0-9]*$")] = ""
    model: str = ""
    external: Annotated[str, Field(max_length=100)] = ""

    @property
    def counts(self) -> bool:
        """Whether it is an access, and not what was decided after one."""
        return self.kind in KINDS

    @property
    def by_itself(self) -> bool:
        """Whether it is a scoring by the run in whose own record it stands."""
        return self.kind == SCORED and not self.run and not self.inherited

    @property
    def of_external(self) -> bool:
        """Whether it is to an external test set of the run in whose own record it stands."""
        return bool(self.external) and not self.run

    @property
    def latest(self) -> str:
        return self.last or self.when

    @property
    def words(self) -> str:
        """The kind in words."""
        return KINDS.get(self.kind) or NOTES[self.kind]


_ACCESS = TypeAdapter(Access)


def accesses(folder: Path) -> tuple[Access, ...]:
    """All accesses to the test images of the run in this folder, and what was decided after them, by time.

    Its own, those inherited when it was forked, those of the folder of runs to the same images (also before it existed), and
    the evaluations in evaluation.json that an earlier version counted.

    Raises:
        BadRun: a record, or evaluation.json, is damaged; that is never taken for "no access".
    """
    found = list(own_accesses(folder))
    if (folder.parent / FILE).exists():
        own = test_set_of(folder)
        others = of_root(folder.parent, own, skip=found)
        found += [replace(judged(each, folder), keys=(), test_set="") for each in others]
    chosen = max((each.latest for each in found if each.kind == THRESHOLD), default="")
    return tuple(
        sorted(
            (replace(each, before_threshold=True) if each.when < chosen else each for each in found), key=lambda each: each.when
        )
    )


def own_accesses(folder: Path) -> tuple[Access, ...]:
    """Those in the folder itself: in its record, and the evaluations in evaluation.json that an earlier version counted.

    Raises:
        BadRun: as `accesses`.
    """
    evaluations = _evaluations(folder)
    models = {each.when: each.model for each in evaluations}
    found = [
        replace(each, model=each.model or models.get(each.when, "")) if each.by_itself else each
        for each in read_record(folder)
        if not each.of_external
    ]
    scored = {each.when for each in found if each.kind == SCORED}
    return (*found, *(each for each in evaluations if each.when not in scored))


def external_detail(content: str) -> str:
    """What a line about an external test set says of its images; `content` is their fingerprint."""
    return f"images {content}"


def external_accesses(folder: Path, own: TestSet, split: str, content: str) -> tuple[Access, ...]:
    """All accesses to the images of an external test set of the run in this folder, by time: its own, and those of others.

    Args:
        own: the images of the set.
        split: its name, external-NAME.
        content: its fingerprint: a name may have been given to other images before.

    Raises:
        BadRun: a record is damaged.
    """
    lines = [each for each in read_record(folder) if each.of_external and each.external == split]
    found = [each for each in lines if each.detail == external_detail(content)]
    others = of_root(folder.parent, own, skip=found) if (folder.parent / FILE).exists() else []
    every = (*found, *(replace(judged(each, folder), keys=(), test_set="") for each in others))
    return tuple(sorted(every, key=lambda each: each.when))


def weights_of(folder: Path) -> str:
    """The first digits of the SHA-256 of the run's weights, as its card says; "" where there is none."""
    try:
        return read_card(folder).weights_sha256[:MODEL_DIGITS]
    except BadRun:  # whoever loads the model says what is wrong with it
        return ""


def access_counts(folder: Path) -> dict[str, int]:
    """How often each kind of access to the run's test set was made; {} when never. Raises BadRun as `accesses`."""
    counts: dict[str, int] = {}
    for each in accesses(folder):
        if each.counts:
            counts[each.kind] = counts.get(each.kind, 0) + each.times
    return counts


def counts_in_words(counts: dict[str, int]) -> str:
    """`2 times scored, once images shown`."""
    return ", ".join(f"{KINDS[kind]} {times(count)}" for kind, count in counts.items())


def read_record(folder: Path) -> tuple[Access, ...]:
    """The lines of a folder's own record, as they were written; () when there is none.

    Raises:
        BadRun: it is damaged, or no regular file.
    """
    path = folder / FILE
    try:
        content = read_bytes(path, LIMIT)
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as error:
        raise _damaged(path, str(getattr(error, "strerror", None) or error)) from error
    return tuple(parse_record(content, path))


def judged(access: Access, folder: Path) -> Access:
    """With whether it came before the threshold of the run in this folder was frozen."""
    status = read_status(folder / "status.json")
    try:
        frozen = read_card(folder).threshold is not None and not status.live
    except BadRun:
        frozen = False
    return replace(access, before_threshold=not frozen)


def parse_record(content: bytes, path: Path) -> list[Access]:
    found = []
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            found.append(_ACCESS.validate_json(line))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise _damaged(path, f"line {number}: {'.'.join(map(str, first['loc']))} {first['msg']}") from error
    return found


def _damaged(path: Path, reason: str) -> BadRun:
    return BadRun(
        f"{path}: damaged: {reason}. It records what the test set was used for: restore it from a copy, or move it away and "
        "say in your report that the record was lost."
    )


def of_root(root: Path, own: TestSet, skip: Sequence[Access] = ()) -> list[Access]:
    """The accesses in the record of the folder of runs to images of this test set, but those that are among `skip`."""
    ids = {each.id for each in skip}
    folded = [each for each in skip if each.last]
    sets: dict[str, frozenset[str]] = {}
    found = []
    for each in read_record(root):
        if each.id in ids or any(holds(mine, each) for mine in folded):
            continue
        if each.test_set and each.test_set not in sets:
            sets[each.test_set] = _read_set(root / SETS / f"{each.test_set}.json")
        if own.keys & (sets[each.test_set] if each.test_set else frozenset(each.keys)):
            found.append(each)
    return found


def holds(mine: Access, other: Access) -> bool:
    """Whether a line, which may have been folded, holds the other."""
    if mine.id == other.id:
        return True
    alike = (mine.kind, mine.where, mine.manifest, mine.external) == (other.kind, other.where, other.manifest, other.external)
    alike = alike and mine.run in ("", other.run)
    return bool(mine.last) and alike and mine.when <= other.when and other.latest <= mine.last


def _read_set(path: Path) -> frozenset[str]:
    try:
        value = read_json(path, LARGE)
        if not isinstance(value, list):
            raise ValueError("expected a list")
        return frozenset(map(str, value))
    except (OSError, ValueError) as error:
        raise _damaged(path, str(getattr(error, "strerror", None) or error)) from error


def _evaluations(folder: Path) -> list[Access]:
    """The evaluations in evaluation.json; an earlier version wrote them there only."""
    test = read_entries(folder).get("test") or {}
    found: list[Access] = []
    try:
        count = int(test.get("opened", 0))
        history = [(str(each["when"]), str(each.get("weights_sha256", ""))) for each in test.get("history", ())]
        last = (str(test.get("last_opened", "")), str(test.get("weights_sha256", "")))
        times = history or ([last] if count else [])
        images = int((test.get("images")) or 0)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _damaged(folder / "evaluation.json", f"the entry of test: {error}") from error
    for number, (when, weights) in enumerate(times):
        # Earlier ones were only counted: the first that is known stands for them too. A first version recorded no time at all.
        more = count - len(times) if number == 0 else 0
        found.append(
            Access(
                when,
                SCORED,
                "evaluate",
                images,
                times=1 + max(0, more),
                before_threshold=False,
                id=f"{FROM_EVALUATION}{when}",
                model=weights[:MODEL_DIGITS],
            )
        )
    return found
