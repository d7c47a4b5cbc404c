"""Calibration and model updating: whether a score of 0.3 means three in ten."""

from __future__ import annotations

from core.evaluate import AGAIN, CalibrationReport, DecisionTable, Evaluation
from core.metrics import LEVELS, CalibrationSummary, Interval, decision_curve
from core.metrics.levels import UNITS
from core.report import figures
from core.report.document import Block, Figure, Row, Section, Table, Text, Warn
from core.report.material import SPLIT_WORDS, Material
from core.report.sections.evaluated import absent
from core.report.words import signed, stated


def calibration(material: Material) -> Section:
    """Whether a score of 0.3 means three in ten: per image, breast and patient, each with a calibration of its own."""
    title = "Calibration and model updating"
    evaluation = material.shown
    if evaluation is None or evaluation.calibration == AGAIN:
        return Section("calibration", title, (absent(material, "Calibration"),))
    blocks: list[Block] = []
    for level in LEVELS:
        if level != "image" and not material.patients_known:
            continue
        report = evaluation.calibration_at(level)
        if isinstance(report, CalibrationReport):
            blocks += _calibration_of(material, evaluation, report)
        elif report == AGAIN:
            blocks.append(absent(material, f"Calibration per {level}"))
        else:
            blocks.append(Text(f"Calibration per {level} cannot be computed: {report}"))
    images = evaluation.calibration
    if not isinstance(images, CalibrationReport):
        return Section("calibration", title, tuple(blocks))
    names = _methods(images)
    shown = {names[name]: images.bins[name] for name in dict.fromkeys(("none", images.frozen.method)) if name in images.bins}
    if shown:
        words = SPLIT_WORDS[evaluation.split]
        caption = (
            f"Reliability, {words} images: share of malignant by mean score in ten bins of as many images. Dotted: perfect."
        )
        blocks.append(Row((figures.reliability_diagram("reliability", shown, caption), *_decision_figure(evaluation, images))))
    return Section("calibration", title, tuple(blocks))


def _methods(report: CalibrationReport) -> dict[str, str]:
    return {name: "scores as they come" if name == "none" else name for name in report.summaries}


def _calibration_of(material: Material, evaluation: Evaluation, report: CalibrationReport) -> list[Block]:
    """What is frozen for this level, whether probabilities may be shown, and the metrics of every method."""
    method, unit, names = report.frozen.method, UNITS[report.level], _methods(report)
    frozen = {
        "none": "no calibration is frozen with the model.",
        "temperature": f"temperature {1 / report.frozen.slope:.3f} is frozen with the model, fitted on validation.",
        "logistic": f"logistic calibration is frozen with the model, slope {signed(report.frozen.slope)} and intercept "
        f"{signed(report.frozen.intercept)}, fitted on validation.",
        "isotonic": f"isotonic calibration is frozen with the model, {len(report.frozen.x)} points, fitted on validation.",
    }[method]
    why = f"{report.note[:1].upper()}{report.note[1:].rstrip('.')}." if report.note else ""
    blocks: list[Block] = [Text(f"Per {report.level}: {frozen} {why}".strip())]
    if report.no_probability and report.no_probability != report.note:
        blocks.append(Warn(f"No probability per {report.level} should be shown: {report.no_probability}."))
    if report.on_validation:
        blocks.append(Warn(f"These are the {unit} that the calibration was fitted on: it looks too good here."))
    rows: list[tuple[str, ...]] = []
    marked: set[int] = set()
    reference: float | None = None
    for index, (name, summary) in enumerate(report.summaries.items()):
        mark = " (frozen)" if name == method and method != "none" else ""
        if mark:
            marked.add(index)
        if isinstance(summary, CalibrationSummary):
            reference = summary.reference
            cells: tuple[str, ...] = (
                stated(summary.brier),
                _either(summary.scaled_brier),
                _either(summary.observed_expected),
                stated(summary.ece),
                f"{summary.chance:.3f}",
                _either(summary.slope),
                _either(summary.intercept),
            )
        else:
            cells = (summary, *[""] * 6)
        rows.append((names[name] + mark, *cells))
    many = "patients" if material.patients_known else "images"
    note = (
        f"A row is of {unit}: "
        + {
            "image": "scores of images",
            "breast": "the score of a breast is the mean of its images'"
            if material.card.scored == "image"
            else "scores of breasts",
            "patient": f"the score of a patient is the mean of her {material.units}'",
        }[report.level]
    )
    if reference is not None:
        note += (
            f". The reference: predicting the share of malignant for every {report.level} has a Brier score of {reference:.3f} "
            "and a scaled Brier score of 0; below 0 is worse than that"
        )
    note += (
        ". O/E: malignant ones observed for each that the scores expect. ECE: lower is better; beside it what as many "
        f"{many} of a perfectly calibrated model would show. A slope below 1: scores too extreme; an intercept below 0: scores "
        "too high on the whole."
    )
    if isinstance(report.summaries.get("isotonic"), CalibrationSummary):
        note += (
            " Where isotonic calibration gives risks of exactly 0 or 1, these have no logit and are cut, and its slope and "
            "intercept depend on where."
        )
    head = ("Method", "Brier score", "Scaled Brier", "O/E", "ECE", "ECE by chance", "Slope", "Intercept")
    level = f"{evaluation.summary.confidence:.0%} intervals"
    caption = f"Calibration on the {SPLIT_WORDS[evaluation.split]} set, {unit}, {level}."
    return [*blocks, Table(caption, head, tuple(rows), note=note, marked=frozenset(marked), small=True)]


def _either(metric: Interval | str) -> str:
    return stated(metric) if isinstance(metric, Interval) else "undefined"


def _decision_figure(evaluation: Evaluation, report: CalibrationReport) -> tuple[Figure, ...]:
    if not isinstance(evaluation.decision, DecisionTable) or not isinstance(evaluation.summary["auc"], Interval):
        return ()
    frame = evaluation.predictions
    curve = decision_curve(
        frame["label"],
        report.frozen.apply(frame["score"]),
        frame["patient_id"],
        samples=evaluation.summary.samples,
        confidence=evaluation.summary.confidence,
    )
    caption = (
        f"Decision curve, per {evaluation.level}, at this set's {curve.prevalence:.1%} of malignant {UNITS[evaluation.level]}, "
        f"scores calibrated by {report.frozen.method if report.frozen.method != 'none' else 'nothing'}. "
        f"Band: {curve.confidence:.0%}, pointwise."
    )
    return (figures.decision("decision", curve, None, caption),)
