"""Which images are test images: the test splits of runs and of manifests, and which of them have not been evaluated.

An image is known by keys: where it is, whose it is (patient, file name and size: a copy in another folder), and what is in
it (the SHA-256 of its file, once it was imported, checked or prepared, or where it is as large as a test image). One that was
converted to another format has none of these in common. A test set also has a key for each of its patients, so that two of
them are one where they show the same patients in other images.
Keys are hashes: they name no patient and no file.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.data.file_inspection import content_hashes
from core.data.manifest import REQUIRED, absolute
from core.data.table_text import decode, read_text
from core.data.tables import parse_table
from core.errors import LabError
from core.files.untrusted import LARGE, read_bytes
from core.runs.folder import is_study, runs_root
from core.runs.test_set.provenance import read_entries

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

MANIFEST = "manifest.csv"


@dataclass(frozen=True)
class TestSet:
    """The test images of a run (`folder`), or of a data set's own split (`folder` None).

    `keys` of the test images and of their patients, `known` of all images of the run; `images` are counted. `evaluated`:
    whether the run was evaluated on them; a data set as such never is. `sizes` are those of the test images in bytes, where
    their content is known.
    """

    name: str
    folder: Path | None
    images: int
    keys: frozenset[str]
    known: frozenset[str]
    evaluated: bool
    sizes: frozenset[int] = frozenset()

    __test__ = False  # no test case


def image_keys(path: str, patient: str = "", content: str = "") -> tuple[str, ...]:
    """The keys of an image; `content` is the SHA-256 of its file in hex, "" where it is not known."""
    keys = [_key("p", os.path.normcase(path))]
    with contextlib.suppress(OSError, ValueError):  # it is not there: known by its place alone
        keys.append(_key("n", patient, Path(path).name, str(Path(path).stat().st_size)) if patient else "")
    if len(content) == 64:
        keys.append(f"c{content[:16]}")
    return tuple(key for key in keys if key)


def patient_key(path: str, patient: str) -> str:
    """The key of an image's patient. It holds the image's folder too: another data set's patient 12 is another person."""
    return _key("q", os.path.normcase(os.path.dirname(path)), patient)  # noqa: PTH120  other systems' paths too


def file_keys(source: Path | str | bytes) -> tuple[str, ...]:
    """The keys of a file that somebody names, or of an upload's bytes: by its place, where a link leads, and its content."""
    from core.images.files import content_of

    if isinstance(source, bytes):
        return (f"c{hashlib.sha256(source).hexdigest()[:16]}",)
    places = {os.path.normcase(os.path.abspath(source))}  # noqa: PTH100  # links in the folder keep their names, as in manifests
    keys = []
    try:
        places.add(os.path.normcase(Path(source).resolve()))
        keys.append(f"c{hashlib.sha256(content_of(source)).hexdigest()[:16]}")
    except (OSError, ValueError, RuntimeError, LabError):  # whoever reads the image says what is wrong with it
        pass
    return (*(_key("p", place) for place in sorted(places)), *keys)


def frame_keys(frame: pd.DataFrame, sizes: Collection[int] = ()) -> list[tuple[str, ...]]:
    """The keys of each row of a manifest.

    Where it has no content_hash, what an import or a check found counts; files of one of these `sizes` (of `closed_sizes`) are
    read to find out, so that a renamed copy of a test image is known.
    """
    paths = frame["path"].astype("str").tolist()
    given = frame["content_hash"].astype("str").tolist() if "content_hash" in frame.columns else [""] * len(frame)
    rows = zip(paths, frame["patient_id"].astype("str"), _completed(paths, given, sizes), strict=True)
    return [image_keys(*row) for row in rows]


def closed_sizes(sets: Iterable[TestSet]) -> tuple[int, ...]:
    """The sizes in bytes of test images that have not been evaluated, in order."""
    return tuple(sorted(frozenset[int]().union(*(each.sizes for each in sets if not each.evaluated))))


def _completed(paths: Sequence[str], contents: Sequence[str], sizes: Collection[int] = ()) -> list[str]:
    """The content hashes, with what is known of the files that have none."""
    missing = [position for position, content in enumerate(contents) if len(content) != 64]
    result = list(contents)
    if missing:
        for position, found in zip(missing, content_hashes([paths[row] for row in missing], frozenset(sizes)), strict=True):
            result[position] = found
    return result


def _key(kind: str, *parts: str) -> str:
    return kind + hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


# ---------------------------------------------------------------- test sets


def test_set_of(folder: Path) -> TestSet:
    """Of the run in this folder; without images where its manifest cannot be read.

    A run whose evaluation.json is damaged counts as not evaluated: sealing too much can be switched off, and is recorded.
    """
    try:
        evaluated = bool((read_entries(folder).get("test") or {}).get("opened"))
    except (LabError, AttributeError):
        evaluated = False
    return _read(folder / MANIFEST, folder.name, folder, evaluated=evaluated)


def test_set_of_manifest(path: Path) -> TestSet:
    """Of a data set's own split; without images where it has none, or cannot be read."""
    return _read(path, path.name, None, evaluated=False)


