"""Methods of evaluation: measures, intervals, subgroups, shortcuts, heatmaps."""

from __future__ import annotations

from core.evaluate import CalibrationReport
from core.evaluate.subgroup_tests import count_tests
from core.evaluate.summaries import resamples_of, threshold_resamples
from core.metrics import MIN_PATIENTS, TITLES, CalibrationSummary, Interval, Summary
from core.metrics.levels import UNITS
from core.report.document import Points, Section
from core.report.material import SPLIT_WORDS, Material
from core.wording import counted, listed


def evaluation_methods(material: Material) -> Section:
    """Measures, intervals, subgroups, shortcuts, heatmaps."""
    settings = material.config.evaluation
    test = material.test
    same = test is None or not (test.refrozen or test.outdated(material.card))
    updated = " No model was updated after the test." if same else " What changed after the test: see test-set access."
    known = material.patients_known
    samples = resamples_of(settings) if material.shown is None else material.shown.summary.samples
    by_view = ", of images that of their view" if test is not None and test.thresholds.own else ""
    levels = (
        f"Metrics are reported at {'image, ' if material.card.scored == 'image' else ''}breast (CC and MLO together) and "
        f"patient level, each with the threshold frozen for that level{by_view}."
        if known
        else "Metrics are reported by image: whose they are is not known."
    )
    counted = (
        "count patients, not images: all images of a patient are drawn together"
        if known
        else "take each image for a person of its own (they are too narrow where a person has several)"
    )
    unit = _unit(material)
    points = (
        "Discrimination: ROC AUC, average precision; at the frozen threshold sensitivity, specificity, precision, accuracy, "
        f"F1. Overall: Brier score. {levels}",
        f"Intervals are of {material.confidence:.0%}{_other_levels(material)} and {counted}; {_fixed(material)} "
        f"{interval_methods(material)}",
        f"Other intervals: {_ece(material)} calibration slope and intercept have "
        f"a cluster-robust (sandwich) variance with Student's t; net benefit percentiles of {samples:,} resamples of {unit}, "
        "in the table and in the figure; the band of the ROC curve percentiles of 500; predictive values and numbers per 1,000 "
        "are drawn from Jeffreys' posteriors of sensitivity and specificity, at a prevalence that is taken as given.",
        f"A metric of a class, or a group, with fewer than {MIN_PATIENTS} {unit} is not reported.",
        "Calibration: reliability diagram, expected calibration error (ten bins of as many images), Brier score, calibration "
        "slope and intercept. Temperature, logistic and isotonic calibration are fitted on validation; "
        f"{_frozen_calibration(material)}{updated}",
        f"Clinical utility: net benefit (decision curve) of {_risks(material)}, and predictive values at prevalences of "
        "screening.",
        "Heterogeneity and fairness: the AUC, sensitivity and specificity in every subgroup that the manifest or the files "
        f"tell of. {subgroup_methods(material)}",
        "Robustness to shortcuts: how far the label can be predicted from metadata alone, by logistic regression and boosting "
        f"that saw other {unit}, beside the model's AUC among images that share the metadata.",
        "Explainability: class activation maps, audited against lesions, against chance and against a network with "
        "shuffled weights; their peaks as marks by FROC (Bunch et al. 1978) and AFROC (Chakraborty and Winter 1990), an image "
        "with an empty map being one without marks.",
    )
    return Section("evaluation-methods", "Evaluation methods", (Points(points), material.ask("fairness")))


def _other_levels(material: Material) -> str:
    """The levels of other evaluations and of heatmap audits that the report has, where they differ."""
    others = {f"{SPLIT_WORDS[split]} set": found.summary.confidence for split, found in material.evaluations.items()}
    others |= {
        f"heatmap audit, {SPLIT_WORDS.get(split, split)}": audit.settings.confidence
        for split, audit in material.audits.items()
        if not isinstance(audit, str)
    }
    different = [f"{name}: {level:.0%}" for name, level in others.items() if level != material.confidence]
    return f" ({', '.join(different)})" if different else ""


def _frozen_calibration(material: Material) -> str:
    """Which calibration is frozen with the model, as its card says, and whether the configuration asked for another."""
    asked = material.config.evaluation.calibration
    frozen = {"image": material.card.calibration} | (material.card.calibrations or {} if material.patients_known else {})
    by_method: dict[str, list[str]] = {}
    for level, own in frozen.items():
        method = "none" if own is None else own.fitted.method
        why = f" ({own.note.rstrip('.')})" if own is not None and own.note and method == "none" else ""
        said = f"none is frozen with the model{why}" if method == "none" else f"{method} calibration is frozen with the model"
        by_method.setdefault(said, []).append(UNITS[level])
    if len(by_method) == 1:
        (said,) = by_method
        other = "" if asked in said or said.startswith("none") else f"; the configuration of the training asked for {asked}"
        return f"{said}{other}."
    return "; ".join(f"for {listed(units)} {said}" for said, units in by_method.items()) + "."


