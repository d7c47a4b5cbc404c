"""Figures as text: one way to write a count, a share, an interval, a level."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from core.config import Config
from core.metrics import TITLES, Interval, Summary

if TYPE_CHECKING:
    from core.runs.test_set.provenance import Parent

LEVEL_TITLES = {"image": "Image level", "breast": "Breast level", "patient": "Patient level"}
UNITS = {"image": "images", "breast": "breasts", "patient": "patients"}
DASH = "–"
# Ages above this one are told as one group: with a place and a year they may point to a person.
OLDEST = 89

FEATURES = {
    "age": "Age",
    "view": "View",
    "laterality": "Side",
    "density": "Breast density",
    "scanner": "Scanner",
    "machine_id": "Scanner",
    "manufacturer": "Manufacturer",
    "site": "Site",
    "site_id": "Site",
    "implant": "Implant",
    "origin": "Origin of the image",
    "source": "Source",
    "height": "Image height",
    "width": "Image width",
    "bits": "Bits stored",
    "inverted": "Stored inverted",
    "burned_in": "Burned-in text",
    "format": "File format",
    "folder": "Folder",
    "invasive": "Invasive",
    "images_of_patient": "Number of the patient's images",
    "sides_of_patient": "Number of the patient's sides",
}


_YES_NO = ("implant", "invasive", "inverted", "burned_in")


def feature_title(name: str) -> str:
    """A column's name as a person reads it."""
    return FEATURES.get(name, name.replace("_", " ").capitalize())


def told(figure: Interval | str | None) -> str:
    """A figure with its interval, which stays on one line; a dash where there is none."""
    if isinstance(figure, Interval) and not math.isnan(figure.value):
        return signed(figure.value) if figure.method == "none" else f"{signed(figure.value)} {bracket(figure)}"
    return DASH


def bracket(figure: Interval) -> str:
    """The interval alone."""
    return f"[{signed(figure.low)},\u00a0{signed(figure.high)}]"


def signed(value: float) -> str:
    """Three decimals, with a minus sign that is none of a hyphen."""
    return f"{value:.3f}".replace("-", "−")


def minus(text: str) -> str:
    """The text with minus signs before its numbers, where it has hyphens."""
    return re.sub(r"(?<![\w.])-(?=\d)", "−", text)


def value_title(feature: str, value: str) -> str:
    """A value of a feature as a person reads it."""
    return {"0": "no", "1": "yes"}.get(value, value) if feature in _YES_NO else value


def share(part: int, whole: int) -> str:
    """A count with its share; a share that would round to none is said to be below the smallest."""
    if not whole:
        return f"{part:,}"
    return f"{part:,} (< 0.1%)" if 0 < part / whole < 0.0005 else f"{part:,} ({part / whole:.1%})"


def images_of(count: int) -> str:
    """`1 image`, `1,200 images`."""
    return f"{count:,} image{'' if count == 1 else 's'}"


def left_words(unreadable: int, refused: int) -> str:
    """How many images have no score: those that could not be used apart from those that were refused."""
    parts = [f"{images_of(unreadable)} could not be used"] if unreadable else []
    if refused:
        parts.append(f"{images_of(refused)} could be read but {'was' if refused == 1 else 'were'} refused a verdict")
    return " and ".join(parts)


def counts_of(summary: Summary, patients_known: bool = True) -> str:
    """How many units of the level, of which malignant, of how many patients (where these are known)."""
    counts = summary.counts
    units = f"{summary.rows:,} {UNITS[summary.level]} ({counts.tp + counts.fn:,} malignant, {counts.tn + counts.fp:,} benign)"
    return f"{units} of {summary.patients:,} patients" if patients_known else units


def size_of(images: int, patients: int, known: bool = True) -> str:
    """`1,200 images of 300 patients`; only the images where nobody knows whose they are."""
    return f"{images:,} images of {patients:,} patients" if known else f"{images:,} images"


def missing_figures(levels: Mapping[str, Summary | str]) -> list[str]:
    """Why figures are missing from a table of levels, each reason once a level."""
    lines = []
    for level, summary in levels.items():
        if isinstance(summary, str):
            lines.append(f"{LEVEL_TITLES.get(level, level)}: {summary}")
            continue
        found: dict[str, list[str]] = {}
        for name, figure in summary.items():
            if isinstance(figure, str):
                found.setdefault(figure, []).append(TITLES[name])
        lines += [f"{LEVEL_TITLES[level]}, not told: {', '.join(titles)}: {reason}." for reason, titles in found.items()]
    return lines


def years(value: float) -> str:
    """An age in whole years, the oldest as one group."""
    return f"over {OLDEST}" if value > OLDEST else f"{value:.0f}"


def plain(value: Any) -> str:
    """One setting as a person reads it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (list, tuple)):
        return " × ".join(map(str, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {plain(item)}" for key, item in value.items()) or DASH
    return DASH if value is None else str(value)


def duration(seconds: float) -> str:
    """Seconds as a person reads them."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def times(count: int) -> str:
    """`once`, `2 times`."""
    return "once" if count == 1 else f"{count} times"


def starting_weights(config: Config, parent: Parent | None = None) -> str:
    """Where training started; a file by its name only, since its folder is of somebody's machine."""
    if parent is not None:
        return f"weights of the run {parent.run} (epoch {parent.epoch}), trained on the same patients"
    weights = config.model.weights
    if weights == "none":
        return "random initialisation (trained from scratch)"
    if weights == "hub":
        return "weights pretrained on ImageNet, from the Hugging Face hub"
    return f"pretrained weights from the file {weights.replace(chr(92), '/').rsplit('/', 1)[-1]}"
