"""Model performance: every metric with its interval, at every level, on test and validation; curves."""

from __future__ import annotations

from core.evaluate import Evaluation
from core.metrics import TITLES, Interval, Summary, precision_recall, roc, roc_band, square_and_add
from core.metrics.levels import UNITS
from core.report import figures
from core.report.document import Block, Missing, Row, Section, Table, Text, Warn
from core.report.material import SPLIT_WORDS, Material
from core.report.sections import endpoint, gaps, units
from core.report.sections.evaluated import levels_of
from core.report.sections.worst_case import worst_case_blocks
from core.report.words import LEVEL_TITLES, counts_of, missing_metrics, stated

_BAND_SAMPLES = 500


def performance(material: Material) -> Section:
    """Every metric with its interval, at every level, on test and validation; curves."""
    blocks: list[Block] = []
    for split in ("test", "val"):
        if split not in material.evaluations:
            text = (
                f"The {SPLIT_WORDS[split]} set has not been evaluated: "
                f"{material.command(f'evaluate {{run}} --split {split}')} does it."
            )
            blocks.append(Missing(text))
    evaluation = material.shown
    if evaluation is None:
        return Section("performance", "Model performance", tuple(blocks))
    blocks += [Text(_intro(material)), *endpoint.blocks(material), _table(material)]
    blocks += [Text(said)] if (said := units.rules_words(material)) else []
    blocks += map(Warn, units.headline_warnings(material))
    for split, found in material.evaluations.items():
        lines = missing_metrics(levels_of(material, found))
        blocks += [Text(f"{SPLIT_WORDS[split].capitalize()} set. {line}") for line in lines]
    blocks += worst_case_blocks(material, evaluation)
    blocks += _threshold(material, evaluation)
    blocks += units.aggregation_blocks(material)
    blocks += gaps.verification_blocks(material)
    blocks += _optimism(material)
    blocks += _curves(material, evaluation)
    return Section("performance", "Model performance", tuple(blocks))


def _intro(material: Material) -> str:
    sentences = [
        f"{SPLIT_WORDS[split].capitalize()} set: {counts_of(evaluation.summary, material.patients_known)}."
        for split, evaluation in material.evaluations.items()
    ]
    sentences.append(
        "Metrics of validation are optimistic: it chose the epoch, the threshold and the calibration. They stand here for "
        "comparison only."
        if "val" in material.evaluations
        else ""
    )
    return " ".join(sentence for sentence in sentences if sentence)


def _table(material: Material) -> Table:
    columns = []
    for split, evaluation in material.evaluations.items():
        for level, summary in levels_of(material, evaluation).items():
            if isinstance(summary, Summary) and (split == "test" or level == "image" or "test" not in material.evaluations):
                columns.append((f"{SPLIT_WORDS[split].capitalize()}, {UNITS[level]}", summary))
    levels = {summary.confidence for _, summary in columns}
    if len(levels) > 1:  # a split was evaluated again at another level
        columns = [(f"{heading}, {summary.confidence:.0%}", summary) for heading, summary in columns]
    rows = [(title, *(stated(summary[name]) for _, summary in columns)) for name, title in TITLES.items()]
    rows.append(("True / false positive", *(f"{summary.counts.tp:,} / {summary.counts.fp:,}" for _, summary in columns)))
    rows.append(("True / false negative", *(f"{summary.counts.tn:,} / {summary.counts.fn:,}" for _, summary in columns)))
    rows.append(("Threshold", *(f"{summary.threshold:.4f}" for _, summary in columns)))
    rows += _view_rows(material, [(name, summary) for name, summary in columns])
    rows.append(
        ("Number (malignant)", *(f"{summary.rows:,} ({summary.counts.tp + summary.counts.fn:,})" for _, summary in columns))
    )
    note = "Sensitivity, specificity, precision, accuracy and F1 are at the frozen threshold of the level"
    by_view = any(evaluation.thresholds.own for evaluation in material.evaluations.values())
    note += ", of images at that of their view. " if by_view else ". "
    note += (
        "The Brier score is of scores before calibration"
        + (", of breasts and patients of the mean of their images' scores" if material.patients_known else "")
        + "; calibrated ones stand under calibration. A dash: see below."
    )
    which = f"{columns[0][1].confidence:.0%} intervals" if len(levels) == 1 else "intervals of the level in the heading"
    caption = f"Performance with {which}."
    return Table(caption, ("Metric", *(heading for heading, _ in columns)), tuple(rows), note=note)


def _view_rows(material: Material, columns: list[tuple[str, Summary]]) -> list[tuple[str, ...]]:
    """The thresholds of views that have their own; "" for columns that are not of images."""
    of_summary = {id(found.summary): found.thresholds.own for found in material.evaluations.values()}
    views = sorted({view for own in of_summary.values() for view in own})

    def cell(summary: Summary, view: str) -> str:
        own = of_summary.get(id(summary), {})
        return f"{own[view]:.4f}" if view in own else ""

    return [(f"Threshold of {view}", *(cell(summary, view) for _, summary in columns)) for view in views]


