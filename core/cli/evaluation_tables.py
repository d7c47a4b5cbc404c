"""The tables of an evaluation as the command line prints them, and how a metric is written in one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.cli.output import print_table, printable
from core.wording import counted, p_value

if TYPE_CHECKING:
    from core.evaluate import Evaluation
    from core.metrics import CalibrationSummary, Interval, Level


def print_tables(evaluation: Evaluation, patients_known: bool) -> None:
    """Every table; without patients those of breasts and patients would be the images' under another name."""
    from core.metrics import LEVELS

    levels: Sequence[Level] = LEVELS if patients_known else (evaluation.level,)
    _calibration_table(evaluation, levels)
    _subgroup_table(evaluation, patients_known)
    _shortcut_table(evaluation, patients_known)
    if evaluation.further:
        print("\nfurther columns of the manifest")
        rows = [(each.name, each.read or "left out", each.why) for each in evaluation.further]
        print_table([tuple(map(printable, row)) for row in rows], ("column", "read as", "why"))
    _decision_table(evaluation, levels)
    print()


def print_units(evaluation: Evaluation) -> None:
    """What patients are made of, and the AUC by patient under other rules."""
    from core.metrics.aggregation import aggregation_rules
    from core.metrics.composition import associations, composition, composition_warnings

    frame = evaluation.predictions
    rows = [
        (
            each.label,
            *map(str, (each.patients, each.images)),
            f"{each.median:g} ({each.low}-{each.high})",
            *map(str, (each.two_sides, each.one_side, each.unknown_sides)),
        )
        for each in composition(frame)
    ]
    print(f"\npatients by label, scored images of {evaluation.split}")
    print_table(rows, ("label", "patients", "images", "images a patient", "both sides", "one side", "side unknown"))
    for sentence in composition_warnings(associations(frame, confidence=evaluation.summary.confidence)):
        print(f"warning, of the scored images: {sentence}")
    print("\nAUC by patient under other rules")
    rules = aggregation_rules(frame, confidence=evaluation.summary.confidence)
    print_table([(rule.name, "yes" if rule.balanced else "no", cell(rule.auc)) for rule in rules], ("rule", "balanced", "AUC"))


def _calibration_table(evaluation: Evaluation, levels: Sequence[Level]) -> None:
    names = ("brier", "scaled_brier", "observed_expected", "ece", "chance", "slope", "intercept")
    for level in levels:
        report = evaluation.calibration_at(level)
        if isinstance(report, str):
            print(f"\ncalibration by {level}: {report}")
            continue
        rows: list[tuple[str, ...]] = []
        for method, found in report.summaries.items():
            title = method + (" (the model's)" if method == report.frozen.method else "")
            if isinstance(found, str):
                rows.append((title, found, *[""] * (len(names) - 1)))
            else:
                rows.append((title, *(cell(getattr(found, name)) for name in names)))
        reference = None if isinstance(report.before, str) else report.before.reference
        known = "" if reference is None else f", predicting the prevalence: Brier {reference:.3f}"
        # An ECE has no interval, and is above 0 by chance alone: it is read beside what chance gives.
        print(f"\ncalibration by {level}{known}")
        heads = ("method", "Brier", "scaled Brier", "observed/expected", "ECE", "ECE by chance", "slope", "intercept")
        print_table(rows, heads)
        if report.no_probability:
            print(f"no probability by {level}: {report.no_probability}")
        if report.on_validation:
            print("fitted on these very images: only the test set is an independent check")