def test_set_of_rows(name: str, rows: pd.DataFrame) -> TestSet:
    """Of rows of a manifest or of predictions, all of them: an external test set."""
    paths, patients = rows["path"].astype("str"), rows["patient_id"].astype("str")
    keys = {key for each in frame_keys(rows) for key in each}
    keys |= {patient_key(path, patient) for path, patient in zip(paths, patients, strict=True) if patient}
    return TestSet(name, None, len(rows), frozenset(keys), frozenset(keys), evaluated=False)


def fingerprint(rows: pd.DataFrame) -> str:
    """A SHA-256 (16 hex digits) of the rows' images, patients and labels, whatever their order or folder; a dash for none.

    Images count by content hash where the manifest has one, else by file name.
    """
    hashes = rows["content_hash"] if "content_hash" in rows.columns else [""] * len(rows)
    lines = sorted(
        f"{content or Path(str(path)).name}\0{patient}\0{label}"
        for path, patient, label, content in zip(rows["path"], rows["patient_id"], rows["label"], hashes, strict=True)
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16] if lines else "–"


def all_test_sets(root: Path) -> list[TestSet]:
    """Of all runs in a folder."""
    return [test_set_of(folder) for folder in run_folders(root)]


def run_folders(root: Path) -> list[Path]:
    """The folders in the folder of runs that have a manifest; hidden ones and studies, which are no runs, are passed over."""
    root = runs_root(root)
    try:
        with os.scandir(root) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except OSError:
        return []
    return [root / name for name in names if (root / name / MANIFEST).is_file() and not is_study(root / name)]


def _read(path: Path, name: str, folder: Path | None, *, evaluated: bool) -> TestSet:
    """Only the columns that count: a hundred runs are asked at a time."""
    test: set[str] = set()
    known: set[str] = set()
    sizes: set[int] = set()
    rows = list(_rows(path, of_run=folder is not None))
    tested = [row for row in rows if row[2] == "test"]
    contents = _completed([row[0] for row in tested], [row[3] for row in tested])
    for place, _, split, content in rows:
        if split != "test":
            known.update(image_keys(place, "", content))
    for (place, patient, _, _), content in zip(tested, contents, strict=True):
        test.update(image_keys(place, patient, content))
        if content:
            with contextlib.suppress(OSError, ValueError):
                sizes.add(Path(place).stat().st_size)
    known |= test
    test.update(patient_key(place, patient) for place, patient, _, _ in tested if patient)
    return TestSet(name, folder, len(tested), frozenset(test), frozenset(known), evaluated, frozenset(sizes))


def _rows(path: Path, *, of_run: bool) -> Iterable[tuple[str, str, str, str]]:
    """(path, patient, split, content hash) of each row, read as core.data.read_manifest reads it, unchecked."""
    try:
        # A data set's manifest may be a link: the user named it. A run's is a regular file.
        text = decode(read_bytes(path, LARGE), path) if of_run else read_text(path)
        table = parse_table(text, path, lambda fields: set(REQUIRED) <= {name.lower() for name in fields})
    except (OSError, ValueError, LabError) as error:
        log.warning("%s: its test images are not known: %s", path, error)
        return
    header = [name.lower() for name in table.header]
    if not {"path", "patient_id", "split"} <= set(header):
        return
    place, patient, split = (header.index(name) for name in ("path", "patient_id", "split"))
    content = header.index("content_hash") if "content_hash" in header else None
    for _, fields in table.rows:
        known = "" if content is None else fields[content]
        yield absolute(fields[place], path.parent), fields[patient], fields[split].lower(), known


# ---------------------------------------------------------------- what is sealed


def sealed_rows(
    keys: Sequence[tuple[str, ...]], patients: Sequence[str], own: Sequence[str], sets: Iterable[TestSet]
) -> NDArray[np.bool_]:
    """Which rows of a manifest are sealed, bool (N,): its own test split, the test images of any run that has not evaluated
    them, and all other images of these patients.

    Args:
        keys: of each row.
        patients: of each row.
        own: the split of each row.
        sets: the test sets that are known.
    """
    closed = frozenset().union(*(each.keys for each in sets if not each.evaluated))
    marked = np.array(
        [split == "test" or not closed.isdisjoint(each) for each, split in zip(keys, own, strict=True)], dtype=bool
    )
    of_patient = {patient for patient, mark in zip(patients, marked, strict=True) if mark}
    return np.array([patient in of_patient for patient in patients], dtype=bool) if of_patient else marked


def sealed_by(keys: Iterable[str], sets: Iterable[TestSet], run: Path | None = None) -> TestSet | None:
    """The test set, not evaluated yet, that this image belongs to; None when it is free.

    Where it is asked for a `run` that has the image, that run's own split decides.
    """
    every, wanted = list(sets), frozenset(keys)
    own = next((each for each in every if run is not None and each.folder == run), None)
    if own is not None and own.known & wanted:
        return own if own.keys & wanted and not own.evaluated else None
    return next((each for each in every if not each.evaluated and each.keys & wanted), None)


def owner(found: TestSet) -> str:
    """Whose test set it is, in words: "the run first"."""
    return f"the run {found.name}" if found.folder is not None else f"the data set {found.name}"


def warning_of(found: TestSet) -> str:
    """What to say beside an image of a test set that has not been evaluated, once it is recorded."""
    return f"This is a test image of {owner(found)}, whose test set has not been evaluated. That it was looked at was recorded."
