"""The report's data section: where the images come from, how they were split, and what was left out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from core.config import Config
from core.data import LABELS, SPLITS
from core.evaluate import Evaluation
from core.report.page import Table

# A report is passed on: it names no file and no patient, since file names of hospitals often hold both.
_MOST_EXCLUDED = 50


def data_section(
    rows: pd.DataFrame,
    config: Config,
    events: Sequence[Mapping[str, Any]],
    evaluations: Mapping[str, Evaluation],
    folder: Path,
) -> dict[str, Any]:
    """The template's `data`."""
    excluded = _excluded(rows, events, evaluations)
    text = (
        f"{len(excluded)} of {len(rows):,} images could not be used and have no score; rows count from 1 in the run's "
        "manifest.csv."
        if excluded
        else "No image was found to be unusable so far."
    )
    return {
        "facts": _facts(rows, config, folder),
        "partition": "Patients, not images, were assigned to the sets: every image of a patient is in one set only, which was "
        "checked before training and again before each evaluation.",
        "splits": _splits(rows),
        "excluded": Table(("Row", "Set", "Reason"), excluded[:_MOST_EXCLUDED]) if excluded else None,
        "excluded_text": text + (f" The first {_MOST_EXCLUDED} are listed." if len(excluded) > _MOST_EXCLUDED else ""),
    }


def split_fingerprint(rows: pd.DataFrame, split: str) -> str:
    """A SHA-256 (16 hex digits) of the split's images, patients and labels, whatever their order or folder.

    Two runs with the same fingerprint were evaluated on the same images. Images count by content hash where the
    manifest has one, else by file name.
    """
    part = rows[rows["split"] == split]
    hashes = part["content_hash"] if "content_hash" in part.columns else pd.Series("", index=part.index)
    lines = sorted(
        f"{content or Path(str(path)).name}\0{patient}\0{label}"
        for path, patient, label, content in zip(part["path"], part["patient_id"], part["label"], hashes, strict=True)
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16] if lines else "–"


def _facts(rows: pd.DataFrame, config: Config, folder: Path) -> list[tuple[str, str]]:
    facts = [
        ("Manifest", f"{Path(config.data.manifest).name}, copied into the run as manifest.csv"),
        ("Manifest of the run, SHA-256", _sha256(folder / "manifest.csv")),
        ("Images", f"{len(rows):,}"),
        ("Patients", f"{rows['patient_id'].nunique():,}"),
        ("Views", _values(rows["view"])),
        ("Sides", _values(rows["laterality"])),
    ]
    if "age" in rows.columns:
        ages = pd.to_numeric(rows.drop_duplicates("patient_id")["age"], errors="coerce").dropna()
        if len(ages):
            low, middle, high = (f"{value:.0f}" for value in ages.quantile([0, 0.5, 1]))
            facts.append(("Age, years", f"median {middle}, {low} to {high}, known for {len(ages):,} patients"))
    for column, title in (("density", "Breast density"), ("scanner", "Scanners")):
        if column in rows.columns:
            facts.append((title, _values(rows[column])))
    return facts


def _values(column: pd.Series, most: int = 12) -> str:
    counts = column.astype("str").replace("", "unknown").value_counts()
    shown = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))[:most]
    more = f" and {len(counts) - most} more" if len(counts) > most else ""
    return ", ".join(f"{name} {count:,}" for name, count in shown) + more


def _splits(rows: pd.DataFrame) -> Table:
    table = []
    for split in SPLITS:
        part = rows[rows["split"] == split]
        per_label = [part[part["label"] == label] for label in LABELS]
        table.append(
            (
                split,
                f"{part['patient_id'].nunique():,}",
                f"{len(part):,}",
                *(f"{len(some):,} ({some['patient_id'].nunique():,})" for some in per_label),
                split_fingerprint(rows, split),
            )
        )
    heads = (f"{label.capitalize()} images (patients)" for label in LABELS)
    return Table(("Set", "Patients", "Images", *heads, "Fingerprint"), table)


def _excluded(
    rows: pd.DataFrame, events: Sequence[Mapping[str, Any]], evaluations: Mapping[str, Evaluation]
) -> list[tuple[str, ...]]:
    """(row, set, reason), each image once, in the order of the manifest."""
    numbers = {str(path): number for number, path in enumerate(rows["path"], start=1)}
    splits = dict(zip(rows["path"].astype("str"), rows["split"], strict=True))
    reasons = {str(event.get("path")): str(event.get("reason", "")) for event in events if event.get("type") == "excluded"}
    for evaluation in evaluations.values():
        reasons |= {item.path: item.reason for item in evaluation.excluded}
    found = []
    for path, reason in reasons.items():
        anonymous = reason.replace(path, "the file").replace(Path(path).name, "the file")
        found.append((numbers.get(path, 0), splits.get(path, ""), anonymous))
    return [(str(number or "–"), split, reason) for number, split, reason in sorted(found)]


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        return f"cannot be read: {error.strerror}"