def _subgroup_table(evaluation: Evaluation, patients_known: bool) -> None:
    from core.evaluate.subgroup_tests import METRICS_TESTED, count_tests
    from core.metrics.features import feature_title, value_title
    from core.metrics.levels import UNITS

    if not evaluation.subgroups:
        print("\nsubgroups: no column makes any")
        return
    heads = (
        "group",
        "value",
        UNITS[evaluation.level] + (" (patients)" if patients_known else ""),
        "malignant",
        "AUC",
        "sensitivity",
        "specificity",
        "AUC minus others",
        "p adjusted: AUC, sensitivity, specificity",
    )
    rows = []
    for row in evaluation.subgroups:
        metrics = [cell(getattr(row, name), "–") for name in ("auc", "sensitivity", "specificity", "difference")]
        compared = " (of sensitivity)" if row.compared == "sensitivity" and row.p is not None else ""
        numbers = (row.images, row.patients), (row.malignant_images, row.malignant_patients)
        images = [f"{number} ({patients})" if patients_known else str(number) for number, patients in numbers]
        others = (row.sensitivity_adjusted, row.specificity_adjusted) if row.compared == "auc" else ()
        p = ", ".join(map(p_value, (row.adjusted, *others)))
        rows.append(
            (feature_title(row.feature), value_title(row.feature, row.value), *images, *metrics[:3], metrics[3] + compared, p)
        )
    print("\nsubgroups")
    print_table(rows, heads)
    print(
        "–: too few of a class in the group or among the others, or the value is unknown: not tested. The others: images of "
        f"another known value. p adjusted for {counted(count_tests(evaluation.subgroups), 'test')} of the table (Holm)"
    )
    if evaluation.omnibus:
        clusters = "clustered by patient" if patients_known else "each image by itself: no patient is known"
        print(f"\nall groups of a feature at once (Wald test, F, {clusters})")
        tests = [
            (
                feature_title(row.feature),
                METRICS_TESTED[row.metric],
                str(row.groups),
                f"{row.wald:.2f}",
                p_value(row.p),
                p_value(row.adjusted),
            )
            for row in evaluation.omnibus
        ]
        print_table(tests, ("feature", "metric", "groups", "Wald", "p", f"p adjusted for {counted(len(tests), 'test')}"))


def _shortcut_table(evaluation: Evaluation, patients_known: bool) -> None:
    from core.metrics.features import feature_title

    audit = evaluation.shortcuts
    if isinstance(audit, str):
        print(f"\nshortcut audit: {audit}")
        return
    rows = [
        (feature_title(row.feature), cell(row.auc), cell(row.boosting), cell(row.within), f"{row.pairs:.0%}")
        for row in audit.features
    ]
    learned = counted(audit.learned_on, "training image")
    how = f"learned on {learned}" if audit.learned_on else f"cross-validated in {counted(audit.folds, 'fold')}"
    print(f"\nshortcut audit, {how}; the model itself: AUC {cell(audit.model)}")
    heads = ("label predicted from", "AUC, linear", "AUC, boosting", "model's AUC among images alike in it", "pairs compared")
    print_table(rows, heads)
    for sentence in ("" if audit.metadata is None else audit.metadata.sentence, audit.aside):
        if sentence:
            print(printable(sentence))
    if not audit.learned_on:
        few = "patients" if patients_known else "images"
        print(f"an AUC below 0.5 may be chance: with few {few}, cross-validation errs to that side")
    if audit.left_out:
        names = ", ".join(map(feature_title, audit.left_out))
        print(f"left out (never vary in the scored or the training images, or differ in nearly every image): {names}")


def _decision_table(evaluation: Evaluation, levels: Sequence[Level]) -> None:
    for level in levels:
        decision = evaluation.decision_at(level)
        if isinstance(decision, str):
            print(f"\nnet benefit per {level}: {decision}")
            continue
        print(f"\nnet benefit per {level}, scores calibrated: {decision.calibration}; {decision.prevalence:.0%} malignant")
        rows = [(f"{row.threshold:.0%}", cell(row.model), f"{row.treat_all:.3f}", "0.000") for row in decision.rows]
        print_table(rows, ("acting at a risk of", f"the model, per {level}", f"every {level}", f"no {level}"))


def cell(metric: Interval | str | float | None, instead: str | None = None) -> str:
    """A metric with its interval where it has one, or the note why there is none (`instead` in place of it); "" for None."""
    if isinstance(metric, str):
        return metric if instead is None else instead
    if isinstance(metric, float):
        return f"{metric:.3f}"
    return "" if metric is None else str(metric)


def calibration_text(found: CalibrationSummary | str) -> str:
    """ECE and Brier score on one line, each beside what it is compared with."""
    if isinstance(found, str):
        return found
    known = "" if found.reference is None else f" (predicting the prevalence {found.reference:.3f})"
    return f"ECE {found.ece} (chance alone {found.chance:.3f}), Brier {found.brier}{known}"
