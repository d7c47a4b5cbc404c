"""What a report is made from: everything the run folder holds, read once. Opens no split and computes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pandas as pd

from core.config import Config
from core.data import is_synthetic
from core.data.identity import patients_known, without_patient
from core.errors import BadRun
from core.evaluate import Evaluation, external_splits, read_evaluation
from core.evaluate.endpoint import Declared, read_declared
from core.evaluate.fitted import fitted_words
from core.evaluate.headline import headline_aucs
from core.evaluate.result import REFUSED
from core.heatmap_audit import HeatmapAudit, audited_splits, read_heatmap_audit
from core.metrics import Interval
from core.metrics.chance import CONFIDENCE
from core.metrics.composition import Association, associations
from core.metrics.headline_auc import HeadlineAuc
from core.metrics.levels import UNITS, Level, at_level
from core.metrics.summary import auc_or_note
from core.model.card import ModelCard
from core.report.document import Author
from core.report.notes import FILE, Notes, read_notes
from core.runs.events import EpochEvent, Event, LastEvents, remember
from core.runs.split_origin import NOT_RECORDED, SplitOrigin, read_split_origin
from core.runs.status import read_status
from core.runs.test_set.accesses import Access, accesses
from core.runs.test_set.identity import fingerprint
from core.runs.test_set.models import TestSetUse, test_set_use
from core.runs.test_set.provenance import Parent, read_parent

if TYPE_CHECKING:
    from core.runs import Run

Read = TypeVar("Read")
SPLIT_WORDS = {"train": "training", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class Left:
    """An image that has no score: its row in the run's manifest.csv (from 1, 0 unknown), its set, and why. `refused`: it could
    be read, but the model gives it no verdict.
    """

    row: int
    split: str
    when: str
    reason: str
    refused: bool = False


@dataclass(frozen=True)
class Material:
    """What was read from the run folder; what stands in a damaged record is stated in words. `audits` of the heatmaps by split;
    `parent`: the run that a fork began with; `externals`: evaluations on other collections, apart from those of the run's own
    splits (`evaluations`).
    """

    run: Run
    card: ModelCard
    config: Config
    rows: pd.DataFrame
    events: list[Event]
    evaluations: dict[str, Evaluation]
    audits: dict[str, HeatmapAudit | str]
    notes: Notes
    parent: Parent | None = None
    externals: dict[str, Evaluation] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.run.name

    @property
    def synthetic(self) -> bool:
        return self.card.synthetic or is_synthetic(self.rows)

    @property
    def fitted(self) -> str:
        """That thresholds and calibration were fitted on images that get no verdict in use; "" where they were not."""
        found = self.evaluations.get("val")
        return "" if found is None else fitted_words(self.run, len(found.predictions), self.units)

    @property
    def test(self) -> Evaluation | None:
        return self.evaluations.get("test")

    @property
    def shown(self) -> Evaluation | None:
        """The evaluation that stands for the run: of the test set, else of validation."""
        return self.test or self.evaluations.get("val")

    @property
    def units(self) -> str:
        """What the model scores, in words: images, or breasts where it judges all views of one together."""
        return UNITS[self.card.scored]

    @property
    def confidence(self) -> float:
        """The level of the intervals: of the evaluation that stands for the run, else as configured."""
        return self.config.evaluation.confidence if self.shown is None else self.shown.summary.confidence

    @property
    def architecture(self) -> str:
        return self.card.architecture

    def command(self, words: str) -> str:
        """A command about this run, to be shown as code."""
        return f"`python -m core {words.format(run=self.name)}`"

    def ask(self, key: str) -> Author:
        """The question of report.yaml with its answer, if there is one."""
        return Author(key, self.notes.question(key), self.notes.answer(key))

    @cached_property
    def last(self) -> LastEvents:
        """The last event of each type."""
        found: LastEvents = {}
        for event in self.events:
            remember(found, event)
        return found

    def _read(self, read: Callable[[Path], Read]) -> Read | str:
        """What `read` gives of the run's folder; in words where a record is damaged."""
        try:
            return read(self.run.path)
        except BadRun as error:
            return str(error).replace(str(self.run.path), self.name).replace(str(self.run.path.parent), "the folder of runs")

    @cached_property
    def accesses(self) -> tuple[Access, ...] | str:
        """To the test set, by time. Read when first asked for: the report's own pictures of test images are among them."""
        return self._read(accesses)

    @cached_property
    def level_against_chance(self) -> Level:
        """The level of the AUC that decides whether the model is better than chance: of the primary endpoint, else images."""
        declared = self.declared
        if self.test is None or isinstance(declared, str) or declared.endpoint is None or not declared.before:
            return "image"
        # read_declared lets nothing but a Level pass
        return cast(Level, declared.endpoint.level) if declared.endpoint.metric == "auc" and self.patients_known else "image"

    @cached_property
    def auc_against_chance(self) -> Interval | str:
        """With the limits that decide whether a model is better than chance: of one level of confidence for every run."""
        evaluation, level = self.shown, self.level_against_chance
        if evaluation is None:
            return "not evaluated"
        summary = evaluation.levels[level]
        if isinstance(summary, str) or summary.confidence == CONFIDENCE:
            return summary if isinstance(summary, str) else summary["auc"]
        frame = at_level(evaluation.predictions, level)
        return auc_or_note((frame["label"] == "malignant").to_numpy(), frame["score"], frame["patient_id"], CONFIDENCE)

    @cached_property
    def declared(self) -> Declared | str:
        """The primary endpoint."""
        return self._read(read_declared)

    @cached_property
    def associations(self) -> tuple[Association, ...]:
        """How well counts of images and sides tell a patient's label in each set; none where no patient is known."""
        return associations(self.rows, self.confidence) if self.patients_known else ()

    @cached_property
    def headline_aucs(self) -> dict[str, HeadlineAuc]:
        """The AUCs by breast and patient of what is shown, with their rules."""
        return headline_aucs(self.shown) if self.shown is not None and self.patients_known else {}

    @cached_property
    def use(self) -> TestSetUse | str:
        """Which models were scored on the test set."""
        return self._read(test_set_use)

    @cached_property
    def split_origin(self) -> SplitOrigin | str:
        """Where the sets come from, or that it was not recorded."""
        return self._read(read_split_origin) or NOT_RECORDED

    @cached_property
    def created(self) -> float | None:
        """When the run was made, seconds since 1970; None where its status does not say."""
        return read_status(self.run.path / "status.json").created

    @cached_property
    def patients_known(self) -> bool:
        """Whether the manifest knows patients; where every file is a patient of its own, nothing is said of patients."""
        return patients_known(self.rows)

    @cached_property
    def without_patient(self) -> int:
        """How many images are a patient of their own, since nobody knows whose they are."""
        return int(without_patient(self.rows).sum())

    @cached_property
    def epochs(self) -> list[EpochEvent]:
        return [event for event in self.events if event["type"] == "epoch"]

    @cached_property
    def left(self) -> tuple[Left, ...]:
        """Every image without a score, once, in the order of the manifest."""
        paths = self.rows["path"].astype("str").tolist()
        rows = {path: number for number, path in enumerate(paths, start=1)}
        reasons: dict[str, tuple[str, str]] = {
            event["path"]: ("before training", event["reason"]) for event in self.events if event["type"] == "excluded"
        }
        reasons |= {path: ("before training", reason) for path, reason in self.run.excluded().items()}
        for evaluation in self.evaluations.values():
            reasons |= {item.path: ("at evaluation", item.reason) for item in evaluation.excluded}
        refused = {item.path for each in self.evaluations.values() for item in each.excluded if item.kind == REFUSED}
        found = []
        for path, (when, reason) in reasons.items():
            row = rows.get(path, 0)
            about: Mapping[Any, Any] = self.rows.iloc[row - 1].to_dict() if row else {}
            split, patient = str(about.get("split", "")), str(about.get("patient_id", ""))
            found.append(Left(row, split, when, anonymous(reason, path, patient), path in refused))
        return tuple(sorted(found, key=lambda item: (item.row, item.reason)))


