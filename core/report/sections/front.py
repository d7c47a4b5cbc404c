"""Title, abstract, headline metrics and warnings: what stands before the contents. Made from metrics, said with care."""

from __future__ import annotations

import numpy as np
import pandas as pd

from core.evaluate import Evaluation
from core.evaluate.metadata import PLACES
from core.evaluate.result import left_words
from core.evaluate.subgroup_tests import METRICS_TESTED, differing
from core.metrics import Interval, ShortcutAudit, Summary
from core.metrics.chance import CONFIDENCE
from core.metrics.intervals import SIGNIFICANT
from core.metrics.leakage_mark import warnings_of_model
from core.metrics.levels import UNITS
from core.metrics.subgroups import known_values
from core.report.document import Section
from core.report.material import SPLIT_WORDS, Material
from core.report.sections import endpoint, external, test_set, units
from core.report.sections.checks import worrying
from core.report.words import bracket, counts_of, folds, minus, size_of, starting_weights, stated
from core.wording import counted, listed, times, upper_first


def title(material: Material) -> str:
    """The authors' title, else a plain one."""
    evaluation = "internal and external evaluation" if material.externals else "internal evaluation"
    return material.notes.title or f"{material.architecture} on mammograms: development and {evaluation}"


def abstract(material: Material) -> tuple[tuple[str, str], ...]:
    """A structured abstract: (heading, text)."""
    return (
        (
            "Objective",
            material.notes.objectives
            or "To develop a model that gives a mammogram a score for malignancy, and to evaluate it on "
            f"{'patients' if material.patients_known else 'images'} of the same data set that it has not seen"
            f"{', and on another collection' if material.externals else ''}.",
        ),
        ("Data", _data(material)),
        ("Model", _model(material)),
        ("Results", _results(material)),
        ("Conclusion", material.notes.interpretation or _conclusion(material)),
    )


def _data(material: Material) -> str:
    rows = material.rows
    parts = []
    for split, words in SPLIT_WORDS.items():
        part = rows[rows["split"] == split]
        malignant = int((part["label"] == "malignant").sum())
        size = size_of(len(part), part["patient_id"].nunique(), material.patients_known)
        parts.append(f"{words} {size} ({malignant:,} of the images malignant)")
    kind = "Computer-made images" if material.synthetic else "Mammograms"
    refused = sum(item.refused for item in material.left)
    left = f" {left_words(len(material.left) - refused, refused)}." if material.left else ""
    by = "by patient" if material.patients_known else "by image, since no patient is known"
    places = next((count for name in PLACES if (count := _different(rows, name)) > 1), 0)
    whence = f"{counted(places, 'site')} in one data set" if places else "one data set"
    return f"{kind} of {whence}, split {by}: {'; '.join(parts)}.{folds(material)}{left}"


def _different(rows: pd.DataFrame, name: str) -> int:
    """How many different known values a column of the manifest has."""
    return int(np.unique(known_values(rows[name]).astype(str)).size) if name in rows.columns else 0


def _model(material: Material) -> str:
    height, width = material.config.preprocessing.shape
    return (
        f"{material.architecture}, {starting_weights(material)}, input {height} × {width} px, "
        f"{_at_a_time(material)}. {_order(material)}"
    )


def _at_a_time(material: Material) -> str:
    if material.card.scored == "image":
        return "one image at a time"
    return f"all images of a breast together, fused by {material.config.model.fusion}"


def _order(material: Material) -> str:
    """Whether everything was chosen before the test set was seen."""
    test = material.test
    chosen = "Checkpoint and threshold were chosen on validation"
    if test is None:
        return f"{chosen}."
    if test.outdated(material.card) or test.refrozen or (material.parent is not None and material.parent.evaluations):
        return f"{chosen}, but not all of it before the test set had been evaluated: see the warnings."
    if isinstance(material.use, str):
        return f"{chosen}; whether other models were scored on the test set before cannot be said: see the warnings."
    if others := len(material.use.before):
        models = counted(others, "other model")
        return (
            f"{chosen} and frozen before this run's test set was evaluated, but {models} had been scored on it: see the "
            "warnings."
        )
    if test_set.seen_early(material):
        return f"{chosen} and frozen before the test set was scored, but not before test images were seen: see the warnings."
    return f"{chosen} and frozen before the test set was scored."


