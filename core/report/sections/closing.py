"""Discussion, model card, reproducibility and the appendices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from core import __version__
from core.config import Config
from core.data import LABELS, SPLITS
from core.evaluate import CalibrationReport, Evaluation
from core.evaluate.external import title_of
from core.evaluate.metadata import PLACES
from core.evaluate.result import left_words
from core.evaluate.subgroup_tests import differing
from core.metrics import CalibrationSummary, Interval, ShortcutAudit
from core.metrics.chance import CONFIDENCE
from core.metrics.features import feature_title, feature_words
from core.model.store import what_is_hashed
from core.report.document import Facts, Points, Section, Table, Text
from core.report.material import SPLIT_WORDS, Material, sha256_of, split_fingerprint
from core.report.sections import data, endpoint, external, test_set, units
from core.report.sections.checks import worrying
from core.report.sections.data import unverified
from core.report.words import DASH, counts_of, minus, share, size_of, starting_weights, stated
from core.runs.test_set.external import short_name
from core.wording import counted, setting, times

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


def model_card(material: Material) -> Section:
    """The model card's nine headings, short, with where to read more."""
    rows, shown = material.rows, material.shown
    groups = sorted({feature_title(row.feature) for row in shown.subgroups}) if shown else []
    auc = shown.summary["auc"] if shown else None
    quantitative = f"{SPLIT_WORDS[shown.split]} images: ROC AUC {stated(auc)}" if shown else "not evaluated yet"
    started = starting_weights(material.config, material.parent)
    facts = (
        (
            "Model details",
            f"{material.architecture}, {started}; written {material.card.created or DASH}; "
            f"weights `{material.card.weights_sha256[:16]}`",
        ),
        (
            "Intended use",
            "research on methods, by researchers. Out of scope: diagnosis, screening, triage, any decision "
            "about a patient, images of other kinds than mammograms",
        ),
        ("Factors", f"{', '.join(groups) or 'none known'}; instrumentation as far as the manifest or the files tell"),
        (
            "Metrics",
            "ROC AUC, sensitivity and specificity at a threshold frozen on validation, Brier score, ECE; intervals "
            f"{'count patients' if material.patients_known else 'take each image for a person of its own'}",
        ),
        ("Evaluation data", "; ".join((_evaluated(material), *map(_external, external.current(material))))),
        ("Training data", f"{_count(material, 'train')}; validation: {_count(material, 'val')}"),
        ("Quantitative analyses", "; ".join((quantitative, *map(_external_auc, external.current(material))))),
        (
            "Ethical considerations",
            "scores may differ between groups (see subgroups) and rest on shortcuts (see shortcut audit); images and "
            "identifiers stay with those who hold them: the model holds weights, this report names nobody",
        ),
        (
            "Caveats and recommendations",
            f"{limits(material)[0]} See limitations."
            + ("" if external.current(material) else " Evaluate on images of another source before anything else."),
        ),
    )
    text = Text("In the headings of Mitchell et al. (2019).")
    return Section(
        "model-card", "Model card", (text, Facts(tuple((name, value) for name, value in facts if value and len(rows))))
    )


def _evaluated(material: Material) -> str:
    """The test images that were scored, and of how many in the manifest; only the latter before an evaluation."""
    if material.test is None:
        return f"{_count(material, 'test')}; not evaluated yet"
    whole = int((material.rows["split"] == "test").sum())
    scored = counts_of(material.test.summary, material.patients_known)
    return scored if material.test.images == whole else f"{scored}; the test set has {counted(whole, 'image')}"


def _external(evaluation: Evaluation) -> str:
    return f"external: {title_of(evaluation)}, {external.about_of(evaluation).source_words}"


def _external_auc(evaluation: Evaluation) -> str:
    return f"external {short_name(evaluation.split)}: ROC AUC {stated(evaluation.summary['auc'])}"


def _count(material: Material, split: str) -> str:
    part = material.rows[material.rows["split"] == split]
    return (
        f"{size_of(len(part), part['patient_id'].nunique(), material.patients_known)}, "
        f"{share(int((part['label'] == 'malignant').sum()), len(part))} malignant"
    )


