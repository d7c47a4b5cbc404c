"""Which models were scored on a test set: counted for its patients, over all runs, those that were deleted or renamed too.

A test set is used up by every model that is scored on it and not by one run only: after twenty models somebody knows which
kind does well on these patients. Scorings are in the record of the folder of runs (accesses.py), which outlives the runs, and
in those of the runs; the same line in several of them counts once. A model is known by its weights, so that a run that was
renamed or copied is none of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.errors import BadRun
from core.runs.test_set.accesses import (
    FILE,
    FROM_EVALUATION,
    SCORED,
    Access,
    accesses,
    external_accesses,
    holds,
    own_accesses,
    read_record,
    weights_of,
)
from core.runs.test_set.identity import TestSet, all_test_sets, test_set_of
from core.wording import counted, first_few

_NAMED = 5


@dataclass(frozen=True)
class Scoring:
    """A line of a record about a scoring, and whose it is: `own`, of the run that is asked, else of the run of that name."""

    access: Access
    folder: str
    own: bool = False

    @property
    def run(self) -> str:
        return self.access.inherited or self.access.run or self.folder


@dataclass(frozen=True)
class SeenBy:
    """A model that was scored on test images of these patients: `times` times from `first` to `last` (UTC, ISO 8601, "" where
    an early version kept no time), under the name `run`. `own`: it is the model of the run that is asked, as it is now or was.
    """

    run: str
    model: str
    first: str
    last: str
    times: int
    own: bool


@dataclass(frozen=True)
class TestSetUse:
    """All models that were scored on a run's test set, by time; `gap`: why some may be missing, "" when none can be."""

    models: tuple[SeenBy, ...]
    gap: str = ""

    __test__ = False  # no test case

    @property
    def first_evaluated(self) -> str:
        """When the run's own model was first scored on it; "" when never."""
        return min((each.first for each in self.models if each.own), default="")

    @property
    def before(self) -> tuple[SeenBy, ...]:
        """Other models that were scored before the run's own one; all others when that has not been."""
        return tuple(each for each in self.others if not self.first_evaluated or each.first <= self.first_evaluated)

    @property
    def since(self) -> tuple[SeenBy, ...]:
        """Other models that were first scored later than the run's own one."""
        return tuple(each for each in self.others if self.first_evaluated and each.first > self.first_evaluated)

    @property
    def others(self) -> tuple[SeenBy, ...]:
        return tuple(each for each in self.models if not each.own)

    def as_dict(self) -> dict[str, Any]:
        counts = {"before": len(self.before), "since": len(self.since), "gap": self.gap}
        return counts | {"models": [asdict(each) for each in self.models]}


def test_set_use(folder: Path) -> TestSetUse:
    """Which models were scored on test images of the patients in the test set of the run in this folder.

    Raises:
        BadRun: a record is damaged; that is never taken for "no model".
    """
    found = [Scoring(each, folder.name, own=each.by_itself) for each in accesses(folder) if each.kind == SCORED]
    damaged = []
    sharing = [each for each in all_test_sets(folder.parent) if each.folder is not None and each.folder != folder]
    keys = test_set_of(folder).keys
    for other in sharing:
        if other.folder is None or other.keys.isdisjoint(keys):
            continue
        try:
            theirs = [each for each in own_accesses(other.folder) if each.by_itself]
        except BadRun:
            damaged.append(other.name)
            continue
        found += [Scoring(each, other.name) for each in theirs if not any(holds(known.access, each) for known in found)]
    current = weights_of(folder)
    return TestSetUse(tuple(_models(found, current)), _gap(folder, found, damaged))


def external_use(folder: Path, own: TestSet, split: str, content: str) -> TestSetUse:
    """Which models were scored on the images of an external test set of the run in this folder, or on its patients.

    Args:
        own: the images of the set.
        split: its name, external-NAME.
        content: its fingerprint.

    Raises:
        BadRun: a record is damaged.
    """
    lines = [each for each in external_accesses(folder, own, split, content) if each.kind == SCORED]
    found = [Scoring(each, folder.name, own=each.of_external) for each in lines]
    return TestSetUse(tuple(_models(found, weights_of(folder))), _gap(folder, found, ()))


test_set_use.__test__ = False  # type: ignore[attr-defined]


def seen_words(use: TestSetUse, patients: bool = True) -> list[str]:
    """What to say of it, in sentences; `patients`: whether patients are known, else images are spoken of."""
    whose = "of the same patients" if patients else "among these"
    sentences = []
    if use.before:
        when = "before this run's own was" if use.first_evaluated else "already"
        sentences.append(
            f"{_models_words(len(use.before))} had been scored on test images {whose} {when}, {_when(use.before)}: "
            f"{_names(use.before)}."
        )
    else:
        first = f"before this run's own was, on {_day(use.first_evaluated)}" if use.first_evaluated else "so far"
        sentences.append(f"No other model is on record as scored on test images {whose} {first}.")
    if use.since:
        sentences.append(f"{_models_words(len(use.since))} followed, {_when(use.since)}: {_names(use.since)}.")
    return [*sentences, *([use.gap] if use.gap else [])]


def _models_words(count: int) -> str:
    return counted(count, "other model")


def _when(models: Sequence[SeenBy]) -> str:
    first, last = _day(min(each.first for each in models)), _day(max(each.last for each in models))
    return f"on {first}" if first == last else f"from {first} to {last}"


def _day(when: str) -> str:
    return when[:10] or "a day that is not recorded"


def _names(models: Sequence[SeenBy]) -> str:
    return first_few((each.run for each in models), _NAMED)


def _models(found: Sequence[Scoring], current: str) -> list[SeenBy]:
    """One for each model; a line of an early version, which names no weights, goes to its run's only known model."""
    weights: dict[tuple[str, bool], set[str]] = {}
    for each in found:
        if each.access.model:
            weights.setdefault((each.run, each.own), set()).add(each.access.model)
    models: dict[str, list[Scoring]] = {}
    for each in found:
        known = weights.get((each.run, each.own), set())
        model = each.access.model or (next(iter(known)) if len(known) == 1 else "")
        models.setdefault(model or f"run {each.run} {each.own}", []).append(each)
    rows = [
        SeenBy(
            run=next((each.run for each in lines if each.own), lines[0].run),
            model="" if model.startswith("run ") else model,
            first=min(each.access.when for each in lines),
            last=max(each.access.latest for each in lines),
            times=sum(each.access.times for each in lines),
            own=any(each.own for each in lines) or model == current,
        )
        for model, lines in models.items()
    ]
    return sorted(rows, key=lambda row: (row.first, row.run))


def _gap(folder: Path, found: Sequence[Scoring], damaged: Sequence[str]) -> str:
    """That a record is damaged, or that the one of the folder of runs lacks what the runs themselves say."""
    said = [f"The record of {', '.join(damaged)} is damaged, and what it scored may be missing here."] if damaged else []
    there = read_record(folder.parent)
    lines = [each.access for each in found if not each.access.inherited]
    lost = [each for each in lines if not any(holds(known, each) for known in there)]
    if lost:
        if all(each.id.startswith(FROM_EVALUATION) for each in lost):
            why = "an earlier version, which wrote none, scored some of them"
        else:
            why = "it was deleted, or runs were moved here from another folder"
        what = f"The record of the folder of runs ({FILE}) {'does not hold all of these' if there else 'is missing'}"
        said.append(f"{what}: {why}. Models that were deleted, or are elsewhere, may be missing from this count.")
    return " ".join(said)
