"""A study as one HTML file that opens anywhere, offline: question, methods, results, limits, every run and every setting."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from core.data.manifest import is_synthetic
from core.files.atomic import write_text
from core.metrics import Interval, rule_of
from core.report import figures
from core.report.document import Block, Document, Facts, Figure, Points, Section, Table, Text, Warn
from core.report.page import render
from core.report.sections.closing import references, settings_of
from core.report.words import minus, monitored, stated, stated_or_note
from core.runs.run import Run
from core.studies.design import Design, Job, plain_value
from core.studies.folds import COLUMN, GROUP, TEST
from core.studies.results import HEADS, OPTIMISTIC, CellResult, StudyResults, minutes_of, results_of
from core.studies.search_report import compared as searched
from core.studies.search_report import how_searched, trials
from core.studies.study import Study
from core.wording import counted, duration, listed, setting, shortened

FILE = "report.html"


def study_report(study: Study) -> Path:
    """Write the study's report.html and return its path; the same results give the same bytes.

    Raises:
        LabError: as core.studies.results.results_of.
        OSError: the file cannot be written.
    """
    study.require_regular()
    path = study.path / FILE
    write_text(path, render(gather(study)))
    return path


def gather(study: Study) -> Document:
    """The report before it is a page. Raises as `study_report` does."""
    design, manifest, found = study.design(), study.manifest(), results_of(study)
    runs = study.runs
    finished = [run.status().finished for run in runs.values() if run is not None and run.status().state == "done"]
    last = max((each for each in finished if each), default=None)
    when = "–" if last is None else datetime.fromtimestamp(last, UTC).strftime("%Y-%m-%d %H:%M UTC")
    early = (
        () if found.trained == found.runs else (f"Only {found.trained} of {found.runs} runs are trained: results may change.",)
    )
    return Document(
        kind="Study report",
        title=design.question or f"Study {study.name}",
        authors="",
        about=f"Study {study.name} · last run finished {when}",
        synthetic=is_synthetic(manifest),
        abstract=_abstract(design, manifest, found),
        headline=(),
        warnings=(*early, *found.warnings),
        sections=(
            _methods(study, design, manifest, found),
            Section("results", "Results", _results(found), (_folds(design, found),)),
            _limits(design, found),
            *_plan(study),
            *trials(study),
            _runs(runs, found),
            settings_of(study.config(), "Configuration that all runs share, but for what is compared."),
            references(),
        ),
    )


def _abstract(design: Design, manifest: pd.DataFrame, found: StudyResults) -> tuple[tuple[str, str], ...]:
    inside = _inside(manifest)
    compared = (
        f"{len(design.cells)} combinations of {listed(list(design.factors))}"
        if design.factors
        else searched(design) or "One configuration"
    )
    return (
        ("Question", design.question or "How good is the configuration on patients that it was not trained on?"),
        (
            "Methods",
            f"{compared}, each trained over {_trained_folds(design)} of {inside['patient_id'].nunique():,} patients "
            f"({len(inside):,} images), {counted(design.repeats, 'repeat')}; ROC AUC of out-of-fold scores, pairs counted "
            "within folds.",
        ),
        ("Result", minus(found.answer)),
    )


def _trained_folds(design: Design) -> str:
    """`5 folds`, or `2 of 5 folds`."""
    trained = design.train_folds or design.folds
    return f"{design.folds} folds" if trained == design.folds else f"{trained} of {design.folds} folds"


def _held_out(design: Design) -> str:
    trained = design.train_folds or design.folds
    if design.search is not None:
        return "The first fold was held out of the trials alone, and counts in no metric; each of the others was held out once"
    return "Each fold was held out once" if trained == design.folds else f"Only the first {trained} were held out, each once"


def _inside(manifest: pd.DataFrame) -> pd.DataFrame:
    return manifest[manifest[COLUMN.format(1)].astype("int64") != TEST]


def _methods(study: Study, design: Design, manifest: pd.DataFrame, found: StudyResults) -> Section:
    inside = _inside(manifest)
    left = len(manifest) - len(inside)
    malignant = inside["label"] == "malignant"
    collections = sorted(set(inside["collection"].astype("str")) - {""}) if "collection" in inside.columns else []
    facts = [
        ("Images", f"{len(inside):,}, of which {int(malignant.sum()):,} malignant"),
        (
            "Patients",
            f"{inside['patient_id'].nunique():,}, of whom {inside[malignant]['patient_id'].nunique():,} with a malignant image",
        ),
        *((("Kept together", f"{inside[GROUP].nunique():,} groups of patients"),) if GROUP in inside.columns else ()),
        *((("Collections", ", ".join(collections)),) if collections else ()),
        ("Test split", f"{counted(left, 'image')}, sealed: not used" if left else "none"),
        ("A row of the results", f"{'an' if found.level == 'image' else 'a'} {found.level}"),
    ]
    config = study.config()
    training = config.training
    folds = (
        f"Patients were divided into {design.folds} folds (scikit-learn's StratifiedGroupKFold, seed {design.seed}), all "
        "images of a patient, and patients of whom there are copies of the same pictures, in one fold; labels"
        f"{' and collections' if collections else ''} are spread evenly. {_held_out(design)}: its images were scored by the "
        "model that trained on the others."
    )
    if design.repeats > 1:
        folds += f" That was repeated {design.repeats} times, with other folds and other seeds of the training."
    trained = (
        f"Network {config.model.name}, input {setting(config.preprocessing.shape)} pixels, up to "
        f"{counted(training.epochs, 'epoch')} in batches of {training.batch_size}, seed {training.seed}"
        f"{'' if design.repeats == 1 else ' and following'}, unless a comparison sets it otherwise; the epoch with the best "
        f"{monitored(training.monitor)} on the held-out fold was kept. Every setting is in the appendix."
    )
    statistics = (
        "ROC AUC counts pairs of a malignant and a benign case within a fold, since scores of two models are not on one scale "
        "(covariate-adjusted AUC, Janes and Pepe 2009). Intervals take patients as independent (Obuchowski 1997), "
        f"{found.confidence:.0%}, on both sides. Differences are paired: same images, same folds; p values are adjusted by "
        f"Holm's method. Sensitivity and specificity are at thresholds that the other folds of a repeat chose: "
        f"{rule_of(config.evaluation).words}."
    )
    blocks: list[Block] = [Facts(tuple(facts)), Text(folds), Text(trained)]
    if design.factors:
        how = "every combination" if design.how == "full" else "the reference, and one setting of it changed at a time"
        rows = tuple((name, "; ".join(_value(each) for each in values)) for name, values in design.factors.items())
        blocks.append(
            Table(
                f"What is compared: {how}. The first value is the reference.", ("Setting", "Values"), rows, words=frozenset({1})
            )
        )
    return Section("methods", "Methods", (*blocks, *how_searched(design), Text(statistics)))


def _value(value: object) -> str:
    return plain_value(value) if isinstance(value, dict) else setting(value)


def _results(found: StudyResults) -> tuple[Block, ...]:
    blocks: list[Block] = [Text(minus(found.answer))]
    heads = tuple(head if head.startswith("AUC") else head.capitalize() for head in HEADS)
    table = Table(
        "Out-of-fold metrics of each combination of settings.",
        heads,
        tuple(_row(each, row) for each, row in zip(found.cells, found.table_rows(), strict=True)),
        note=f"Brackets: {found.confidence:.0%} intervals, patients taken as independent.",
        small=True,
    )
    blocks.append(table)
    known = [(each.label, each.auc) for each in found.cells]
    if any(isinstance(auc, Interval) for _, auc in known):
        blocks.append(figures.forest("aucs", known, "ROC AUC of each combination, out of fold. Dotted: chance."))
    if drawn := _differences(found):
        blocks.append(drawn)
    return tuple(blocks)


def _row(each: CellResult, row: tuple[str, ...]) -> tuple[str, ...]:
    difference = "reference" if each.difference is None else stated(each.difference)
    if isinstance(each.difference, Interval) and each.difference.value > 0:
        difference = f"+{difference}"
    return (row[0], row[1], stated(each.auc), row[3], stated(each.sensitivity), stated(each.specificity), difference, *row[7:])


def _differences(found: StudyResults) -> Figure | None:
    others = [(each.label, each.difference) for each in found.cells[1:] if each.difference is not None]
    if not any(isinstance(difference, Interval) for _, difference in others):
        return None
    caption = f"Difference of the AUC to {found.cells[0].label}, on the same images in the same folds. Dotted: no difference."
    return figures.forest("differences", others, caption, axis="Difference of the AUC", line=0.0)


def _folds(design: Design, found: StudyResults) -> Section:
    names = sorted({name for each in found.cells for name in each.held_out}, key=lambda name: [*map(int, name.split("."))])
    if not names:
        return Section("folds", "Single folds", (Text("No fold is trained yet."),))
    rows = []
    for each in found.cells:
        areas = dict(zip(each.held_out, each.by_fold, strict=True))
        rows.append((each.label, *("–" if (area := areas.get(name)) is None else f"{area:.3f}" for name in names)))
    head = ("Settings", *(name if design.repeats > 1 else name.partition(".")[2] for name in names))
    note = f"Columns: {'repeat and fold' if design.repeats > 1 else 'the fold that was held out'}, of {design.folds} folds."
    return Section("folds", "Single folds", (Table("ROC AUC of each fold alone.", head, tuple(rows), note=note, small=True),))


def _limits(design: Design, found: StudyResults) -> Section:
    points = [OPTIMISTIC, "No difference shown is no proof of equality: the interval says what is possible."]
    if design.repeats < 3 and len(found.cells) > 1:
        points.append(
            f"{counted(design.repeats, 'repeat')}: a small difference may be chance of the training, which three or more "
            "repeats show."
        )
    points.append(
        "For a final claim train the chosen settings once, as a run of their own, and evaluate it on the sealed test split, or "
        "on another collection."
    )
    blocks: list[Block] = [Points(tuple(points))]
    notes = [f"{each.label}: {stated_or_note(each.auc)}" for each in found.cells if not isinstance(each.auc, Interval)]
    blocks += [Warn(note) for note in notes]
    return Section("limits", "Limits", tuple(blocks))


def _plan(study: Study) -> tuple[Section, ...]:
    choices = study.plan().get("choices")
    if not isinstance(choices, list):
        return ()
    rows = tuple(
        (str(each.get("setting", "")), setting(each.get("value")), str(each.get("why", "")))
        for each in choices
        if isinstance(each, dict)
    )
    table = Table("What `study plan` chose, and why.", ("Setting", "Value", "Why"), rows, words=frozenset({2}))
    return (Section("appendix-plan", "Plan", (table,)),)


def _runs(runs: dict[Job, Run | None], found: StudyResults) -> Section:
    rows = []
    for job, run in runs.items():
        state = "not begun" if run is None else run.status().state
        minutes = minutes_of(run) if run is not None else 0.0
        reason = shortened(found.failed.get(job.name, ""), 200)
        rows.append(
            (job.name, f"{job.repeat + 1}", f"{job.fold + 1}", state, duration(60 * minutes) if minutes else "–", reason)
        )
    head = ("Run", "Repeat", "Fold", "State", "Time of its epochs", "Reason")
    return Section("appendix-runs", "Runs", (Table("Every training.", head, tuple(rows), words=frozenset({5}), small=True),))