def reproducibility(material: Material) -> Section:
    """Hashes, versions and how to make it again."""
    card, folder = material.card, material.run.path
    digest = card.weights_sha256
    hashed = what_is_hashed(folder, digest)
    weights = folder / "model.safetensors"
    file_digest = sha256_of(weights) if weights.is_file() and "whole file" not in hashed else ""
    whose = "images, patients, labels" if material.patients_known else "images, labels"
    hashes = (
        (f"Weights, SHA-256 {hashed}", f"`{digest}`"),
        *((("Weights, SHA-256 of the file model.safetensors (sha256sum)", f"`{file_digest}`"),) if file_digest else ()),
        ("Manifest of the run, SHA-256 over manifest.csv", f"`{sha256_of(folder / 'manifest.csv')}`"),
        ("Configuration of the run, SHA-256 over config.yaml", f"`{sha256_of(folder / 'config.yaml')}`"),
        *(
            (
                f"Predictions, {SPLIT_WORDS[split]}, SHA-256 over {split}.csv",
                f"`{sha256_of(folder / 'predictions' / f'{split}.csv')}`",
            )
            for split in material.evaluations
        ),
        *(
            (
                f"Predictions, external test set {short_name(split)}, SHA-256 over {split}.csv",
                f"`{sha256_of(folder / 'predictions' / f'{split}.csv')}`",
            )
            for split in material.externals
        ),
        *(
            (f"Fingerprint of the external test set {short_name(split)}: images, patients, labels", f"`{about.content}`")
            for split, found in material.externals.items()
            if (about := found.external) is not None
        ),
        *(
            (
                f"Fingerprint of the {SPLIT_WORDS[split]} set: {whose}",
                f"`{split_fingerprint(material.rows, split)}`",
            )
            for split in SPLITS
        ),
        ("Recipe", f"`{card.recipe_hash or DASH}`"),
    )
    software = (
        ("MammoLab", f"{__version__} (this report)"),
        *sorted(card.versions.items()),
    )
    text = (
        "The model is specified by its weights (model.safetensors) and its card (model.json: architecture, recipe, "
        f"normalisation, threshold, calibration). {material.command('evaluate {run} --split test')} scores the "
        "same files again, which counts as an access to the test set; with `--remake` it makes the metrics again from the "
        "stored scores, without one. A hash over the tensors takes the name, type, shape and values of each, by name: equal "
        "weights have equal hashes, whatever else is in the file. The same run gives this report again, byte by byte. Versions "
        "are those that trained the model."
    )
    return Section("reproducibility", "Model specification and reproducibility", (Text(text), Facts(hashes), Facts(software)))


def configuration(material: Material) -> Section:
    """Every setting of the run, those that are not the default marked."""
    rows: list[tuple[str, ...]] = []
    marked = set()
    for name, value, default in _settings(material.config, Config()):
        if value != default:
            marked.add(len(rows))
        rows.append((name, value, default if value != default else ""))
    note = "Marked: differs from the default. Of paths only the last part is shown."
    caption = "Configuration of the run, nothing left to defaults."
    table = Table(
        caption,
        ("Setting", "Value", "Default, where it differs"),
        tuple(rows),
        note=note,
        marked=frozenset(marked),
        words=frozenset({1, 2}),
        small=True,
    )
    return Section("appendix-configuration", "Configuration", (table,))


def _settings(ours: BaseModel, defaults: BaseModel, prefix: str = "") -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = []
    for name in type(ours).model_fields:
        value, default = getattr(ours, name), getattr(defaults, name)
        if isinstance(value, BaseModel):
            found += _settings(value, default, f"{prefix}{name}.")
        else:
            found.append((prefix + name, _shown(prefix + name, value), _shown(prefix + name, default)))
    return found


def _shown(name: str, value: Any) -> str:
    """A setting as text; a path by its last part, since the others are of somebody's machine."""
    if isinstance(value, Path):
        return value.name
    if name == "model.weights" and str(value) not in ("none", "hub"):
        return Path(str(value).replace("\\", "/")).name
    return setting(value)


