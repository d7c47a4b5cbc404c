"""Discussion: what the results mean, what limits them, and what using the model would take."""

from __future__ import annotations

from core.data import LABELS
from core.evaluate import CalibrationReport, Evaluation
from core.evaluate.metadata import PLACES
from core.evaluate.result import left_words
from core.evaluate.subgroup_tests import differing
from core.metrics import CalibrationSummary, Interval, ShortcutAudit
from core.metrics.chance import CONFIDENCE
from core.metrics.features import feature_words
from core.report.document import Points, Section
from core.report.material import SPLIT_WORDS, Material
from core.report.sections import data, endpoint, external, test_set, units
from core.report.sections.checks import worrying
from core.report.sections.data import unverified
from core.report.words import minus, share, stated
from core.wording import counted, times

_FEW_EVENTS = 100  # patients with the outcome; Collins, Ogundimu, Altman, Stat Med 2016;35:214


def discussion(material: Material) -> Section:
    """What it means, what limits it, what using it would take."""
    return Section(
        "discussion",
        "Discussion",
        sections=(
            Section("interpretation", "Interpretation", (material.ask("interpretation"),)),
            Section("limits", "Limitations", (Points(tuple(limits(material))), material.ask("limitations"))),
            _usability(material),
        ),
    )


def limits(material: Material) -> list[str]:
    """Limits that follow from the run's own facts, the gravest first, then those of every such study."""
    found = [
        *_limits_of_data(material),
        *(
            _limits_of_test(material, material.shown)
            if material.shown
            else ["No split has been evaluated: there is no metric to rely on."]
        ),
    ]
    every = [
        external.limit(material),
        "The share of malignant images is not that of screening: precision, accuracy and F1 do not carry over.",
        "Heatmaps show where a score came from, not whether it is right.",
        f"Intervals tell the chance of drawing other {'patients' if material.patients_known else 'images'} from the same "
        f"source; they do not cover training again with another seed, and {_held(material)}.",
    ]
    return found + every


def _held(material: Material) -> str:
    """How the intervals treat the threshold: frozen, but for the table where it is chosen again in every resample."""
    shown = material.shown
    again = shown is not None and any(
        not isinstance(each, str) and isinstance(each.threshold, Interval) for each in shown.uncertainty.values()
    )
    return "take the threshold as fixed" + (", except in the table of the threshold's own uncertainty" if again else "")


def _limits_of_data(material: Material) -> list[str]:
    rows = material.rows
    found = []
    if material.synthetic:
        found.append("The images are synthetic. No metric in this report says anything about real mammograms.")
    if not material.patients_known:
        found.append(
            "No patient is known: the same person may stand in training, validation and test, and intervals take each image "
            "for a person of its own. Metrics may be too optimistic and intervals too narrow."
        )
    found += data.doubtful_patients(material)
    test = rows[rows["split"] == "test"]
    smallest = {label: test.loc[test["label"] == label, "patient_id"].nunique() for label in LABELS}
    whose = ("patient with {} images", "patients with {} images") if material.patients_known else ("{} image", "{} images")
    if len(test) and min(smallest.values()) < _FEW_EVENTS:
        label, few = min(smallest.items(), key=lambda item: (item[1], item[0]))
        found.append(
            f"The test set is small: {counted(few, *(words.format(label) for words in whose))}. With fewer than {_FEW_EVENTS} "
            "of either class, estimates of performance are imprecise and may mislead."
        )
    places = [
        name
        for name in PLACES
        if name in rows.columns and rows[name].astype("str").str.strip().replace("nan", "").nunique() > 1
    ]
    if not places and not material.synthetic:
        found.append("The manifest names no site: as far as the run can tell, all images are of one.")
    unsure = unverified(rows)
    if unsure:
        found.append(
            f"{share(unsure, int((rows['label'] == 'benign').sum()))} of the benign images were never biopsied, as the "
            "manifest says: some may be missed cancers."
        )
    elif unsure is None and not material.synthetic:
        found.append("The manifest does not say how labels were verified (biopsy, follow-up or reading).")
    if material.left:
        refused = sum(item.refused for item in material.left)
        found.append(
            f"Of {counted(len(rows), 'image')} {left_words(len(material.left) - refused, refused)}: the metrics are without "
            "them."
        )
    return found