def _results(material: Material) -> str:
    evaluation = material.shown
    if evaluation is None:
        return f"No split has been evaluated yet: {material.command('evaluate {run}')} does it."
    sentences = []
    if material.test is None:
        sentences.append(
            "The test set has not been evaluated; what follows is of validation, which chose the model, and too good."
        )
    sentences.append(
        f"{SPLIT_WORDS[evaluation.split].capitalize()} set: {counts_of(evaluation.summary, material.patients_known)}."
    )
    if primary := endpoint.result(material):
        sentences.append(f"Primary endpoint, {primary.words}: {primary.value}.")
    summary = evaluation.summary
    auc = summary["auc"]
    if isinstance(auc, str):
        sentences.append(f"The ROC AUC cannot be computed: {auc}.")
    else:
        sentences.append(f"ROC AUC {stated(auc)} for images{_of_patients(material, evaluation)}.")
    both = [
        f"{words} {stated(metric)}"
        for words, metric in (("sensitivity", summary["sensitivity"]), ("specificity", summary["specificity"]))
        if isinstance(metric, Interval)
    ]
    if both:
        by_view = evaluation.thresholds.words
        at = f"thresholds by view ({by_view})" if by_view else f"threshold of {summary.threshold:.3f}"
        sentences.append(f"At the frozen {at}, {' and '.join(both)}.")
    return " ".join(sentences)


def _of_patients(material: Material, evaluation: Evaluation) -> str:
    """By patient, with the rule, and the balanced one where sets of images are unequal."""
    patients, found = evaluation.levels.get("patient"), material.headline_aucs.get("patient")
    if found is None or not isinstance(patients, Summary) or not isinstance(patients["auc"], Interval):
        return ""
    return f" and {stated(patients['auc'])} for patients ({found.rule}{units.balanced_words(found)})"


def _conclusion(material: Material) -> str:
    if material.synthetic:
        return "None about real mammograms: the images are synthetic."
    evaluation = material.test
    auc = material.auc_against_chance
    if evaluation is None or not isinstance(auc, Interval):
        return "None yet: too little data for an AUC."
    people, units = "patients" if material.patients_known else "images", UNITS[material.level_against_chance]
    if auc.high < 0.5:
        said = f"On these {people} the scores are worse than chance: check that the labels are not swapped."
    elif auc.low <= 0.5:
        said = f"On these {people} the scores cannot be distinguished from chance."
    elif auc.low < 0.7:
        said = (
            f"On these {people} the scores tell malignant from benign {units} better than chance, and not by much for certain."
        )
    else:
        said = f"On these {people} the scores tell malignant from benign {units} clearly better than chance."
    if evaluation.summary.confidence != CONFIDENCE:
        said += (
            f" That is decided by the {CONFIDENCE:.0%} interval of the AUC by {material.level_against_chance}, {bracket(auc)}."
        )
    primary = endpoint.result(material)
    if primary is not None and not primary.auc:
        said += f" The primary endpoint, {primary.words}, is not what this is decided by."
    return f"{said}{_reservations(material, evaluation)} {external.conclusion(material)}"


def _reservations(material: Material, evaluation: Evaluation) -> str:
    """What the report's own audits take away from that: metadata that predict the label as well, and differences by site."""
    found = ""
    audit = evaluation.shortcuts
    against = audit.metadata if isinstance(audit, ShortcutAudit) else None
    if against is not None and not against.tells_more:
        found += f" {minus(against.sentence)}"
    if isinstance(audit, ShortcutAudit) and (names := worrying(audit)):
        found += f" Possible shortcuts ({evaluation.summary.confidence:.0%} intervals): {', '.join(names)}."
    by_site = {each.name for row in evaluation.subgroups if row.feature in PLACES for each in differing(row)}
    by_site |= {
        METRICS_TESTED[row.metric] for row in evaluation.omnibus if row.feature in PLACES and row.adjusted < SIGNIFICANT
    }
    if by_site:
        verb = "differs" if len(by_site) == 1 else "differ"
        found += f" {upper_first(listed(sorted(by_site, key=str.lower)))} {verb} between sites."
    return found


