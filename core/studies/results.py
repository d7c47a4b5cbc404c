"""What a study has found so far: out-of-fold metrics of each combination of settings, and paired differences to the reference.

Each image was scored by the run that did not train on it. Only images that one run has scored are compared: scores of two runs
are not on one scale, so the AUC counts pairs within a fold. Patients are what is independent; in several repeats they are the
same ones. Everything is made again from the runs' predictions, nothing is stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
import pandas as pd

from core.config import EvaluationConfig
from core.data.identity import nobody_known
from core.errors import LabError, NotEnoughData
from core.evaluate.store import read_predictions
from core.files.typed import to_plain
from core.metrics import Level, ThresholdRule, at_level, rule_of, summarize
from core.metrics.delong import AucComparison
from core.metrics.intervals import SIGNIFICANT, Estimate, Interval, OrNote
from core.metrics.levels import of_breasts
from core.metrics.subgroups import holm
from core.runs.history import History
from core.runs.run import Run
from core.studies.design import SEARCHED, Cell, Design, Job
from core.studies.folds import COLUMN
from core.studies.misfits import misfits
from core.studies.pooled import pooled_auc, pooled_difference
from core.studies.study import Study
from core.wording import counted, p_value

OPTIMISTIC = (
    "Each run chooses its best epoch on the fold that it is scored on, so the metrics are optimistic; differences between "
    "settings share that. Intervals and p values are about the models as trained: they do not hold what other seeds would "
    "change, which repeats show. The test split takes no part."
)
SEARCH_NOTICE = (
    "The search compared its trials on the first fold, which is left out here: the best of many looks better there than it is. "
    "Its trials were trained on the other folds, so a little of that may be left; only new patients, or the sealed test split, "
    "are free of it."
)


_NAMED = 3  # combinations without a difference that the answer names


@dataclass(frozen=True)
class CellResult:
    """One combination of settings over the folds that are trained.

    `folds` are trained ones, of all repeats; `images` counts each once. `auc` counts pairs within folds; `by_fold` are the AUCs
    of single folds, whose repeat and fold, from 1, stand in `held_out` ("1.2"). `sensitivity` and `specificity` are at
    thresholds that were chosen, by the configured rule, on the other folds of the same repeat; `threshold` is what that rule
    chooses on all of them together. `minutes` is the time of all epochs of its runs. `difference` is the AUC less the
    reference's on the same images, `p` its test and `adjusted_p` Holm's over all combinations; None for the reference.
    """

    label: str
    settings: dict[str, Any]
    folds: int
    images: int
    patients: int
    auc: Estimate
    by_fold: tuple[float | None, ...]
    held_out: tuple[str, ...]
    sensitivity: Estimate
    specificity: Estimate
    threshold: float | None
    minutes: float
    difference: Annotated[Interval | str, OrNote()] | None = None
    p: float | None = None
    adjusted_p: float | None = None

    @property
    def spread(self) -> str:
        """Lowest and highest AUC of a fold: "0.61 to 0.74"."""
        known = [each for each in self.by_fold if each is not None]
        return f"{min(known):.3f} to {max(known):.3f}" if known else "–"


@dataclass(frozen=True)
class StudyResults:
    """All combinations, the reference first; `trained` of `runs` runs are finished, `failed` has the reasons of the others that
    ended."""

    study: str
    question: str
    level: Level
    trained: int
    runs: int
    failed: dict[str, str]
    cells: tuple[CellResult, ...]
    confidence: float
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain: dict[str, Any] = to_plain(self)
        return plain | {"answer": self.answer}

    @property
    def answer(self) -> str:
        """In a sentence or two what is shown and what is not."""
        reference, *others = self.cells
        tested = [each for each in others if isinstance(each.difference, Interval) and each.adjusted_p is not None]
        early = "" if self.trained == self.runs else f" So far {self.trained} of {self.runs} runs are trained."
        if not others:
            found = isinstance(reference.auc, Interval)
            return (f"AUC {reference.auc} over {counted(reference.folds, 'fold')}." if found else str(reference.auc)) + early
        if not tested:
            return "No comparison is possible yet: no fold has been trained with both the reference and another setting."
        shown = [each for each in tested if each.adjusted_p is not None and each.adjusted_p < SIGNIFICANT]
        words = [
            f"{each.label} has {'a higher' if each.difference.value > 0 else 'a lower'} AUC than {reference.label} "
            f"({each.difference:+.3f}, adjusted p {p_value(each.adjusted_p)})"
            for each in shown
            if isinstance(each.difference, Interval) and each.adjusted_p is not None
        ]
        left = [each.label for each in tested if each not in shown]
        rest = left if len(left) <= _NAMED else [f"any of {len(left)} other combinations"]
        said = f"Shown: {'; '.join(words)}." if words else ""
        unshown = (
            f"No difference to {reference.label} is shown for {' or '.join(rest)}: that is no proof of equality."
            if rest
            else ""
        )
        return " ".join(filter(None, (said, unshown if rest else ""))) + early

    def table_rows(self) -> list[tuple[str, ...]]:
        """(settings, folds, AUC, AUCs of folds, sensitivity, specificity, difference, adjusted p, minutes), a row each."""
        return [
            (
                each.label,
                str(each.folds),
                _text(each.auc),
                each.spread,
                _text(each.sensitivity),
                _text(each.specificity),
                "reference" if each.difference is None else _text(each.difference, "+.3f"),
                "" if each.adjusted_p is None else p_value(each.adjusted_p),
                f"{each.minutes:.1f}",
            )
            for each in self.cells
        ]


HEADS = ("settings", "folds", "AUC", "AUC by fold", "sensitivity", "specificity", "difference", "adjusted p", "minutes")


def results_of(study: Study, *, level: Level | None = None) -> StudyResults:
    """What the study's finished runs say. `level` None: images, or breasts where a model judges these.

    Raises:
        LabError: the study's files, or predictions of a run, are damaged; a level that the data cannot be read at.
    """
    design, config = study.design(), study.config().evaluation
    runs = study.runs
    finished = {job: run for job, run in runs.items() if run is not None and run.status().state == "done"}
    failed = study.failures() | {
        job.name: run.status().reason for job, run in runs.items() if run is not None and run.status().state == "failed"
    }
    manifest = study.manifest()
    seen = _searched(design, manifest)
    tables: dict[int, pd.DataFrame] = {}
    for cell in design.cells:
        frames = [_predictions(job, run, level, seen) for job, run in finished.items() if job.cell.number == cell.number]
        tables[cell.number] = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    known = [table for table in tables.values() if not table.empty]
    shown = level or ("breast" if known and known[0].attrs.get("breasts") else "image")
    minutes = {cell.number: 0.0 for cell in design.cells}
    for job, run in finished.items():
        minutes[job.cell.number] += minutes_of(run)
    counts = Counts(len(finished), len(runs), failed)
    found = summarized(study.name, design, tables, minutes, counts, config, level=shown)
    about = (nobody_known(manifest), *_about_search(design), *misfits(study, finished, manifest), _left_out(finished.values()))
    return replace(found, warnings=tuple(filter(None, about)))


def _left_out(runs: Iterable[Run]) -> str:
    """A sentence on the images that trainings could not read, which are in no result; "" where there are none."""
    found = {path: reason for run in runs for path, reason in run.excluded().items()}
    if not found:
        return ""
    path, reason = next(iter(found.items()))
    return (
        f"{counted(len(found), 'image')} could not be read and took no part in the runs that list "
        f"{'it' if len(found) == 1 else 'them'} in excluded.csv. The first: {reason if path in reason else f'{path}: {reason}'}"
    )


def _searched(design: Design, manifest: pd.DataFrame) -> frozenset[str]:
    """The patients whom the trials of a search were compared on: they show nothing about the best trial."""
    if design.search is None:
        return frozenset()
    repeat, fold = SEARCHED
    return frozenset(manifest.loc[manifest[COLUMN.format(repeat + 1)].astype("int64") == fold, "patient_id"].astype("str"))


def _about_search(design: Design) -> tuple[str, ...]:
    if design.search is None:
        return ()
    if design.search.winner is not None and design.search.winner.reference:
        return ("The best trial has the settings of config.yaml: the search has found nothing better, so nothing is compared.",)
    return (SEARCH_NOTICE,)


@dataclass(frozen=True)
class Counts:
    """Finished trainings of all, and the reasons of those that failed."""

    trained: int
    runs: int
    failed: dict[str, str]


def summarized(
    name: str,
    design: Design,
    tables: Mapping[int, pd.DataFrame],
    minutes: Mapping[int, float],
    counts: Counts,
    config: EvaluationConfig,
    *,
    level: Level,
) -> StudyResults:
    """The results of out-of-fold scores: for each cell's number a table with label, score, patient_id, fold, repeat and unit, a
    row a unit of `level`; empty where there are none yet."""
    rule, confidence, samples = rule_of(config), config.confidence, config.bootstrap_samples
    results = [_cell(cell, tables[cell.number], rule, confidence, samples, minutes[cell.number]) for cell in design.cells]
    compared = _compared(design, tables, confidence)
    adjusted = iter(holm([each.p for each in compared.values() if isinstance(each, AucComparison)]).tolist())
    for number, found in compared.items():
        values: dict[str, Any] = {"difference": found if isinstance(found, str) else found.difference}
        if isinstance(found, AucComparison):
            values |= {"p": found.p, "adjusted_p": next(adjusted)}
        results[number] = replace(results[number], **values)
    return StudyResults(name, design.question, level, counts.trained, counts.runs, counts.failed, tuple(results), confidence)


def _predictions(job: Job, run: Run, level: Level | None, seen: frozenset[str]) -> pd.DataFrame:
    """Out-of-fold scores of a run, a row a unit of the level, with the fold that they are of; without the patients `seen`, whom
    the folds of a further repeat hold."""
    scored = read_predictions(run, "val")
    if seen:
        scored = scored[~scored["patient_id"].astype("str").isin(seen)].reset_index(drop=True)
    breasts = of_breasts(scored)
    wanted = level or ("breast" if breasts else "image")
    table = at_level(scored, wanted)
    if wanted == "image":
        unit = table["path"].astype("str")
    else:  # a breast of unknown side stands for itself: the order is that of its first image
        names = table["patient_id"].astype("str") + "\0" + table["laterality"].astype("str")
        unit = names + "\0" + names.groupby(names).cumcount().astype("str")
    found = table.assign(fold=f"{job.repeat + 1}.{job.fold + 1}", repeat=job.repeat, unit=unit)
    found.attrs["breasts"] = breasts
    return found


def _cell(cell: Cell, table: pd.DataFrame, rule: ThresholdRule, confidence: float, samples: int, minutes: float) -> CellResult:
    if table.empty:
        note = "no run of it is finished"
        return CellResult(cell.label, cell.settings, 0, 0, 0, note, (), (), note, note, None, minutes)
    labels, scores = (table["label"] == "malignant").to_numpy(), table["score"].to_numpy()
    patients, folds = table["patient_id"].to_numpy(), table["fold"].to_numpy()
    names = sorted(set(folds), key=lambda name: [int(part) for part in name.split(".")])
    return CellResult(
        label=cell.label,
        settings=cell.settings,
        folds=len(names),
        images=table["unit"].nunique(),
        patients=len(set(patients)),
        auc=_auc(labels, scores, patients, folds, table["repeat"].to_numpy(), _folds_of(table), confidence),
        by_fold=tuple(_area(labels[folds == name], scores[folds == name]) for name in names),
        held_out=tuple(names),
        **_at_thresholds(table, labels, scores, rule, confidence, samples),
        minutes=minutes,
    )


def _folds_of(table: pd.DataFrame) -> int:
    """Folds of a repeat."""
    return int(table.groupby("repeat")["fold"].nunique().max())


def _auc(labels: Any, scores: Any, patients: Any, strata: Any, repeats: Any, folds: int, confidence: float) -> Interval | str:
    try:
        return pooled_auc(labels, scores, patients, strata, repeats, folds, confidence)
    except NotEnoughData as error:
        return str(error)


def _area(labels: Any, scores: Any) -> float | None:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels, scores)) if 0 < labels.sum() < labels.size else None


def _at_thresholds(
    table: pd.DataFrame, labels: Any, scores: Any, rule: ThresholdRule, confidence: float, samples: int
) -> dict[str, Any]:
    """Sensitivity and specificity at thresholds that the other folds of a repeat choose, and the threshold of all folds."""
    folds, repeats = table["fold"].to_numpy(), table["repeat"].to_numpy()
    applied = np.full(labels.size, np.nan)
    try:
        threshold = rule.choose(labels, scores)
        for name in set(folds):
            own = folds == name
            others = ~own & (repeats == repeats[own][0])
            applied[own] = rule.choose(labels[others], scores[others])
    except NotEnoughData as error:
        note = f"no threshold can be chosen on other folds: {error}"
        return {"sensitivity": note, "specificity": note, "threshold": None}
    summary = summarize(
        labels,
        scores,
        threshold,
        table["patient_id"].to_numpy(),
        confidence=confidence,
        samples=samples,
        row_thresholds=applied,
    )
    return {"sensitivity": summary["sensitivity"], "specificity": summary["specificity"], "threshold": float(threshold)}


def _compared(design: Design, tables: Mapping[int, pd.DataFrame], confidence: float) -> dict[int, AucComparison | str]:
    """Each combination against the reference, on the images and folds that both have."""
    found: dict[int, AucComparison | str] = {}
    for cell in design.cells[1:]:
        reference, other = tables[0], tables[cell.number]
        if reference.empty or other.empty:
            found[cell.number] = "not both have been trained on a fold yet"
            continue
        on = ["fold", "unit"]
        both = reference.merge(other[[*on, "score"]], on=on, suffixes=("", "_other"), validate="one_to_one")
        if both.empty:
            found[cell.number] = "not both have been trained on a fold yet"
            continue
        try:
            found[cell.number] = pooled_difference(
                (both["label"] == "malignant").to_numpy(),
                both["score"].to_numpy(),
                both["score_other"].to_numpy(),
                both["patient_id"].to_numpy(),
                both["fold"].to_numpy(),
                both["repeat"].to_numpy(),
                _folds_of(both),
                confidence,
            )
        except NotEnoughData as error:
            found[cell.number] = str(error)
    return found


def minutes_of(run: Run) -> float:
    """Training time of a run without its pauses, in minutes: that of its epochs."""
    try:
        history = History.of(run.events())
    except LabError:
        return 0.0
    return sum(float(event.get("seconds") or 0.0) for event in history.epochs.values()) / 60


def _text(metric: Interval | str, spec: str = ".3f") -> str:
    return "–" if isinstance(metric, str) else format(metric, spec)
