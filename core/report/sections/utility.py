"""Clinical utility: net benefit, and predictive values at prevalences of screening."""

from __future__ import annotations

from core.evaluate import AGAIN, CalibrationReport, DecisionTable, Evaluation
from core.metrics import LEVELS, Interval, Summary, ViewThresholds, at_level, operating_point
from core.metrics.levels import UNITS
from core.report.document import Block, Section, Table, Text
from core.report.material import SPLIT_WORDS, Material
from core.report.sections.evaluated import absent, levels_of
from core.report.words import LEVEL_TITLES, signed, stated
from core.wording import counted

PREVALENCES = (0.005, 0.01, 0.05)


def utility(material: Material) -> Section:
    """Net benefit, and predictive values at prevalences of screening."""
    evaluation, title = material.shown, "Clinical utility"
    if evaluation is None or evaluation.decision == AGAIN:
        return Section("utility", title, (absent(material, "Net benefit"), *_predictive(material, evaluation)))
    decision = evaluation.decision
    if not isinstance(decision, DecisionTable):
        return Section(
            "utility", title, (Text(f"Net benefit cannot be computed: {decision}"), *_predictive(material, evaluation))
        )
    tables = [_net_benefit(material, evaluation, each) for each in _decisions(material, evaluation)]
    return Section("utility", title, (*tables, *_predictive(material, evaluation)))


def _decisions(material: Material, evaluation: Evaluation) -> list[DecisionTable]:
    """Net benefit per image, breast and patient, as far as it can be computed."""
    found = [evaluation.decision_at(level) for level in LEVELS if level == "image" or material.patients_known]
    return [each for each in found if isinstance(each, DecisionTable)]


def _breasts(material: Material) -> str:
    """How many breasts of how many patients were scored: not every patient has both."""
    summary = None if material.shown is None else material.shown.levels.get("breast")
    if not isinstance(summary, Summary):
        return "a patient may have two"
    return f"{counted(summary.rows, 'breast')} of {counted(summary.patients, 'patient')}"


def _net_benefit(material: Material, evaluation: Evaluation, decision: DecisionTable) -> Table:
    words = SPLIT_WORDS[evaluation.split]
    rows = tuple((f"{row.threshold:.0%}", stated(row.model), signed(row.treat_all), "0") for row in decision.rows)
    unit = UNITS[decision.level]
    whose = {
        "image": "a patient may have several, and the share of patients with cancer is another",
        "breast": f"{_breasts(material)}, and the share of patients with cancer is another",
        "patient": "this is per person",
    }[decision.level]
    if not material.patients_known:
        whose = "a person may have several"
    calibrated = decision.calibration if decision.calibration != "none" else "none: scores as they come, which are no risks"
    note = (
        f"Net benefit per {decision.level}, where {decision.prevalence:.1%} of the {unit} are malignant, which is not the "
        f"share of screening; {whose}. Calibration: {calibrated}. Somebody who would examine 19 healthy ones to find "
        "one cancer acts at a risk of 5%."
    )
    head = ("Acting at a risk of", "On the model", "On all", "On none")
    no_risk = evaluation.calibration_at(decision.level)
    if isinstance(no_risk, CalibrationReport) and no_risk.no_probability:
        note += f" Read with care: no probability should be shown per {decision.level}, since {no_risk.no_probability}."
    level = f"{evaluation.summary.confidence:.0%} intervals"
    return Table(f"Net benefit per {decision.level}, {words} set, {level}.", head, rows, note=note)


def _predictive(material: Material, evaluation: Evaluation | None) -> list[Block]:
    """What the frozen threshold would mean at a prevalence; for patients where they can be computed, else images."""
    if evaluation is None:
        return []
    for level in ("patient", "image"):
        summary = levels_of(material, evaluation).get(level)
        if isinstance(summary, Summary) and all(isinstance(summary[name], Interval) for name in ("sensitivity", "specificity")):
            break
    else:
        few = "patients" if material.patients_known else "images"
        return [Text(f"Predictive values cannot be computed: too few {few} of a class.")]
    table = at_level(evaluation.predictions, level)
    by_view = evaluation.thresholds if level == "image" else ViewThresholds(summary.threshold)
    applied = by_view.of_rows(table) if by_view.own else summary.threshold
    point = operating_point(table["label"], table["score"], applied, table["patient_id"], confidence=summary.confidence)
    at = f"thresholds by view ({by_view.words})" if by_view.own else f"threshold {summary.threshold:.4f}"
    rows = []
    for found, words in (
        *((point.at(value), f"{value:.1%}") for value in PREVALENCES),
        (point.own, f"{point.own.prevalence:.1%} (this set's {UNITS[level]})"),
    ):
        people = (found.recalled, found.found, found.missed, found.false_alarms)
        cells = (f"{metric.value:.1f} [{metric.low:.1f},\u00a0{metric.high:.1f}]" for metric in people)
        rows.append((words, stated(found.ppv), stated(found.npv), *cells))
    note = (
        f"{LEVEL_TITLES[level]}, {at}, sensitivity {stated(point.sensitivity)}, specificity {stated(point.specificity)}. Per "
        f"1,000 {UNITS[level]}. A prevalence without a set is taken as known: its limits are those of sensitivity and "
        "specificity alone. The last row is what happened in this set, with limits of its own shares. Holds only if those "
        f"screened resemble these {UNITS[level]} in all but how many are ill."
    )
    head = ("Prevalence", "PPV", "NPV", "Recalled per 1,000", "Found", "Missed", "False alarms")
    caption = f"What the frozen threshold would mean at other prevalences, {summary.confidence:.0%} intervals."
    return [Table(caption, head, tuple(rows), note=note, small=True)]