def headline(material: Material) -> tuple[tuple[str, str, str], ...]:
    """(name, value, interval) of the few metrics that stand for the run."""
    evaluation = material.shown
    if evaluation is None:
        return ()
    split = SPLIT_WORDS[evaluation.split]
    tiles = []
    if primary := endpoint.result(material):
        number, _, limits = primary.value.partition(" ")
        tiles.append((f"Primary endpoint: {primary.words}", number, f"{primary.confidence:.0%} {limits}" if limits else ""))
    for level, name, words in (
        ("image", "auc", "AUC, images"),
        ("patient", "auc", "AUC, patients"),
        ("image", "sensitivity", "Sensitivity, images"),
        ("image", "specificity", "Specificity, images"),
    ):
        summary = evaluation.levels.get(level)
        if not isinstance(summary, Summary) or (level != "image" and not material.patients_known):
            continue
        metric, found = summary[name], material.headline_aucs.get(level)
        if not isinstance(metric, Interval):
            continue
        limits = f"{summary.confidence:.0%} {bracket(metric)}"
        tiles.append((f"{words}, {split}", f"{metric.value:.3f}", f"{limits}, {found.rule}" if found else limits))
        if found is not None and isinstance(found.balanced, Interval):
            balanced = f"{summary.confidence:.0%} {bracket(found.balanced)}, {found.balanced_rule}"
            tiles.append((f"{words}, balanced, {split}", f"{found.balanced.value:.3f}", balanced))
    return tuple(tiles)


def warnings(material: Material) -> tuple[str, ...]:
    """What nobody should miss: a model no better than chance, an unfinished training, old metrics, a used-up test set."""
    found = []
    if not material.patients_known:
        found.append(
            "No patient is known: which images show the same person nobody can say. The same person may stand in several sets, "
            "and intervals take each image for a person of its own. Metrics may be too optimistic and intervals too narrow."
        )
    found += warnings_of_model(material.card, material.run.path)
    status = material.run.status()
    if status.state != "done":
        reason = f" ({status.reason})" if status.reason else ""
        found.append(f"This training is not complete: its state is {status.state}{reason}.")
    for split, evaluation in material.evaluations.items():
        outdated = evaluation.outdated(material.card)
        if outdated:
            again = material.command(f"evaluate {{run}} --split {split}")
            found.append(f"Metrics of the {SPLIT_WORDS[split]} set: {outdated} Evaluate it again: {again}.")
    parent = material.parent
    if parent is not None and parent.evaluations:
        found.append(
            f"This run was forked from {parent.run}, after the test set, which is the same, had been evaluated "
            f"{times(parent.evaluations)}. It was set up with the test set in view, which makes its metrics too optimistic."
        )
    test = material.test
    if test is not None and test.evaluations > 1:
        found.append(
            f"The test set has been evaluated {times(test.evaluations)} for this run. Whatever was chosen after the first time "
            "was chosen with the test set in view, and makes its metrics too optimistic."
        )
    if test is not None and test.refrozen:
        found.append("The threshold was chosen again after the test set had been evaluated: see test-set access.")
    if test is not None and (seen := test_set.seen_before(material)):
        found.append(seen)
    if material.shown is not None:
        found += units.headline_warnings(material)
    found += external.warnings(material)
    return (*found, *test_set.warnings(material))


def introduction(material: Material) -> Section:
    """What the authors say of why and for whom."""
    return Section(
        "introduction",
        "Introduction",
        sections=(
            Section(
                "background",
                "Background and intended use",
                tuple(material.ask(key) for key in ("background", "intended_use", "inequalities")),
            ),
            Section("objectives", "Objectives and design", tuple(material.ask(key) for key in ("objectives", "design"))),
        ),
    )
