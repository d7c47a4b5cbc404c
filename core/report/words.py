"""Metrics as text: one way to write a count, a share, an interval, a level."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from core.data.known_images import OUT_OF_FOLD
from core.metrics import TITLES, Interval, Summary
from core.wording import counted, listed

if TYPE_CHECKING:
    from core.model.card import StartingWeights
    from core.report.material import Material

LEVEL_TITLES = {"image": "Image level", "breast": "Breast level", "patient": "Patient level"}
DASH = "–"
# Ages above this one are shown as one group: with a place and a year they may point to a person.
OLDEST = 89


def stated(metric: Interval | str | None) -> str:
    """A metric with its interval, which stays on one line; a dash where there is none."""
    if isinstance(metric, Interval) and not math.isnan(metric.value):
        return signed(metric.value) if metric.method == "none" else f"{signed(metric.value)} {bracket(metric)}"
    return DASH


def stated_or_note(metric: Interval | str) -> str:
    """As `stated`, but the note why there is none instead of a dash."""
    return metric if isinstance(metric, str) else stated(metric)


def bracket(metric: Interval) -> str:
    """The interval alone."""
    return f"[{signed(metric.low)},\u00a0{signed(metric.high)}]"


def signed(value: float) -> str:
    """Three decimals, with a minus sign that is none of a hyphen."""
    return f"{value:z.3f}".replace("-", "−")


def monitored(name: str) -> str:
    """The monitored metric as text: `AUC`, not `auc`."""
    return " ".join("AUC" if word == "auc" else word for word in name.split("_"))


def minus(text: str) -> str:
    """The text with minus signs before its numbers, where it has hyphens."""
    return re.sub(r"(?<![\w.])-(?=\d)", "−", text)


def share(part: int, whole: int) -> str:
    """A count with its share; a share that would round to none is said to be below the smallest."""
    if not whole:
        return f"{part:,}"
    return f"{part:,} (< 0.1%)" if 0 < part / whole < 0.0005 else f"{part:,} ({part / whole:.1%})"


def counts_of(summary: Summary, patients_known: bool = True) -> str:
    """How many units of the level, of which malignant, of how many patients (where these are known)."""
    counts = summary.counts
    units = f"{counted(summary.rows, summary.level)} ({counts.tp + counts.fn:,} malignant, {counts.tn + counts.fp:,} benign)"
    return f"{units} of {counted(summary.patients, 'patient')}" if patients_known else units


def size_of(images: int, patients: int, known: bool = True) -> str:
    """`1,200 images of 300 patients`; only the images where nobody knows whose they are."""
    return counted(images, "image") + (f" of {counted(patients, 'patient')}" if known else "")


def missing_metrics(levels: Mapping[str, Summary | str]) -> list[str]:
    """Why metrics are missing from a table of levels, each reason once a level."""
    lines = []
    for level, summary in levels.items():
        if isinstance(summary, str):
            lines.append(f"{LEVEL_TITLES.get(level, level)}: {summary}")
            continue
        found: dict[str, list[str]] = {}
        for name, metric in summary.items():
            if isinstance(metric, str):
                found.setdefault(metric, []).append(TITLES[name])
        lines += [
            f"{LEVEL_TITLES[level]}, not reported: {', '.join(titles)}: {reason.rstrip('.')}."
            for reason, titles in found.items()
        ]
    return lines


def years(value: float) -> str:
    """An age in whole years, the oldest as one group."""
    return f"over {OLDEST}" if value > OLDEST else f"{value:.0f}"


def starting_weights(material: Material) -> str:
    """Where training started; a file by its name only, since its folder is of somebody's machine."""
    if members := material.card.members:
        started = listed([*dict.fromkeys("from weights" if _from_weights(each.model) else "from scratch" for each in members)])
        return f"the mean of {len(members)} models, trained {started}"
    parent, record, weights = material.parent, material.card.starting_weights, material.config.model.weights
    if parent is not None:
        return f"weights of the run {parent.run} (epoch {parent.epoch}), trained on the same patients"
    if record is not None:
        return record.origin
    if weights == "none":
        return "random initialisation (trained from scratch)"
    if weights in ("auto", "hub"):
        return "weights pretrained on ImageNet, from the Hugging Face hub"
    return f"pretrained weights from the file {weights.replace(chr(92), '/').rsplit('/', 1)[-1]}"


def folds(material: Material) -> str:
    """Of an ensemble, that its models were trained on images of validation which they do not score; "" for others."""
    members, rows = material.card.members, material.rows
    if members is None or OUT_OF_FOLD not in rows.columns:
        return ""
    judges = rows[OUT_OF_FOLD].astype("str").str.split().map(len)
    if not ((judges > 0) & (judges < len(members))).any():
        return ""
    alone = "" if (rows["split"] == "train").any() else " No image is of the training set alone."
    return (
        f"{alone} Each of the {len(members)} models was also trained on those images of validation that it did not hold out, "
        "and validation scores are of those that did."
    )


def _from_weights(model: Any) -> bool:
    return (model.get("weights", "none") if isinstance(model, dict) else model.weights) != "none"


def loaded_weights(record: StartingWeights) -> str:
    """What of the starting weights' file was loaded, and which file that is."""
    return f"{record.loading}" + (f"; SHA-256 of the file `{record.sha256}`" if record.sha256 else "")
