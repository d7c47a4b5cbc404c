"""What a study asks: which settings are compared, over how many folds of the patients."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from core.errors import BadConfig
from core.files.typed import first_problem
from core.runs.names import clean_name
from core.studies.search_space import SECTIONS, Search, require_changeable

MOST_JOBS = 5_000
SEARCHED = (0, 0)  # repeat and fold that the trials of a search are held out on
TRIAL = "trial-"  # how names of trials' runs begin
FEWEST_FOLDS = 3  # of a search: with two, nothing would be left to choose thresholds on
_LONGEST_SLUG = 48


class Design(BaseModel):
    """A study's question, as study.yaml has it.

    `factors` are settings with the values to compare ({"preprocessing.clahe": [True, False]}); the first value of each is the
    reference. Settings of a section that change together are one factor, named as the section, whose values say what they set
    ({"preprocessing": [{}, {"clahe": False, "gamma": 1.2}]}). With `how` "full" every combination is trained, with "one at a
    time" the reference and, for each other value, the reference with that value alone. Each is trained on `folds` parts of the
    patients in turn, drawn `repeats` times with the seeds `seed`, `seed` + 1, ...

    With `train_folds` only the first so many folds of a repeat are held out in turn; the others are trained on alone. `earlier`
    says how many values each setting had before each extension, so that what was trained keeps its name.

    With `search` nothing is compared by hand: trials look for the best settings with the first fold of the first repeat held
    out, and the best ones are compared with config.yaml on the other folds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    question: str = Field("", max_length=2_000)
    folds: int = Field(5, ge=2, le=50)
    repeats: int = Field(1, ge=1, le=50)
    seed: int = Field(0, ge=0, lt=2**31)
    factors: dict[str, list[Any]] = Field(default_factory=dict)
    how: Literal["full", "one at a time"] = "full"
    search: Search | None = None
    train_folds: int | None = Field(None, ge=1)
    earlier: list[dict[str, int]] = Field(default_factory=list)

    @classmethod
    def of(cls, values: dict[str, Any], source: str) -> Self:
        """The design with these values. Raises BadConfig: one of them is impossible."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise BadConfig(f"{source}: {first_problem(error)}") from error

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for name, values in self.factors.items():
            if name not in SECTIONS:
                require_changeable(name, "compared")
            if name in SECTIONS and not all(isinstance(value, Mapping) for value in values):
                raise ValueError(f"{name}: expected what each value sets, for example [{{}}, {{setting: value}}], got {values}")
            if any("training.seed" in flat({name: value}) for value in values):
                raise ValueError("training.seed is set by the repeats of a study: use repeats")
            if len(values) < 2 or any(value in values[:place] for place, value in enumerate(values)):
                raise ValueError(f"{name}: expected at least two different values, got {values}")
        if self.search is not None and self.factors:
            raise ValueError("expected either settings to compare or a search, got both. Make two studies")
        if self.search is not None and self.folds < FEWEST_FOLDS:
            raise ValueError(
                f"expected at least {FEWEST_FOLDS} folds, got {self.folds}: a search looks at the first one, which then cannot "
                "show how good the best settings are"
            )
        if self.train_folds is not None and self.train_folds > self.folds:
            raise ValueError(
                f"expected at most {self.folds} folds to train, which is how many there are, got {self.train_folds}"
            )
        if self.search is not None and self.train_folds is not None and self.train_folds < FEWEST_FOLDS:
            raise ValueError(f"expected at least {FEWEST_FOLDS} folds to train, since a search looks at the first one")
        sizes = [2] if self.search is not None else [len(values) for values in self.factors.values()]
        cells = math.prod(sizes) if self.how == "full" else 1 + sum(size - 1 for size in sizes)
        jobs = cells * (self.train_folds or self.folds) * self.repeats  # counted before they are listed
        if jobs > MOST_JOBS:
            raise ValueError(f"expected at most {MOST_JOBS:,} trainings, got {jobs:,}. Leave out values, folds or repeats")
        return self

    @property
    def cells(self) -> tuple[Cell, ...]:
        """What is compared, the reference first. With a search: config.yaml as it is, and the best trial's settings, once they
        are known; config.yaml alone where it was the best."""
        if self.search is not None:
            winner = self.search.winner
            best = Cell(1, {} if winner is None else winner.settings, title="winner")
            plain = Cell(0, {}, title="reference")
            return (plain,) if winner is not None and winner.reference else (plain, best)
        names, combinations = list(self.factors), self._combinations({})
        if self.earlier:
            known: dict[str, tuple[Any, ...]] = {}
            for counts in (*self.earlier, {}):
                known |= {key: each for each in self._combinations(counts) if (key := json.dumps(each)) not in known}
            combinations = list(known.values())
        last = [name.split(".")[-1] for name in names]
        short = {name: each if last.count(each) == 1 else name for name, each in zip(names, last, strict=True)}
        return tuple(Cell(number, dict(zip(names, each, strict=True)), short) for number, each in enumerate(combinations))

    def _combinations(self, counts: Mapping[str, int]) -> list[tuple[Any, ...]]:
        """All combinations of values, the reference first; of a setting in `counts` only the first so many values."""
        values = [each[: counts.get(name)] for name, each in self.factors.items()]
        if self.how == "full":
            return list(itertools.product(*values))
        reference = tuple(each[0] for each in values)
        found = [reference]
        for place, levels in enumerate(values):
            found += [(*reference[:place], level, *reference[place + 1 :]) for level in levels[1:]]
        return found

    def extended(
        self, *, repeats: int | None = None, train_folds: int | None = None, values: Mapping[str, list[Any]] | None = None
    ) -> Self:
        """A longer design: so many repeats, so many folds trained, further values of settings. What was in it keeps its name.

        Raises:
            BadConfig: it would not be longer, or is impossible.
        """
        changes: dict[str, Any] = {}
        if repeats is not None:
            if repeats <= self.repeats:
                raise BadConfig(f"expected more than {self.repeats} repeats, got {repeats}")
            changes["repeats"] = repeats
        if train_folds is not None:
            if self.train_folds is None:
                raise BadConfig(f"all {self.folds} folds are trained already; more repeats draw other folds")
            if train_folds <= self.train_folds:
                raise BadConfig(f"expected more than {self.train_folds} folds to train, got {train_folds}")
            changes["train_folds"] = None if train_folds == self.folds else train_folds
        if self.search is not None and values:
            raise BadConfig("a search compares what it has found with config.yaml: no further values are possible")
        if values:
            if empty := next((name for name, each in values.items() if not each), ""):
                raise BadConfig(f"{empty}: expected further values, got none")
            if new := next((name for name in values if name not in self.factors), ""):
                known = ", ".join(self.factors) or "nothing"
                raise BadConfig(f"{new}: this study does not compare it. Give further values of {known}, or make another study")
            longer = {name: [*each, *values.get(name, [])] for name, each in self.factors.items()}
            changes |= {"factors": longer, "earlier": [*self.earlier, {name: len(each) for name, each in self.factors.items()}]}
        if not changes:
            raise BadConfig("expected more repeats, more folds to train, or further values")
        return type(self).of(self.model_dump() | changes, "study")

    @property
    def jobs(self) -> tuple[Job, ...]:
        """All trainings: every cell on a fold before the next fold, so that comparisons are possible early. The fold that a
        search has looked at is left out."""
        return tuple(
            Job(cell, repeat, fold)
            for repeat in range(self.repeats)
            for fold in range(self.train_folds or self.folds)
            for cell in self.cells
            if self.search is None or (repeat, fold) != SEARCHED
        )


@dataclass(frozen=True)
class Cell:
    """One combination of settings; number 0 is the reference."""

    number: int
    settings: dict[str, Any] = field(hash=False)
    short: dict[str, str] = field(hash=False, default_factory=dict)  # what a setting is called where it is not ambiguous
    title: str = ""  # in place of the settings, where they are long or not known yet

    @property
    def label(self) -> str:
        """The settings in a few words: "clahe true, clip_limit 2"; or its title."""
        if self.title:
            return self.title
        words = (
            plain_value(value) if name in SECTIONS else f"{self.short.get(name, name)} {plain_value(value)}"
            for name, value in self.settings.items()
        )
        return ", ".join(words) or "cross-validation"

    @property
    def slug(self) -> str:
        """The label as part of a folder's name."""
        return clean_name(self.label)[:_LONGEST_SLUG].strip("-.")


@dataclass(frozen=True)
class Job:
    """One training: a cell, with one fold of one repeat held out. Repeats and folds count from 0, in names from 1."""

    cell: Cell
    repeat: int
    fold: int

    @property
    def name(self) -> str:
        """The name of its run."""
        return f"{self.cell.number + 1:02d}-{self.cell.slug}-r{self.repeat + 1}f{self.fold + 1}"


class TrialJob(Job):
    """The training of a trial of a search."""

    @classmethod
    def of(cls, number: int, settings: dict[str, Any]) -> TrialJob:
        """That of the trial `number`, from 1."""
        return cls(Cell(number, settings, title=f"trial {number}"), *SEARCHED)

    @property
    def name(self) -> str:
        """The name of its run: trial-0007."""
        return f"{TRIAL}{self.cell.number:04d}"


def flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by their full names: those that a section's value sets, one by one."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if name in SECTIONS and isinstance(value, Mapping):
            found |= {f"{name}.{own}": each for own, each in value.items()}
        else:
            found[name] = value
    return found


def plain_value(value: Any) -> str:
    if isinstance(value, Mapping):
        return " + ".join(f"{name} {plain_value(each)}" for name, each in value.items()) or "configured settings"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "x".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
