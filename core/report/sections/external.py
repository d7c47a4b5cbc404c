"""External test: what is external, and the internal and the external test side by side; the two are never pooled."""

from __future__ import annotations

from pathlib import Path

from core.errors import LabError
from core.evaluate import CalibrationReport, Evaluation, excluded_words
from core.evaluate.external import title_of, use_of
from core.evaluate.external_set import ExternalSet
from core.evaluate.result import REFUSED
from core.evaluate.sources import SourceComparison, compare_sources, share_of
from core.evaluate.store import evaluate_command
from core.evaluate.subgroup_tests import differing
from core.metrics import LEVELS, TITLES, CalibrationSummary, Interval, Summary, precision_recall, roc, square_and_add
from core.metrics.chance import CONFIDENCE
from core.metrics.features import feature_words
from core.metrics.levels import UNITS
from core.metrics.summary import auc_or_note
from core.report import figures
from core.report.document import Block, Missing, Row, Section, Table, Text, Warn
from core.report.material import Material
from core.report.words import DASH, counts_of, missing_metrics, stated
from core.runs.test_set.external import short_name
from core.runs.test_set.models import seen_words
from core.wording import counted, listed, times, upper_first


def external_test(material: Material) -> tuple[Section, ...]:
    """One section, with every external test set; none where there is none."""
    if not material.externals:
        return ()
    blocks: list[Block] = [
        Text(
            "An external test set is another collection, on which nothing was chosen: weights, thresholds and calibration are "
            "those that validation of the run's own data set gave. Patients and files of the run are left out of it, as far as "
            "they can be recognised. Internal and external metrics are never pooled."
        )
    ]
    for evaluation in material.externals.values():
        blocks += _one(material, evaluation)
    return (Section("external-test", "External test", tuple(blocks)),)


def _one(material: Material, evaluation: Evaluation) -> list[Block]:
    about = about_of(evaluation)
    levels = _levels(evaluation)
    name = short_name(evaluation.split)
    blocks: list[Block] = [Text(_what(evaluation, about)), *map(Warn, _warnings(material, evaluation))]
    blocks += [Text(f"{upper_first(name)}: {said}.") for said in (about.unlabelled_words,) if said]
    blocks += _seen(material, evaluation, about)
    internal = material.test
    if internal is None:
        again = material.command("evaluate {run}")
        blocks.append(Missing(f"The internal test set has not been evaluated, so nothing stands beside {name}: {again}."))
    for level, summary in levels.items():
        if isinstance(summary, Summary):
            blocks += _table(material, internal, evaluation, level, summary)
    blocks += [Text(f"{upper_first(name)}. {line}") for line in missing_metrics(levels)]
    blocks += _calibration(internal, evaluation)
    blocks += _groups(evaluation)
    return [*blocks, *_curves(internal, evaluation)]


def about_of(evaluation: Evaluation) -> ExternalSet:
    assert evaluation.external is not None
    return evaluation.external


def _levels(evaluation: Evaluation) -> dict[str, Summary | str]:
    """The levels that say something: without patients, breasts and patients are images under another name."""
    known = about_of(evaluation).patients is not None
    return {level: evaluation.levels[level] for level in LEVELS if level in evaluation.levels and (level == "image" or known)}


def _what(evaluation: Evaluation, about: ExternalSet) -> str:
    """Where images and labels come from, how many there are, and what was left out."""
    summary = evaluation.summary
    left = f" {upper_first(excluded_words(evaluation.excluded))}." if evaluation.excluded else ""
    synthetic = " Images or model are synthetic." if evaluation.synthetic else ""
    return (
        f"{upper_first(short_name(evaluation.split))}: {about.source_words} (manifest {Path(about.manifest).name}, "
        f"{about.size_words}). Scored: {counts_of(summary, about.patients is not None)}, {share_of(summary):.1%} of the images "
        f"malignant.{left} Evaluated {times(evaluation.evaluations)} for this run, last on {evaluation.last_evaluated[:10]}, "
        f"at the frozen {evaluation.threshold_words}.{synthetic}"
    )