def _threshold(material: Material, evaluation: Evaluation) -> list[Block]:
    """What the choice of the threshold on validation adds to the intervals at the frozen one."""
    levels = levels_of(material, evaluation)
    found = [(level, each) for level, each in evaluation.uncertainty.items() if level in levels]
    rows = tuple(
        (title, *cells)
        for level, each in found
        if not isinstance(each, str) and isinstance(each.threshold, Interval)
        for title, *cells in (
            (LEVEL_TITLES[level], *map(stated, (each.threshold, each.sensitivity, each.specificity))),
            *((f"{LEVEL_TITLES[level]}: threshold of {view}", stated(limits), "", "") for view, limits in each.views.items()),
        )
    )
    if not rows:
        return []
    note = (
        f"The values are those at the frozen threshold; the limits are percentiles of resamples of the validation and the "
        f"{SPLIT_WORDS[evaluation.split]} {'patients' if material.patients_known else 'images'} together, with the threshold "
        "chosen again in each: what the table above leaves out. Those of sensitivity and specificity are never inside Wilson's "
        "at the frozen threshold."
    )
    head = ("Level", "Threshold", "Sensitivity", "Specificity")
    level = f"{evaluation.summary.confidence:.0%} intervals"
    caption = f"Uncertainty of the threshold itself, {SPLIT_WORDS[evaluation.split]} set, {level}."
    return [Table(caption, head, rows, note=note)]


def _optimism(material: Material) -> list[Block]:
    test, val = material.test, material.evaluations.get("val")
    if test is None or val is None:
        return []
    if test.summary.confidence != val.summary.confidence:
        levels = f"{val.summary.confidence:.0%} and {test.summary.confidence:.0%}"
        return [Text(f"Validation and test were evaluated with intervals of {levels}: their difference has none here.")]
    sentences = []
    for name, words in (("auc", "AUC"), ("sensitivity", "sensitivity"), ("specificity", "specificity")):
        ours, theirs = test.summary[name], val.summary[name]
        if isinstance(ours, Interval) and isinstance(theirs, Interval):
            change = square_and_add(theirs, ours)
            limits = f"[{change.low:+z.3f}, {change.high:+z.3f}]"
            sentences.append(f"{words} {change.value:+z.3f} {limits}".replace("-", "−"))
    if not sentences:
        return []
    note = (
        f"The {'patients' if material.patients_known else 'images'} are others, so chance alone moves these metrics, and those "
        "of the validation set are optimistic: it chose the epoch, the threshold and the calibration. Limits by square-and-add "
        "from those of both sets."
    )
    level = f"{test.summary.confidence:.0%} intervals"
    return [Text(f"From validation to test, {material.units}, {level}: {', '.join(sentences)}. {note}")]


def _curves(material: Material, evaluation: Evaluation) -> list[Block]:
    frame, threshold, words = evaluation.predictions, evaluation.threshold, SPLIT_WORDS[evaluation.split]
    malignant, by_view = frame["label"] == "malignant", evaluation.thresholds
    at = f"thresholds by view ({by_view.words})" if by_view.own else "threshold"
    counts = figures.confusion(
        "confusion", evaluation.summary.counts, f"Confusion matrix at the frozen {at}, {words} {material.units}."
    )
    moved = " Each less its view's threshold, plus the common one, so that one line parts them." if by_view.own else ""
    spread = figures.histogram(
        "scores",
        malignant,
        by_view.shifted(frame["score"], frame["view"]),
        threshold,
        f"Scores of benign and malignant {material.units}, {words} set.{moved}",
    )
    below = Row((counts, spread))
    # The same rule as for the metrics: no curve of a class that is too small to tell about.
    with_auc = {
        SPLIT_WORDS[split]: found for split, found in material.evaluations.items() if isinstance(found.summary["auc"], Interval)
    }
    if SPLIT_WORDS[evaluation.split] not in with_auc:
        return [below]
    points = {
        name: (found.summary.counts.sensitivity, found.summary.counts.specificity, found.summary.counts.precision)
        for name, found in with_auc.items()
    }
    beside = "s by view, which may lie beside the curve of all views" if by_view.own else ""
    rocs = {name: roc(found.predictions["label"], found.predictions["score"]) for name, found in with_auc.items()}
    confidence = evaluation.summary.confidence
    band = roc_band(frame["label"], frame["score"], frame["patient_id"], samples=_BAND_SAMPLES, confidence=confidence)
    caption = (
        f"ROC curves, {material.units}. Dots: the frozen threshold{beside}. Band: {confidence:.0%}, pointwise, "
        f"{'patients' if material.patients_known else 'images'} resampled {_BAND_SAMPLES} times, {words} set."
    )
    curves = {
        name: precision_recall(found.predictions["label"], found.predictions["score"]) for name, found in with_auc.items()
    }
    units = material.units
    lines = f"Precision and recall, {units}. Dotted: the share of malignant {units}, what chance would give."
    above = Row(
        (
            figures.roc_curve("roc", rocs, points, band, caption),
            figures.precision_recall_curve("precision-recall", curves, points, lines),
        )
    )
    return [above, below]
