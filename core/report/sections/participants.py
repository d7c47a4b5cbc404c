"""Participants: flow and characteristics of the sets."""

from __future__ import annotations

from collections import Counter

import pandas as pd

from core.data import LABELS, SPLITS
from core.evaluate import Evaluation
from core.metrics.features import feature_title, value_title
from core.metrics.levels import UNITS
from core.report.document import Box, Flow, Section, Table
from core.report.material import SPLIT_WORDS, Material
from core.report.sections import units
from core.report.sections.data import both_labels
from core.report.words import DASH, folds, share, years
from core.wording import counted, times

_MOST_VALUES = 12
# What the characteristics tell of: columns of a manifest, one value a patient or one an image.
_OF_PATIENTS = ("site", "site_id", "implant")
_OF_IMAGES = (
    "view",
    "laterality",
    "density",
    "scanner",
    "machine_id",
    "manufacturer",
    "origin",
    "source",
    "finding",
    "abnormality",
)


def participants(material: Material) -> Section:
    """Flow and characteristics."""
    return Section(
        "participants", "Participants", (_flow(material), _characteristics(material), *units.composition_blocks(material))
    )


def _flow(material: Material) -> Flow:
    rows, left = material.rows, material.left
    before = Counter(item.split for item in left if item.when == "before training")
    after = Counter(item.split for item in left if item.when != "before training")
    sets, scored = [], []
    for split in SPLITS:
        part = rows[rows["split"] == split]
        counts = [f"{label} {int((part['label'] == label).sum()):,}" for label in LABELS]
        lines = (_size(material, part["patient_id"].nunique(), len(part)), ", ".join(counts))
        sets.append(Box(f"{SPLIT_WORDS[split].capitalize()} set", lines))
        evaluation = material.evaluations.get(split)
        if split == "train":
            scored.append(Box("Fitted", (counted(len(part) - before["train"], "image"), "not evaluated")))
        elif evaluation is None:
            used = _chosen_on(material) if split == "val" else ""
            scored.append(Box("Scored in training" if used else "Not scored yet", (used,)))
        else:
            lines = (
                _size(material, evaluation.patients, evaluation.images),
                _called(evaluation),
                *((_chosen_on(material),) if split == "val" and material.epochs else ()),
            )
            scored.append(Box("Scored", lines))
    out = [f"{SPLIT_WORDS[split]} {before[split]:,}" for split in SPLITS if before[split]]
    refused = Counter(item.split for item in left if item.refused)
    gone = [
        f"{SPLIT_WORDS[split]} {after[split]:,}" + (f", {refused[split]:,} refused a verdict" if refused[split] else "")
        for split in SPLITS
        if after[split]
    ]
    side = (
        Box(f"Left out before training: {sum(before.values()):,}", tuple(out)) if out else None,
        Box(f"No score at evaluation: {sum(after.values()):,}", tuple(gone)) if gone else None,
        None,
    )
    first = Box("Manifest", (_size(material, rows["patient_id"].nunique(), len(rows)),))
    caption = (
        "Flow of patients and images. A patient with images of both labels counts once."
        if material.patients_known
        else "Flow of images."
    ) + folds(material)
    return Flow(((first,), tuple(sets), tuple(scored)), side, caption)


def _size(material: Material, patients: int, images: int) -> str:
    whose = f"{counted(patients, 'patient')}, " if material.patients_known else ""
    return f"{whose}{counted(images, 'image')}"


def _chosen_on(material: Material) -> str:
    """How often training scored the validation set, and what it chose by that."""
    count = len(material.epochs)
    return f"{times(count)} in training: chose the epoch, threshold and calibration" if count else ""


def _called(evaluation: Evaluation) -> str:
    counts, rows = evaluation.summary.counts, evaluation.summary.rows
    what = "" if evaluation.level == "image" else " breasts"
    return f"{counts.tp + counts.fp:,} of {rows:,}{what} called malignant"


def _characteristics(material: Material) -> Table:
    rows = material.rows
    sets = [rows[rows["split"] == split] for split in SPLITS]
    known = material.patients_known
    people: list[tuple[str, ...]] = [
        ("Patients", *(f"{part['patient_id'].nunique():,}" for part in sets)),
        *((f"   with a {label} image", *(_patients(part, label) for part in sets)) for label in LABELS),
    ]
    table: list[tuple[str, ...]] = [
        *(people if known else []),
        ("Images", *(f"{len(part):,}" for part in sets)),
        ("   malignant", *(share(int((part["label"] == "malignant").sum()), len(part)) for part in sets)),
    ]
    if "age" in rows.columns:
        table.append(("Age, years: median (quartiles)", *map(_ages, sets)))
        table.append(("   unknown", *(share(_unknown_ages(part), part["patient_id"].nunique()) for part in sets)))
    for name in (*_OF_PATIENTS, *_OF_IMAGES):
        if name in rows.columns:
            table += _categories(name, sets, of_patients=known and name in _OF_PATIENTS)
    note = "Numbers are counts with shares of their set. Values that the manifest leaves empty are unknown."
    note += both_labels(material)
    heads = tuple(SPLIT_WORDS[split].capitalize() for split in SPLITS)
    return Table("Characteristics of the sets.", ("", *heads), tuple(table), note=note, small=True)


def _patients(part: pd.DataFrame, label: str) -> str:
    return share(part.loc[part["label"] == label, "patient_id"].nunique(), part["patient_id"].nunique())


def _ages(part: pd.DataFrame) -> str:
    ages = pd.to_numeric(part.drop_duplicates("patient_id")["age"], errors="coerce").dropna()
    if ages.empty:
        return DASH
    low, middle, high = (years(value) for value in ages.quantile([0.25, 0.5, 0.75]))
    return f"{middle} ({low} to {high})"


def _unknown_ages(part: pd.DataFrame) -> int:
    return int(pd.to_numeric(part.drop_duplicates("patient_id")["age"], errors="coerce").isna().sum())


def _categories(name: str, sets: list[pd.DataFrame], *, of_patients: bool) -> list[tuple[str, ...]]:
    columns = [(part.drop_duplicates("patient_id") if of_patients else part)[name].astype("str").str.strip() for part in sets]
    cleaned = [column.where(~column.isin(("", "nan", "None")), "unknown") for column in columns]
    everything = pd.concat(cleaned)
    if everything.nunique() < 2:
        return []
    # The most frequent first, so that what is left out is rare; ties by name, so that the order is always the same.
    ranked = sorted(everything.value_counts().items(), key=lambda item: (item[0] == "unknown", -item[1], str(item[0])))
    shown = [str(value) for value, _ in ranked[:_MOST_VALUES]]
    unit = "patients" if of_patients else UNITS["image"]
    lines: list[tuple[str, ...]] = [(f"{feature_title(name)} ({unit})", *("" for _ in sets))]
    lines += [
        (f"   {value_title(name, value)}", *(share(int((column == value).sum()), len(column)) for column in cleaned))
        for value in shown
    ]
    if len(ranked) > _MOST_VALUES:
        rest = f"   {counted(len(ranked) - _MOST_VALUES, 'rarer value')}"
        lines.append((rest, *(share(int((~column.isin(shown)).sum()), len(column)) for column in cleaned)))
    return lines