def _warnings(material: Material, evaluation: Evaluation) -> list[str]:
    name = upper_first(short_name(evaluation.split))
    found = [f"{name}: {doubt}." for doubt in about_of(evaluation).doubts]
    if outdated := evaluation.outdated(material.card):
        found.append(f"{name}: {outdated} Evaluate it again: {evaluate_command(material.name, evaluation.split)}.")
    found += [
        f"{name}: on {change.when[:10]}, after {counted(change.evaluations, 'evaluation')} of it, the threshold was chosen "
        f"again ({change.rule}): {' became '.join(each.stated(6) for each in change.change)}."
        for change in evaluation.refrozen
    ]
    return found


def warnings(material: Material) -> list[str]:
    """What nobody should miss of the external tests."""
    return [said for evaluation in material.externals.values() for said in _warnings(material, evaluation)]


def _seen(material: Material, evaluation: Evaluation, about: ExternalSet) -> list[Block]:
    """Which other models had been scored on the set before."""
    name = upper_first(short_name(evaluation.split))
    try:
        use = use_of(material.run, evaluation)
    except LabError as error:
        said = str(error).replace(str(material.run.path), material.name).replace(str(material.run.path.parent), "the runs")
        return [Warn(f"{name}: nobody can say how many models were scored on it: {said}")]
    words = seen_words(use, about.patients is not None)
    return [
        Text(f"{name}: {' '.join(words[: len(words) - bool(use.gap)])}"),
        *([Warn(f"{name}: {use.gap}")] if use.gap else []),
    ]


def _table(
    material: Material, internal: Evaluation | None, evaluation: Evaluation, level: str, summary: Summary
) -> list[Block]:
    """Every metric of both sets at one level, with the difference where it means something."""
    name, unit = short_name(evaluation.split), UNITS[level]
    found = (
        "" if internal is None or (level != "image" and not material.patients_known) else compare_sources(internal, evaluation)
    )
    both = found[level] if isinstance(found, dict) else found
    if not isinstance(both, SourceComparison):
        alone = tuple((title, stated(summary[metric])) for metric, title in TITLES.items())
        columns = ("Metric", f"External, {name}, {unit}")
        caption = f"External test, {name}, {unit}, with {summary.confidence:.0%} intervals."
        return [Table(caption, columns, alone, note=f"Beside the internal test: {both}." if both else "")]
    rows: list[tuple[str, ...]] = [
        (row.title, stated(row.internal), stated(row.external), stated(row.difference) if _is(row.difference) else DASH)
        for row in both.rows
    ]
    sizes = [f"{share:.1%}" for share in both.shares]
    rows.append(("Share of malignant", *sizes, ""))
    head = ("Metric", "Internal test", f"External, {name}", "External − internal")
    levels = sorted({f"{each:.0%}" for each in both.confidence})
    note = (
        "Independent samples: the limits of a difference are by square-and-add from those of both sets. Precision, accuracy, "
        "F1, average precision and Brier score depend on the share of malignant: their difference is not the model's. "
    )
    if len(levels) > 1:
        note += f"The sets have intervals of {listed(levels)}: no difference has limits. "
    return [
        Table(f"Internal and external test, {name}, {unit}, with {listed(levels)} intervals.", head, tuple(rows), note=note)
    ]


def _is(metric: Interval | str) -> bool:
    return isinstance(metric, Interval)


def _calibration(internal: Evaluation | None, evaluation: Evaluation) -> list[Block]:
    """What the frozen calibration is worth on both sets, by image."""
    rows = []
    for name, found in (("Internal test", internal), (f"External, {short_name(evaluation.split)}", evaluation)):
        report = None if found is None else found.calibration
        after = report.after if isinstance(report, CalibrationReport) else report
        if isinstance(after, CalibrationSummary):
            metrics = (after.brier, after.observed_expected, after.slope, after.intercept)
            rows.append((name, *(stated(each) if isinstance(each, Interval) else DASH for each in metrics)))
        elif after is not None:
            rows.append((name, after, "", "", ""))
    head = ("Set", "Brier score", "O/E", "Slope", "Intercept")
    confidence = f"{evaluation.summary.confidence:.0%}"
    caption = f"Calibration of images with what is frozen, {short_name(evaluation.split)}, {confidence} intervals."
    note = (
        "O/E: malignant images for each that the scores expect. At another share of malignant, probabilities that fit the "
        "run's own data set are too high or too low on the whole, which the intercept shows. Nothing was fitted again."
    )
    return [Table(caption, head, tuple(rows), note=note)]