def read_material(run: Run) -> Material:
    """Read the run folder.

    Raises:
        BadRun: the run has no model yet, or its files are damaged.
        BadConfig: report.yaml cannot be used.
    """
    card = run.model_card()
    evaluations = {split: read_evaluation(run, split) for split in ("test", "val")}
    audits = {split: _audit(run, split) for split in audited_splits(run)}
    return Material(
        run=run,
        card=card,
        config=run.config(),
        rows=run.manifest(),
        events=run.events(),
        evaluations={split: found for split, found in evaluations.items() if found is not None},
        audits={split: audit for split, audit in audits.items() if audit is not None},
        notes=read_notes(run.path / FILE),
        parent=read_parent(run.path),
        externals={split: found for split in external_splits(run) if (found := read_evaluation(run, split)) is not None},
    )


def _audit(run: Run, split: str) -> HeatmapAudit | str | None:
    """The audit of this split; in words where it cannot be read: it is easily made again, and hides nothing else."""
    try:
        return read_heatmap_audit(run, split)
    except BadRun:
        return "damaged or of another version"


def anonymous(text: str, path: str, patient: str = "") -> str:
    """The text without the file's path, name and folder, and without the patient: hospitals' file names often hold both."""
    place = Path(path)
    for word in (path, str(place), place.as_posix(), str(place.parent), place.name, place.stem):
        if len(word) > 2:
            text = text.replace(word, "the file")
    return text.replace(patient, "the patient") if len(patient) > 2 else text


def split_fingerprint(rows: pd.DataFrame, split: str) -> str:
    """A SHA-256 (16 hex digits) of the split's images, patients and labels, whatever their order or folder.

    Two runs with the same fingerprint were evaluated on the same images. Images count by content hash where the
    manifest has one, else by file name.
    """
    return fingerprint(rows[rows["split"] == split])


def sha256_of(path: Path) -> str:
    """Of a file's bytes, in hex; in words where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        return f"cannot be read: {error.strerror}"
