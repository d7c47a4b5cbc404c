"""Methods about the model: sample size, architecture, training, output, how it was evaluated, ethics."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from core.metrics import MIN_VIEW_PATIENTS, Interval, Summary, ThresholdRule
from core.model.card import cost_of
from core.report.document import Facts, Section, Text
from core.report.material import Material
from core.report.precision import WIDTH, participants_needed
from core.report.sections import data
from core.report.sections.evaluation_methods import evaluation_methods
from core.report.words import loaded_weights, monitored, starting_weights, stated
from core.wording import counted, duration, listed, setting

_IMBALANCE = {
    "weights": "The rarer class counts more in the loss, in proportion to how much rarer it is among the training images. That "
    "pushes scores up: a score is not a risk until it is calibrated.",
    "sampler": "Images of the rarer class are drawn more often. That pushes scores up: a score is not a risk until it is "
    "calibrated.",
    "none": "Nothing was done about class imbalance.",
}


def methods(material: Material) -> Section:
    """Every section about methods."""
    return Section(
        "methods",
        "Methods",
        sections=(
            data.source(material),
            data.preparation(material),
            data.outcome(material),
            sample_size(material),
            data.missing(material),
            data.partition(material),
            model(material),
            training(material),
            output(material),
            evaluation_methods(material),
            Section("ethics", "Ethical approval", (material.ask("ethics"),)),
        ),
    )


def openness(material: Material) -> Section:
    """Funding, conflicts, protocol and what is shared."""
    asked = ("funding", "conflicts", "protocol", "registration", "data_sharing", "code_sharing", "involvement")
    return Section("openness", "Open science and involvement", tuple(map(material.ask, asked)))


def sample_size(material: Material) -> Section:
    """How many events there are, and what that many can tell."""
    rows = material.rows
    test = rows[rows["split"] == "test"]
    if not material.patients_known:
        said = (
            f"{_used(material)} No sample size was calculated beforehand by MammoLab. The test set has "
            f"{counted(len(test), 'image')}, {int((test['label'] == 'malignant').sum()):,} of them malignant. How many people "
            "stand behind them is not known, so that nothing can be said of how many would be needed."
        )
        return Section("sample-size", "Sample size", (Text(said), material.ask("sample_size")))
    patients = test.groupby("patient_id")["label"].agg(lambda labels: bool((labels == "malignant").any()))
    events = int(patients.sum())
    blocks = [
        Text(
            f"{_used(material)} No sample size was calculated beforehand by MammoLab. The test set has "
            f"{counted(len(patients), 'patient')}, {events:,} of them with a malignant image (the events)."
        )
    ]
    if 0 < events < len(patients):
        prevalence, confidence = events / len(patients), material.confidence
        needed = ", ".join(
            f"{participants_needed(auc, prevalence, confidence=confidence):,} for an AUC of {auc:g}" for auc in (0.7, 0.8, 0.9)
        )
        blocks.append(
            Text(
                f"At this share of events ({prevalence:.1%}), patients needed so that the {confidence:.0%} interval of a "
                f"patient-level AUC is expected to be at most {WIDTH:g} wide (Riley et al. 2021, with Newcombe's standard "
                f"error): {needed}.{_achieved(material)}"
            )
        )
    return Section("sample-size", "Sample size", (*blocks, material.ask("sample_size")))


def _used(material: Material) -> str:
    """Whether every patient (or image) of the manifest was trained on or scored."""
    rows, left = material.rows, {item.row for item in material.left if item.row}
    if not left:
        return f"All {'patients' if material.patients_known else 'images'} of the manifest were used."
    if not material.patients_known:
        return f"Of {counted(len(rows), 'image')} of the manifest {len(left):,} were left out (see missing data)."
    place = pd.Series(range(1, len(rows) + 1), index=rows.index)
    used = rows.loc[~place.isin(left), "patient_id"].nunique()
    total = rows["patient_id"].nunique()
    whole = (
        f"All {total:,} patients of the manifest were used"
        if used == total
        else f"All {total:,} patients of the manifest were assigned to a set, but no image of {total - used:,} has a score"
    )
    images = counted(len(left), "image")
    return f"{whole}; {images} {'was' if len(left) == 1 else 'were'} left out (see missing data)."


def _achieved(material: Material) -> str:
    summary = material.test.levels.get("patient") if material.test else None
    metric = summary["auc"] if isinstance(summary, Summary) else None
    if not isinstance(metric, Interval):
        return ""
    return f" The interval achieved is {metric.high - metric.low:.3f} wide ({stated(metric)})."


def model(material: Material) -> Section:
    """The architecture and where it started."""
    parameters = material.last["start"].get("parameters") if "start" in material.last else None
    height, width = material.config.preprocessing.shape
    norm, record = material.card.normalisation, material.card.starting_weights
    facts = [
        ("Architecture", material.architecture),
        *_members(material),
        ("Parameters", "–" if parameters is None else f"{parameters:,}"),
        ("Starting weights", starting_weights(material)),
        *(() if record is None or record.source == "none" else (("Loaded of them", loaded_weights(record)),)),
        ("Input", f"{_input(material)}, {height} × {width} px (height × width)"),
        ("Output", "one logit; its logistic is the score, P(malignant)"),
        ("Dropout before the last layer", f"{material.config.model.dropout:g}"),
    ]
    if norm:
        facts.append(
            (
                "Normalisation",
                f"mean {setting(norm.get('mean'))}, standard deviation {setting(norm.get('std'))}, inside the model",
            )
        )
    if material.config.model.options:
        facts.append(("Options", setting(material.config.model.options)))
    return Section("model", "Model", (Facts(tuple(facts)),))


def _members(material: Material) -> tuple[tuple[str, str], ...]:
    """Of an ensemble which models it is the mean of, and what that costs."""
    members = material.card.members
    if members is None:
        return ()
    epochs = [f"{each.run}{'' if each.epoch is None else f' (epoch {each.epoch})'}" for each in members]
    return (
        ("Ensemble", f"the score is the mean of the scores of {listed(epochs)}"),
        ("Cost", cost_of(material.run.path, material.card)),
        ("Validation", material.card.validation_words),
    )


def _ensembling(material: Material) -> str:
    if material.card.members is None:
        return "none: one model"
    return f"the mean of the scores of {len(material.card.members)} models; the settings listed here are those of the first"


def training(material: Material) -> Section:
    """How the weights were found."""
    settings = material.config.training
    scratch, head_only = material.config.model.weights == "none", _phase_names(material) == {"head"}
    added = (
        f", gradients of {settings.advanced.accumulation_steps} batches added up"
        if settings.advanced.accumulation_steps > 1
        else ""
    )
    facts = [
        (
            "Optimiser",
            f"AdamW, weight decay {settings.advanced.weight_decay:g}, {settings.schedule.replace('_', ' ')} schedule",
        ),
        (
            "Learning rate",
            f"{settings.learning_rate:g}"
            + ("" if scratch or head_only else f"; of an unfrozen pretrained network {settings.fine_tune_learning_rate:g}"),
        ),
        *_patches(material),
        ("Phases", _phases(material)),
        ("Batch", f"{counted(settings.batch_size, 'image')}{added}"),
        ("Loss", _loss(material)),
        ("Augmentation, training images only", _augmentation(material)),
        ("Selection of the model", f"the epoch with the best {monitored(settings.monitor)} on validation"),
        ("Early stopping", f"after {counted(settings.patience, 'epoch')} without improvement" if settings.patience else "none"),
        (
            "Averaging of weights",
            f"exponential, decay {settings.advanced.ema_decay:g}" if settings.advanced.ema_decay else "none",
        ),
        ("Ensembling", _ensembling(material)),
        (
            "Hyperparameter search",
            "none by MammoLab within this run; settings that differ from the defaults are marked in appendix A",
        ),
        ("Seed", str(settings.seed)),
        ("Machine", _machine(material)),
    ]
    imbalance = Text(f"Class imbalance: {_IMBALANCE[settings.imbalance][:1].lower()}{_IMBALANCE[settings.imbalance][1:]}")
    return Section("training", "Training and selection of the model", (Facts(tuple(facts)), imbalance))


def _phase_names(material: Material) -> set[str]:
    return {event.get("phase", "") for event in material.events if event["type"] == "phase"}


def _augmentation(material: Material) -> str:
    """What training images went through; where the head learned from stored features, how many augmented copies there were."""
    settings = material.config.augmentation
    mixup = f"mixup {'off' if not settings.mixup else f'{settings.mixup:g}'}"
    every = (
        f"horizontal flip {setting(settings.horizontal_flip)}, vertical flip {setting(settings.vertical_flip)}, "
        f"rotation ±{settings.rotation:g}°, zoom ±{settings.zoom:.0%}, "
        f"brightness ±{settings.brightness:.0%}, contrast ±{settings.contrast:.0%}"
    )
    views = _stored_views(material)
    if not views:
        return f"{every}, {mixup}"
    copies = counted(views - 1, "augmented copy", "augmented copies")
    head = "the head learned from stored features of each image " + (
        "as it is, without augmented copies" if views == 1 else f"and {copies} of it"
    )
    if views == 1 and _phase_names(material) <= {"head"}:
        return f"none of the images: {head}; {mixup}"
    return f"{every}, {mixup}; while only the head was trained, {head}"


def _stored_views(material: Material) -> int:
    """How many views of each training image the features were stored of, the image itself among them; 0: none were stored.

    The last event that counts the images through the frozen network tells it: `total` is of one process, each of the training
    images once a view and each of the validation images once.
    """
    totals = [event["total"] for event in material.events if event["type"] == "prepare" and event.get("what") == "features"]
    if not totals:
        return 0
    sizes = material.rows["split"].value_counts()
    train, val = (int(sizes.get(split, 0)) for split in ("train", "val"))
    processes = material.last["start"].get("processes", 1) if "start" in material.last else 1
    return max(1, round((totals[-1] * processes - val) / train)) if train else 0


def _phases(material: Material) -> str:
    frozen = material.config.training.frozen_backbone_fraction
    tuned = f"network without the first {frozen:.0%} of its stages" if frozen else "whole network"
    words = {"head": "head only", "fine_tune": tuned, "scratch": "from scratch"}
    stated = []
    for event in material.events:
        if event["type"] == "phase":
            name = event.get("phase", "")
            stated.append(f"{words.get(name, name)}: epochs {event['first_epoch']} to {event['last_epoch']}")
    return "; ".join(dict.fromkeys(stated)) or "–"


def _loss(material: Material) -> str:
    settings = material.config.training
    name = "cross-entropy" if settings.loss == "bce" else f"focal loss, gamma {settings.advanced.focal_gamma:g}"
    smoothed = f", label smoothing {settings.advanced.label_smoothing:g}" if settings.advanced.label_smoothing else ""
    weight = settings.lesions.localization_weight
    drawn = f"; and {weight:g} times the share of the class activation map outside of known lesions" if weight else ""
    return f"{name}{smoothed}{drawn}"


def _patches(material: Material) -> tuple[tuple[str, str], ...]:
    """The patch phase before the first epoch, where there was one: whose lesions, how long."""
    done = {event["epoch"]: event for event in material.events if event["type"] == "patch_epoch"}
    if not done:
        return ()
    settings, rows = material.config.training.lesions, material.run.patch_rows()
    last = done[max(done)]
    source = "this run's training images"
    if rows is not None:
        source = f"{counted(len(rows), 'image')} of {rows['patient_id'].nunique():,} patients of another manifest"
        source += f" ({Path(settings.patch_manifest).name}), none of them in this run's validation or test set"
    length = counted(len(done), "epoch")
    found = last.get("accuracy")
    words = f"{length} on patches of {settings.patch_size} px from {source}: lesion, beside a lesion, other tissue"
    right = (
        ""
        if found is None
        else f"; in the last one {found:.0%} of these training patches were classified right as lesion or tissue"
    )
    return (("Patch phase", words + right),)


def _machine(material: Material) -> str:
    start = material.last.get("resume") or material.last.get("start")
    if start is None:
        return "–"
    device = start.get("device", "–")
    kind = "graphics processor" if device.startswith("cuda") else device
    parts = [kind, f"precision {start.get('precision', '–')}"]
    if "threads" in start:
        parts.append(f"{counted(start['threads'], 'thread')}")
    if "processes" in start:
        parts.append(f"{start['processes']} processes")
    return ", ".join(parts)


def _input(material: Material) -> str:
    if material.card.scored == "image":
        return "one grey image"
    return f"the grey images of a breast, whose pooled features are fused ({material.config.model.fusion}), each"


def output(material: Material) -> Section:
    """What comes out, and how the threshold was found."""
    unit = material.card.scored
    text = f"The model gives each {unit} a score between 0 and 1; a score at or above the threshold is called malignant."
    if unit == "breast":
        text += (
            " It is made from all images of the breast (same patient, side and examination); a missing view is left out. At "
            "patient level the score is the mean of the breasts' scores. A label is malignant when any image's is."
        )
    elif material.patients_known:
        text += (
            " At breast and patient level the score is the mean of the images' scores, and the label is malignant when any "
            "image's is."
        )
    blocks = [
        Text(text),
        Text(f"{_rule(material)} Decisions use raw scores; calibration, where there is one, only turns a score into a risk."),
    ]
    if material.fitted:
        blocks.append(Text(material.fitted))
    blocks.append(
        Text(f"A score is made by {material.command('predict {run} FILE')} or `core.predict.Predictor`, from the file alone.")
    )
    return Section("output", "Model output and threshold", (*blocks, Facts(thresholds(material))))


def _rule(material: Material) -> str:
    rule = material.card.rule or ThresholdRule(target=material.config.evaluation.target_sensitivity)
    end = f"{_room(material)}{_by_view(material)}"
    return f"The threshold was chosen on the validation set, {rule.words}, and frozen with the model{end}"


def _room(material: Material) -> str:
    """How far below the chosen score the threshold was frozen, as the model's file says; the end of a sentence."""
    room = material.card.threshold_room
    if room is None:  # an earlier version
        return "."
    mean = f" (at breast and patient level, where scores are means, up to {1.5 * room:.7f})"
    return (
        f", {room:.6f}{mean if material.patients_known else ''} below the score that it was chosen by, so that rounding turns "
        "no decision."
    )