def _limits_of_test(material: Material, evaluation: Evaluation) -> list[str]:
    found = []
    if material.test is None:
        found.append(
            "The test set has not been evaluated: all metrics are of validation, which chose the epoch, the threshold and the "
            "calibration."
        )
    elif material.test.evaluations > 1:
        found.append(f"The test set was evaluated {times(material.test.evaluations)}: its metrics may be too optimistic.")
    if said := endpoint.limit(material):
        found.append(said)
    if material.test is not None and (seen := test_set.seen_before(material)):
        found.append(seen)
    found += units.headline_warnings(material)
    if evaluation.refrozen:
        found.append("The threshold was chosen again after the test set had been evaluated.")
    auc = material.auc_against_chance
    limits = f"AUC {stated(auc)}, {CONFIDENCE:.0%} interval" if isinstance(auc, Interval) else ""
    if isinstance(auc, Interval) and auc.high < 0.5:
        found.append(f"The model is worse than chance on these images ({limits}): check that the labels are not swapped.")
    elif isinstance(auc, Interval) and auc.low <= 0.5:
        found.append(f"The model cannot be distinguished from chance on these images ({limits}).")
    if isinstance(evaluation.shortcuts, ShortcutAudit):
        names = worrying(evaluation.shortcuts)
        if names:
            found.append(
                f"Shortcuts: {', '.join(names)} predict the label better than chance, and among images alike in that the "
                f"model is not shown to be better than chance ({evaluation.summary.confidence:.0%} intervals). It may have "
                "learned what comes with the label instead of the disease."
            )
        against = evaluation.shortcuts.metadata
        if against is not None and not against.tells_more:
            found.append(minus(against.sentence))
    else:
        found.append("The run was not audited for shortcuts: the model may have learned what comes with the label.")
    found += _limits_of_calibration(evaluation)
    gaps = sorted({feature_words(row.feature) for row in evaluation.subgroups if differing(row)})
    if gaps:
        found.append(f"Performance differs between subgroups by {', '.join(gaps)} (adjusted p below 0.05).")
    if not material.audits:
        found.append("The heatmaps were not audited: nothing is known about whether they mark lesions.")
    return found + _limits_of_heatmaps(material)


def _limits_of_heatmaps(material: Material) -> list[str]:
    """That the maps' peaks are not shown to find lesions, for every audit that could have shown it."""
    found = []
    for split, audit in material.audits.items():
        if isinstance(audit, str):
            continue
        for method in audit.methods:
            metric = method.metric("hit")
            chance = None if metric is None else metric.references.get("chance")
            if chance is not None and isinstance(chance.difference, Interval) and chance.difference.low <= 0:
                fewer = chance.difference.high < 0
                often = "lie in lesions less often than" if fewer else "are not shown to lie in lesions more often than"
                level = f"{audit.settings.confidence:.0%} interval"
                where = SPLIT_WORDS.get(split, split.removeprefix("external-"))
                found.append(
                    f"The peaks of the heatmaps ({method.method}, {where}) {often} chance puts them there (difference "
                    f"{stated(chance.difference)}, {level})."
                )
    return found


def _limits_of_calibration(evaluation: Evaluation) -> list[str]:
    report = evaluation.calibration
    if not isinstance(report, CalibrationReport):
        return ["Calibration was not assessed: a score of 0.8 need not mean that 8 in 10 are malignant."]
    after = report.after
    if not isinstance(after, CalibrationSummary):
        return [f"Calibration cannot be assessed ({after})."]
    off = []
    if after.beyond_chance:
        off.append(f"ECE {stated(after.ece)}, more than chance gives")
    if isinstance(after.slope, Interval) and not after.slope.low <= 1 <= after.slope.high:
        off.append(f"slope {stated(after.slope)}")
    if isinstance(after.intercept, Interval) and not after.intercept.low <= 0 <= after.intercept.high:
        off.append(f"intercept {stated(after.intercept)}")
    what = "Scores, which are not calibrated," if report.frozen.method == "none" else "Calibrated scores"
    level = f"{evaluation.summary.confidence:.0%} intervals"
    return [f"{what} are off: {'; '.join(off)} ({level}). Do not read them as risks."] if off else []


def _usability(material: Material) -> Section:
    points = (
        "Poor or unavailable input: files that cannot be read or are damaged are refused with a reason. Images of another "
        "modality or body part, in colour, binary masks, images without a breast, and images far from those the model was "
        "trained on get no verdict, here and in use; a score that is asked for anyway is marked. Images prepared by another "
        "recipe are refused; doubts about polarity or the breast's outline are given as warnings.",
        "Interaction: none but giving the file. The user needs to know what a mammogram is, which view it shows, and that a "
        "score is not a diagnosis.",
    )
    return Section("usability", "Usability and next steps", (Points(points), material.ask("usability")))
