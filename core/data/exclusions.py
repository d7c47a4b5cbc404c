"""Images that somebody takes out of a data set, with a note that says why, and puts back.

The note stands in the column `excluded` of the manifest itself, so that whoever reads it, and every run that is made of it,
knows it. Nothing is deleted: `labelled` leaves such rows out, of training and metrics alike.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from core.data.manifest import EXCLUDED, is_excluded, read_manifest, write_manifest
from core.errors import BadManifest

LONGEST = 500  # characters of a note


@dataclass(frozen=True)
class Exclusion:
    """One note, and the rows (positions) of the images that it is about."""

    note: str
    rows: tuple[int, ...]


def exclude(frame: pd.DataFrame, *, paths: Collection[str] = (), patients: Collection[str] = (), note: str) -> pd.DataFrame:
    """The manifest with these images, and all images of these patients, excluded; an earlier note of one is replaced.

    Raises:
        BadManifest: no note, one that excludes nothing or is too long, or an image or patient that is not there.
    """
    words = " ".join(note.split())
    if not words or words.lower() in ("false", "0", "no"):
        raise BadManifest(f"exclusion: expected a note that says why, got {note!r}. Write a few words.")
    if len(words) > LONGEST:
        raise BadManifest(f"exclusion: expected a note of at most {LONGEST} characters, got {len(words)}. Shorten it.")
    for what, wanted, column in (("image", paths, "path"), ("patient", patients, "patient_id")):
        missing = sorted(set(wanted) - set(frame[column]))
        if missing:
            raise BadManifest(f"exclusion: expected {what}s of this manifest, got {missing[0]}. Read the manifest again.")
    chosen = frame["path"].isin(list(paths)) | frame["patient_id"].isin(list(patients))
    if not chosen.any():
        raise BadManifest("exclusion: expected at least one image or patient, got none. Choose one.")
    return _with_notes(frame, chosen, words)


def restore(frame: pd.DataFrame, paths: Collection[str]) -> pd.DataFrame:
    """The manifest with these images taking part again."""
    return _with_notes(frame, frame["path"].isin(list(paths)), "")


def exclusions(frame: pd.DataFrame) -> list[Exclusion]:
    """The notes of a manifest with their rows, in the order in which they first appear."""
    away = is_excluded(frame)
    if not away.any():
        return []
    notes = frame[EXCLUDED].to_numpy()
    groups: dict[str, list[int]] = {}
    for row in away.nonzero()[0].tolist():
        groups.setdefault(str(notes[row]), []).append(row)
    return [Exclusion(note, tuple(rows)) for note, rows in groups.items()]


def exclude_in(manifest: Path, *, paths: Collection[str] = (), patients: Collection[str] = (), note: str) -> int:
    """`exclude` in the file, written whole or not at all; returns how many images are excluded now.

    Raises:
        BadManifest: as `exclude`, or the file cannot be read or written.
    """
    frame = exclude(read_manifest(manifest), paths=paths, patients=patients, note=note)
    write_manifest(frame, manifest)
    return int(is_excluded(frame).sum())


def restore_in(manifest: Path, paths: Collection[str]) -> int:
    """`restore` in the file; returns how many images are still excluded. Raises BadManifest as `exclude_in`."""
    frame = restore(read_manifest(manifest), paths)
    write_manifest(frame, manifest)
    return int(is_excluded(frame).sum())


def _with_notes(frame: pd.DataFrame, chosen: pd.Series, note: str) -> pd.DataFrame:
    """The column goes again with the last note, so that a manifest whose exclusions were undone is what it was."""
    before = frame[EXCLUDED] if EXCLUDED in frame.columns else pd.Series("", index=frame.index, dtype="str")
    after = frame.assign(**{EXCLUDED: before.mask(chosen, note).astype("str")})
    return after if (after[EXCLUDED] != "").any() else after.drop(columns=EXCLUDED)