def _groups(evaluation: Evaluation) -> list[Block]:
    if not evaluation.subgroups:
        return []
    apart = sorted({feature_words(row.feature) for row in evaluation.subgroups if differing(row)})
    made = counted(len(evaluation.subgroups), "subgroup")
    found = f"metrics differ by {listed(apart)}" if apart else "no metric is shown to differ"
    name = upper_first(short_name(evaluation.split))
    return [Text(f"{name}, {made} (p adjusted for all tests, below 0.05): {found}.")]


def _curves(internal: Evaluation | None, evaluation: Evaluation) -> list[Block]:
    """ROC curves of both sets, those with an AUC."""
    name = short_name(evaluation.split)
    sets = {"test": internal, f"external {name}": evaluation}
    shown = {title: each for title, each in sets.items() if each is not None and _is(each.summary["auc"])}
    if f"external {name}" not in shown:
        return []
    curves = {title: roc(each.predictions["label"], each.predictions["score"]) for title, each in shown.items()}
    points = {
        title: (each.summary.counts.sensitivity, each.summary.counts.specificity, each.summary.counts.precision)
        for title, each in shown.items()
    }
    beside = precision_recall(evaluation.predictions["label"], evaluation.predictions["score"])
    caption = f"ROC curves, images: {' and '.join(shown)}. Dots: the frozen threshold."
    lines = f"Precision and recall, images, {name} only: precision depends on the share of malignant images (dotted)."
    return [
        Row(
            (
                figures.roc_curve(f"roc-{evaluation.split}", curves, points, None, caption),
                figures.precision_recall_curve(f"pr-{evaluation.split}", {f"external {name}": beside}, points, lines),
            )
        )
    ]


# ---------------------------------------------------------------- what other sections say of it


def current(material: Material) -> list[Evaluation]:
    """The external tests of the model as it is."""
    return [each for each in material.externals.values() if not each.outdated(material.card)]


def conclusion(material: Material) -> str:
    """What the external tests allow to conclude; that there is none says nothing about other sources."""
    found = current(material)
    if not found:
        return "One internal test set says nothing about other sources, and nothing here supports use in patients."
    sources = "another source" if len(found) == 1 else "other sources"
    return (
        f"{' '.join(_concluded(material, each) for each in found)} A test on {sources} says nothing about further ones, and "
        "nothing here supports use in patients."
    )


def _concluded(material: Material, evaluation: Evaluation) -> str:
    """One external test, decided at the same level of confidence for every run."""
    auc, refused = auc_of(evaluation), sum(each.kind == REFUSED for each in evaluation.excluded)
    without = f", without {counted(refused, 'image')} that got no verdict," if refused else ""
    where = f"On the external test set {title_of(evaluation)}{without}"
    if isinstance(auc, str):
        return f"{where} there is too little data for an AUC."
    words = f"{where} the AUC of images is {stated(auc)}"
    if auc.high < 0.5:
        words += ", worse than chance"
    elif auc.low <= 0.5:
        words += ", not to be distinguished from chance"
    own = auc_of(material.test) if material.test is not None else ""
    if isinstance(own, str):
        return f"{words} ({CONFIDENCE:.0%} interval)."
    change = square_and_add(own, auc)
    said = "lower than" if change.high < 0 else "higher than" if change.low > 0 else "not shown to differ from that"
    return f"{words}, {said} on the internal one (difference {stated(change)}; {CONFIDENCE:.0%} intervals)."


def auc_of(evaluation: Evaluation) -> Interval | str:
    """Of images, with the limits that decide what is concluded, whatever the level of the intervals that are shown."""
    if evaluation.summary.confidence == CONFIDENCE:
        return evaluation.summary["auc"]
    frame = evaluation.predictions
    return auc_or_note((frame["label"] == "malignant").to_numpy(), frame["score"], frame["patient_id"], CONFIDENCE)


def _named(evaluation: Evaluation) -> str:
    """What the set is called, and its collections where there are several."""
    name, several = short_name(evaluation.split), about_of(evaluation).collection_words
    return f"{name} ({several})" if several else name


def limit(material: Material) -> str:
    """What the external tests leave open, as a limitation."""
    found = current(material)
    if not found:
        by = "patient" if material.patients_known else "image"
        return (
            f"One data set, split by {by}: nothing here tells how the model does on another hospital's images, scanners or "
            "population."
        )
    names = listed([_named(each) for each in found])
    return f"Tested on images of other sources only in {names}: how the model does elsewhere is not known."