def _by_view(material: Material) -> str:
    """Which images have a threshold of their own, and what the other levels do; "" where there is one for all."""
    views = material.card.image_thresholds
    if not views.per_view:
        return ""
    text = (
        " By the same rule, CC and MLO images each got a threshold of their own on the validation images of that view, where "
        f"at least {MIN_VIEW_PATIENTS} {'patients' if material.patients_known else 'images'} of each class were such "
        f"({views.words}); images of other or unknown views are judged at the common threshold, chosen on all images."
    )
    if why := views.notes_words:
        text += f" {why[0].upper()}{why[1:]}."
    if material.patients_known:
        text += (
            " Scores were not recalibrated by view: breasts and patients have the mean score of their images of all views, "
            "judged at the threshold of their own level."
        )
    return text


def thresholds(material: Material) -> tuple[tuple[str, str], ...]:
    """The frozen threshold of each level."""
    views = material.card.image_thresholds
    found: list[tuple[str, str]] = []
    for level, value in material.card.level_thresholds.items():
        if level == "image" or material.patients_known:
            common = ", common to views without their own" if level == "image" and views.per_view else ""
            found.append((f"Threshold, {level} level{common}", value if isinstance(value, str) else f"{value:.6f}"))
        if level == "image":
            found += [(f"Threshold, {view} images", f"{own:.6f}") for view, own in views.own.items()]
    return tuple(found)


def training_time(material: Material) -> str:
    """How long the training took, by its own clock; "" where the run does not say."""
    seconds = material.last["done"].get("seconds") if "done" in material.last else None
    return "" if seconds is None else duration(seconds)