def _risks(material: Material) -> str:
    """What stands for a risk in the decision curve."""
    frozen = {"image": material.card.calibration} | (material.card.calibrations or {} if material.patients_known else {})
    bare = [UNITS[level] for level, own in frozen.items() if own is None or own.fitted.method == "none"]
    if len(bare) == len(frozen):
        return "scores as they come, since no calibration is frozen: they are no risks"
    rest = f" (of {listed(bare)} as they come, since none is frozen for them: they are no risks)" if bare else ""
    return f"scores calibrated by the method frozen for them{rest}"


def _fixed(material: Material) -> str:
    """Whether the threshold varies in any interval of the evaluation shown."""
    evaluation = material.shown
    resampled = evaluation is not None and any(
        not isinstance(found, str) and isinstance(found.threshold, Interval) for found in evaluation.uncertainty.values()
    )
    if evaluation is None or not resampled:
        return "the threshold stays fixed."
    samples = threshold_resamples(evaluation.summary.samples, evaluation.summary.confidence)
    return (
        "the threshold stays fixed, except in the table of the threshold's own uncertainty, where it is chosen again in each "
        f"of {samples:,} resamples of validation and {SPLIT_WORDS[evaluation.split]} {_unit(material)} together."
    )


def _unit(material: Material) -> str:
    return "patients" if material.patients_known else "images"


def _ece(material: Material) -> str:
    """What stands beside the ECE: an evaluation of an earlier version has limits."""
    report = None if material.shown is None else material.shown.calibration
    before = report.before if isinstance(report, CalibrationReport) else None
    if isinstance(before, CalibrationSummary) and before.ece.method != "none":
        return "the ECE has basic (mirrored) bootstrap limits with 0 as the lowest;"
    return "the ECE has none, but stands beside what chance alone gives a calibrated model;"


_LIMITS = {
    "score": "a score interval, whose variance is that of the binormal model or of the {unit}, whichever is larger",
    "obuchowski": "Obuchowski's variance for clustered data on the logit scale, with Student's t",
    "delong": "DeLong's variance on the logit scale",
    "wilson": "Wilson's interval with the effective number of images",
    "bootstrap": "percentiles of {samples:,} bootstrap resamples of {unit}",
    "none": "no limits, since every bootstrap resample gives the same value",
}


def interval_methods(material: Material) -> str:
    """Which metrics have which kind of limits, as the metrics of the evaluation themselves say; "" without one."""
    evaluation = material.shown
    if evaluation is None:
        return ""
    unit = _unit(material)
    by_kind: dict[tuple[str, ...], list[str]] = {}
    for name, title in TITLES.items():
        found = [summary[name] for summary in evaluation.levels.values() if isinstance(summary, Summary)]
        kinds: tuple[str, ...] = tuple(dict.fromkeys(each.method for each in found if isinstance(each, Interval)))
        if kinds:
            by_kind.setdefault(kinds, []).append(title)
    samples = evaluation.summary.samples
    sentences = []
    for kinds, titles in by_kind.items():
        words = [_LIMITS.get(kind, kind).format(samples=samples, unit=unit) for kind in kinds]
        more = ", the second where every patient has one row" if set(kinds) == {"obuchowski", "delong"} else ""
        sentences.append(f"{', '.join(titles)}: {' or '.join(words)}{more}.")
    return " ".join(sentences)


def _omnibus(material: Material) -> str:
    """How all groups of a feature are tested at once, where they were."""
    if material.shown is None or not material.shown.omnibus:
        return ""
    clustered = ", clustered by patient" if material.patients_known else ""
    return (
        f" All groups of a feature at once: Wald's test with an F distribution{clustered}, adjusted for the "
        f"{counted(len(material.shown.omnibus), 'test')} of that kind (Holm)."
    )


def subgroup_methods(material: Material) -> str:
    """How groups were compared, by what the evaluation has."""
    evaluation = material.shown
    count = count_tests(evaluation.subgroups) if evaluation is not None else 0
    if not count:
        return "No group had enough data to be compared with the others."
    return (
        f"Each group is compared with all other {material.units} whose value is known; those of unknown value are shown and "
        f"in no comparison. P values are adjusted for the {counted(count, 'test')} of the table (Holm); the two groups of a "
        f"feature with two values are one test.{_omnibus(material)}"
    )
