"""A run folder to the words, tables and figures of its report. Reads; computes no figure of merit, opens no split."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from core.config import Config, dump_config
from core.data import LABELS, SPLITS, is_synthetic
from core.evaluate import Evaluation, read_evaluation
from core.metrics import MIN_PATIENTS, TITLES, Interval, Summary, precision_recall, roc
from core.plots import (
    confusion_figure,
    loss_figure,
    metric_figure,
    precision_recall_figure,
    roc_figure,
    score_histogram,
)
from core.report.data import data_section, split_fingerprint
from core.report.heatmaps import heatmap_section
from core.report.page import Content, Plot, Table

if TYPE_CHECKING:
    from core.predict import Predictor
    from core.training import Run

log = logging.getLogger(__name__)

SPLIT_TITLES = {"train": "Training set", "val": "Validation set", "test": "Test set"}
LEVEL_TITLES = {
    "image": "Image level",
    "breast": "Breast level",
    "patient": "Patient level",
}
_HEADLINE = {"auc": "ROC AUC", "sensitivity": "Sensitivity", "specificity": "Specificity", "precision": "Precision"}


@dataclass(frozen=True)
class _Material:
    """What was read from the run folder."""

    run: Run
    card: Mapping[str, Any]
    config: Config
    rows: pd.DataFrame
    events: list[dict[str, Any]]
    evaluations: dict[str, Evaluation]

    @property
    def synthetic(self) -> bool:
        return bool(self.card.get("synthetic")) or is_synthetic(self.rows)


def gather(run: Run, predictor: Predictor | None = None) -> Content:
    """Everything the report of `run` shows.

    Raises:
        BadRun: the run has no model yet, or its files are damaged.
    """
    card = run.model_card()
    found = {split: read_evaluation(run, split) for split in ("test", "val")}
    evaluations = {split: evaluation for split, evaluation in found.items() if evaluation is not None}
    material = _Material(run, card, run.config(), run.manifest(), run.events(), evaluations)
    return Content(
        title=f"Model report: {run.name}",
        synthetic=material.synthetic,
        sections={
            "summary": {"text": _summary_text(material)},
            "headline": _headline(evaluations),
            "warnings": _warnings(material),
            "data": data_section(material.rows, material.config, material.events, evaluations, run.path),
            "recipe": {"hash": str(card.get("recipe_hash", "")), "fields": _recipe_fields(card)},
            "model": {"facts": _model_facts(material), "config": dump_config(material.config)},
            "methods": _methods(material),
            "development": _development(material.events),
            "performance": [_performance(split, evaluations.get(split), run.name) for split in ("test", "val")],
            "heatmaps": heatmap_section(run, evaluations, predictor),
            "limits": _limits(material),
            "reproducibility": _reproducibility(material),
        },
    )


def _summary_text(material: _Material) -> str:
    rows = material.rows
    text = (
        f"{_architecture(material.card)} trained on {_count(rows, 'train')}, tuned on {_count(rows, 'val')}; "
        f"the test set has {_count(rows, 'test')}. No patient stands in two of them."
    )
    if "test" not in material.evaluations:
        text += f" The test set has not been opened yet: `python -m core evaluate {material.run.name}` does it."
    return text


def _count(rows: pd.DataFrame, split: str) -> str:
    part = rows[rows["split"] == split]
    return f"{len(part):,} images of {part['patient_id'].nunique():,} patients"


def _architecture(card: Mapping[str, Any]) -> str:
    return str(card.get("model", {}).get("name", "A model"))


def _headline(evaluations: Mapping[str, Evaluation]) -> Table | None:
    if not evaluations:
        return None
    rows = []
    for name, title in _HEADLINE.items():
        rows.append((title, *(_cell(evaluation.summary[name]) for evaluation in evaluations.values())))
    confidence = next(iter(evaluations.values())).summary.confidence
    heads = (f"{SPLIT_TITLES[split]}, image level" for split in evaluations)
    return Table((f"Figure [{confidence:.0%} interval]", *heads), rows)


def _warnings(material: _Material) -> list[str]:
    warnings = []
    status = material.run.status()
    if status.state != "done":
        reason = f" ({status.reason})" if status.reason else ""
        warnings.append(f"This training is not complete: its state is {status.state}{reason}.")
    for split, evaluation in material.evaluations.items():
        if evaluation.weights_sha256 != str(material.card.get("weights_sha256", "")):
            warnings.append(f"The figures of the {split} set belong to earlier weights of this run. Evaluate it again.")
    test = material.evaluations.get("test")
    if test is not None and test.opened > 1:
        warnings.append(
            f"The test set has been evaluated {test.opened} times for this run. Whatever was chosen after the first time "
            "was chosen with the test set in view, and makes its figures too good."
        )
    return warnings


def _recipe_fields(card: Mapping[str, Any]) -> list[tuple[str, str]]:
    from core.config import Recipe

    titles = {name: field.title or name for name, field in Recipe.model_fields.items()}
    return [(titles.get(name, name), _plain(value)) for name, value in card.get("recipe", {}).items()]


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return " × ".join(map(str, value))
    return "–" if value is None else str(value)


def _model_facts(material: _Material) -> list[tuple[str, str]]:
    card, training, augmentation = material.card, material.config.training, material.config.augmentation
    start: dict[str, Any] = next((event for event in reversed(material.events) if event.get("type") == "start"), {})
    epochs = [event for event in material.events if event.get("type") == "epoch"]
    facts = [
        ("Architecture", _architecture(card)),
        ("Starting weights", material.config.model.weights),
        ("Parameters", f"{start['parameters']:,}" if "parameters" in start else "–"),
        ("Input", "one grey image; " + " × ".join(map(str, material.config.preprocessing.shape)) + " px"),
        ("Optimiser", f"AdamW, weight decay {training.weight_decay:g}, {training.schedule} schedule"),
        ("Learning rates", f"{training.learning_rate:g}; fine-tuning {training.fine_tune_learning_rate:g}"),
        ("Batch", f"{training.batch_size} images × {training.accumulation_steps} accumulated"),
        ("Class imbalance", training.imbalance),
        (
            "Augmentation (training images only)",
            f"horizontal flip {_plain(augmentation.horizontal_flip)}, rotation ±{augmentation.rotation:g}°, "
            f"zoom ±{augmentation.zoom:.0%}, brightness ±{augmentation.brightness:.0%}, contrast ±{augmentation.contrast:.0%}",
        ),
        ("Epochs", f"{epochs[-1]['epoch']} of {training.epochs} asked for" if epochs else "–"),
        ("Best epoch", f"{card.get('best_epoch', '–')}, chosen by validation {training.monitor.replace('_', ' ')}"),
        ("Threshold", f"{card['threshold']:.6g}, score ≥ threshold is called malignant"),
        ("Seed", str(training.seed)),
    ]
    if start:
        facts.append(("Device and precision", f"{start.get('device', '–')}, {start.get('precision', '–')}"))
    return facts


def _methods(material: _Material) -> dict[str, str]:
    settings = material.config.evaluation
    target = material.card.get("target_sensitivity", settings.target_sensitivity)
    return {
        "threshold": f"The threshold is the highest one with a sensitivity of at least {target:.0%} on the validation images. "
        "It was frozen with the model and applied to the test set as it is. Figures of the validation set at this threshold "
        "are therefore optimistic, and so are its other figures, since it chose the best epoch.",
        "intervals": f"Intervals are of {settings.confidence:.0%} and count patients, not images; the threshold stays fixed. "
        "ROC AUC: Obuchowski's variance for clustered data on the logit scale (DeLong's where every patient has one row). "
        "Sensitivity, specificity, precision, accuracy: Wilson's interval with the effective number of images. Others: "
        f"percentiles of {settings.bootstrap_samples:,} bootstrap resamples of patients (all images of a patient together). "
        f"A figure about a class with fewer than {MIN_PATIENTS} patients is not told.",
        "levels": "At breast and patient level the score is the mean of the images' scores, the label is malignant when any "
        "image's is, and the threshold is the one chosen on images.",
    }


def _development(events: list[dict[str, Any]]) -> list[Plot]:
    if not any(event.get("type") == "epoch" for event in events):
        return []
    return [
        Plot(
            "loss", loss_figure(events), "Loss by epoch. Training: each step pale, smoothed bold; validation: after each epoch."
        ),
        Plot(
            "metrics", metric_figure(events), "Validation figures by epoch; the star marks the epoch whose weights were kept."
        ),
    ]


def _performance(split: str, evaluation: Evaluation | None, run: str) -> dict[str, Any]:
    title = SPLIT_TITLES[split]
    if evaluation is None:
        text = f"Not evaluated yet. `python -m core evaluate {run} --split {split}` does it."
        return {"id": split, "title": title, "text": text, "levels": [], "reasons": [], "table": None, "plots": []}
    times = "once" if evaluation.opened == 1 else f"{evaluation.opened} times"
    text = f"Evaluated {times} for this run, last on {evaluation.last_opened[:10]}. Threshold {evaluation.threshold:.6g}."
    return {
        "id": split,
        "title": title,
        "text": text,
        "levels": [_level_text(level, summary) for level, summary in evaluation.levels.items()],
        "reasons": _reasons(evaluation),
        "table": _level_table(evaluation),
        "plots": _score_plots(split, evaluation),
    }


def _level_text(level: str, summary: Summary | str) -> str:
    if isinstance(summary, str):
        return summary
    counts = summary.counts
    unit = {"image": "images", "breast": "breasts", "patient": "patients"}[level]
    return (
        f"{LEVEL_TITLES[level]}: {summary.rows:,} {unit} ({counts.tp + counts.fn:,} malignant, "
        f"{counts.tn + counts.fp:,} benign) of {summary.patients:,} patients. "
        f"At the threshold {counts.tp:,} true positive, {counts.fp:,} false positive, "
        f"{counts.tn:,} true negative, {counts.fn:,} false negative."
    )


def _level_table(evaluation: Evaluation) -> Table:
    """A row a figure, a column a level; a dash where there is no figure (see `_reasons`)."""
    told = {level: summary for level, summary in evaluation.levels.items() if isinstance(summary, Summary)}
    rows = [(title, *(_cell(summary[name]) for summary in told.values())) for name, title in TITLES.items()]
    heads = (LEVEL_TITLES[level] for level in told)
    return Table((f"Figure [{evaluation.summary.confidence:.0%} interval]", *heads), rows)


def _cell(figure: Interval | str) -> str:
    if isinstance(figure, str):
        return "–"
    return str(figure).replace(" ", "\u00a0")  # an interval stays on one line


def _reasons(evaluation: Evaluation) -> list[str]:
    """Why figures are missing from the table, each reason once a level."""
    lines = []
    for level, summary in evaluation.levels.items():
        if isinstance(summary, str):
            continue
        missing: dict[str, list[str]] = {}
        for name, figure in summary.items():
            if isinstance(figure, str):
                missing.setdefault(figure, []).append(TITLES[name])
        lines += [f"{LEVEL_TITLES[level]}, not told: {', '.join(titles)}: {reason}." for reason, titles in missing.items()]
    return lines


def _score_plots(split: str, evaluation: Evaluation) -> list[Plot]:
    frame, threshold = evaluation.predictions, evaluation.threshold
    labels, scores = frame["label"], frame["score"]
    plots = [
        Plot(
            f"{split}-confusion",
            confusion_figure(evaluation.summary.counts),
            "Confusion matrix at the frozen threshold, images.",
        ),
        Plot(f"{split}-scores", score_histogram(labels, scores, threshold), "Scores of benign and malignant images."),
    ]
    # The same rule as for the figures: no curve of a class that is too small to tell about.
    if not isinstance(evaluation.summary["auc"], Interval):
        return plots
    curves = [
        Plot(
            f"{split}-roc",
            roc_figure({split: roc(labels, scores)}, threshold=threshold),
            "ROC curve, images; the point is the frozen threshold.",
        ),
        Plot(
            f"{split}-precision-recall",
            precision_recall_figure({split: precision_recall(labels, scores)}, threshold=threshold),
            "Precision and recall, images; dotted: the share of malignant images, what chance would give.",
        ),
    ]
    return [*curves, *plots]


def _limits(material: _Material) -> list[str]:
    rows = material.rows
    limits = [
        "One data set, split by patient: nothing here tells how the model does on another hospital's images, scanners or "
        "population.",
        "The share of malignant images in this data set is not that of screening: precision and accuracy do not carry over.",
        "Scores have not been calibrated unless the model says so; a score of 0.8 need not mean that 8 in 10 are malignant.",
        "A model can learn what comes with the label (scanner, age, burned-in text) instead of the disease. This report "
        "does not yet test for that.",
        "Heatmaps show where a score came from, not whether it is right.",
        "Intervals tell the chance of drawing other patients from the same source; they do not cover training again "
        "with another seed.",
    ]
    test = rows[rows["split"] == "test"]
    smallest = min((test.loc[test["label"] == label, "patient_id"].nunique() for label in LABELS), default=0)
    if smallest < 30:
        limits.insert(0, f"The test set is small: the rarer class has {smallest} patients.")
    if material.synthetic:
        limits.insert(0, "The images are synthetic. No figure in this report says anything about real mammograms.")
    return limits


def _reproducibility(material: _Material) -> list[tuple[str, str]]:
    card = material.card
    versions = card.get("versions", {})
    return [
        ("Run", material.run.name),
        ("Model written", str(card.get("created", "–"))),
        ("Weights, SHA-256", str(card.get("weights_sha256", "–"))),
        ("Recipe", str(card.get("recipe_hash", "–"))),
        *((f"Split fingerprint, {split}", split_fingerprint(material.rows, split)) for split in SPLITS),
        ("Versions", ", ".join(f"{name} {version}" for name, version in sorted(versions.items())) or "–"),
    ]