REFERENCES = (
    "Collins GS, Moons KGM, Dhiman P, et al. TRIPOD+AI statement. BMJ 2024;385:e078378. doi:10.1136/bmj-2023-078378",
    "Tejani AS, Klontzas ME, Gatti AA, et al. Checklist for Artificial Intelligence in Medical Imaging (CLAIM): 2024 update. "
    "Radiol Artif Intell 2024;6:e240300. doi:10.1148/ryai.240300",
    "Mitchell M, Wu S, Zaldivar A, et al. Model cards for model reporting. FAT* 2019:220-229. doi:10.1145/3287560.3287596",
    "Obuchowski NA. Nonparametric analysis of clustered ROC curve data. Biometrics 1997;53:567-578.",
    "DeLong ER, DeLong DM, Clarke-Pearson DL. Comparing the areas under two or more correlated ROC curves. Biometrics "
    "1988;44:837-845.",
    "Wilson EB. Probable inference, the law of succession, and statistical inference. J Am Stat Assoc 1927;22:209-212.",
    "Rao JNK, Scott AJ. A simple method for the analysis of clustered binary data. Biometrics 1992;48:577-585.",
    "Van Calster B, McLernon DJ, van Smeden M, et al. Calibration: the Achilles heel of predictive analytics. BMC Med "
    "2019;17:230.",
    "Naeini MP, Cooper GF, Hauskrecht M. Obtaining well calibrated probabilities using Bayesian binning. AAAI 2015:2901-2907.",
    "Cox DR. Two further applications of a model for binary regression. Biometrika 1958;45:562-565.",
    "Platt J. Probabilistic outputs for support vector machines. In: Advances in Large Margin Classifiers. MIT Press "
    "1999:61-74.",
    "Zadrozny B, Elkan C. Transforming classifier scores into accurate multiclass probability estimates. KDD 2002:694-699.",
    "Liang KY, Zeger SL. Longitudinal data analysis using generalized linear models. Biometrika 1986;73:13-22.",
    "Brown LD, Cai TT, DasGupta A. Interval estimation for a binomial proportion. Stat Sci 2001;16:101-133.",
    "Korn EL, Graubard BI. Confidence intervals for proportions with small expected number of positive counts estimated from "
    "survey data. Surv Methodol 1998;24:193-201.",
    "McClish DK. Analyzing a portion of the ROC curve. Med Decis Making 1989;9:190-195.",
    "Janes H, Pepe MS. Adjusting for covariate effects on classification accuracy using the covariate-adjusted receiver "
    "operating characteristic curve. Biometrika 2009;96:371-382.",
    "Guo C, Pleiss G, Sun Y, Weinberger KQ. On calibration of modern neural networks. ICML 2017.",
    "Vickers AJ, Elkin EB. Decision curve analysis. Med Decis Making 2006;26:565-574.",
    "Riley RD, Debray TPA, Collins GS, et al. Minimum sample size for external validation of a clinical prediction model with "
    "a binary outcome. Stat Med 2021;40:4230-4251.",
    "Newcombe RG. Confidence intervals for an effect size measure based on the Mann-Whitney statistic. Stat Med "
    "2006;25:559-573.",
    "Collins GS, Ogundimu EO, Altman DG. Sample size considerations for the external validation of a multivariable prognostic "
    "model. Stat Med 2016;35:214-226.",
    "Holm S. A simple sequentially rejective multiple test procedure. Scand J Stat 1979;6:65-70.",
    "Zech JR, Badgeley MA, Liu M, et al. Variable generalization performance of a deep learning model to detect pneumonia. "
    "PLoS Med 2018;15:e1002683.",
    "DeGrave AJ, Janizek JD, Lee SI. AI for radiographic COVID-19 detection selects shortcuts over signal. Nat Mach Intell "
    "2021;3:610-619.",
    "Selvaraju RR, Cogswell M, Das A, et al. Grad-CAM. ICCV 2017:618-626.",
    "Adebayo J, Gilmer J, Muelly M, et al. Sanity checks for saliency maps. NeurIPS 2018.",
)


def references() -> Section:
    """Where the methods come from."""
    return Section("appendix-references", "References", (Points(REFERENCES),))
