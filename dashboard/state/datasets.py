"""The data sets: which manifests there are, the chosen one, and the tasks that write, check and import them."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd
import streamlit as st

from core.data.checks import CheckReport, check_manifest
from core.data.identity import patients_known
from core.data.manifest import is_excluded, read_manifest, says_synthetic, write_manifest
from core.data.tables import header_of
from core.errors import BadManifest, LabError
from core.wording import counted
from dashboard.state import preferences, settings, tasks
from dashboard.state.file_stamps import of_files, stamp
from dashboard.state.tasks import Report, Task

if TYPE_CHECKING:
    from core.data.metadata_baseline import MetadataBaseline
    from core.data.repair import Repair

_UNSETTLED = 3_000_000_000  # ns: a folder that changed within the last seconds may have changed again in the same clock tick
LONG_MANIFEST = 4_000_000  # bytes, some 40,000 rows: reading them takes about a second

# ---------------------------------------------------------------- manifests


def find_manifests() -> list[Path]:
    """Manifests below data/ (CSV files whose header has `path` and `label`) and config.yaml's own, sorted.

    Tables of uploads are no manifests: they are imported, which checks them.
    """
    found = {path for path in _tables(settings.workspace() / "data") if _is_manifest(path)}
    for extra in (settings.resolve(settings.current().data.manifest), Path(preferences.get("manifest", "") or ".")):
        if extra.is_file() and _is_manifest(extra):
            found.add(extra.resolve() if extra.is_absolute() else settings.resolve(extra))
    return sorted(found)


def _tables(data: Path) -> list[Path]:
    found: list[Path] = []
    folders = [data]
    while folders:
        folder = folders.pop()
        changed = stamp(folder)
        settled = time.time_ns() - changed > _UNSETTLED
        tables, below = _listing(folder) if settled else _list(folder)
        found += tables
        folders += [each for each in below if each != data / "uploads"]
    return found


def _list(folder: Path) -> tuple[list[Path], list[Path]]:
    """The CSV files and the folders in this folder, links to folders aside; none where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            here = [(Path(entry.path), entry.is_dir(follow_symlinks=False)) for entry in entries if _looked_at(entry)]
    except OSError:
        return [], []
    return [path for path, is_folder in here if not is_folder], [path for path, is_folder in here if is_folder]


def _looked_at(entry: os.DirEntry[str]) -> bool:
    return entry.name.lower().endswith(".csv") or entry.is_dir(follow_symlinks=False)


# A folder's time of change tells of new and removed names; the many image files of a data set are listed once.
_listing = st.cache_data(max_entries=10_000, show_spinner=False, hash_funcs=of_files())(_list)


@st.cache_data(max_entries=512, show_spinner=False, hash_funcs=of_files())
def _is_manifest(path: Path) -> bool:
    def wanted(fields: list[str]) -> bool:
        return {"path", "label"} <= {name.lower() for name in fields}

    return wanted(header_of(path, wanted))


def current_manifest() -> Path | None:
    """The chosen manifest; without a choice config.yaml's, else the first found; None when there is none."""
    chosen = preferences.get("manifest")
    if chosen and Path(chosen).is_file():
        return Path(chosen)
    configured = settings.resolve(settings.current().data.manifest)
    if configured.is_file():
        return configured
    found = find_manifests()
    return found[0] if found else None


def set_current_manifest(path: Path | None) -> None:
    """Make this manifest the current one on every page."""
    preferences.set("manifest", None if path is None else str(path))


@st.cache_data(max_entries=8, show_spinner=False, hash_funcs=of_files())
def manifest_frame(path: Path) -> pd.DataFrame:
    """The manifest as core.data.manifest.read_manifest gives it, read again when the file changes. Raises BadManifest.

    A copy: change it freely.
    """
    return read_manifest(path)


class Counts(NamedTuple):
    """How much of a data set is used, without the images that are excluded; `patients` is None where no image has a patient."""

    images: int
    patients: int | None
    malignant: int
    excluded: int

    @property
    def patient_words(self) -> str:
        return "patients unknown" if self.patients is None else counted(self.patients, "patient")

    @property
    def excluded_words(self) -> str:
        """To stand behind what is counted: ", 3 more excluded"; "" where none is."""
        return f", {self.excluded:,} more excluded" if self.excluded else ""


def counts_of(path: Path) -> Counts | None:
    """What a manifest holds; None while a long one is read in the background, which takes seconds that no page waits for.

    Raises BadManifest (it cannot be read).
    """
    if not path.is_file() or path.stat().st_size <= LONG_MANIFEST:
        return _counts(path)
    name = f"counts:{path}:{stamp(path)}"
    reading = tasks.task(name) or tasks.start_task(name, "Reading the data set", lambda report: _counts(path))
    if reading.state == "failed":
        raise BadManifest(reading.error)
    counted: Counts | None = reading.result
    return counted


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=of_files())
def _counts(path: Path) -> Counts:
    frame = manifest_frame(path)
    away = is_excluded(frame)
    frame = frame[~away]
    patients = int(frame["patient_id"].nunique()) if patients_known(frame) else None
    return Counts(len(frame), patients, int((frame["label"] == "malignant").sum()), int(away.sum()))


# Every page asks for this, and reading all of a long table for it alone would take a while.
@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=of_files())
def is_synthetic(manifest: Path) -> bool:
    """Whether the manifest states that its images are synthetic. Raises BadManifest."""
    return says_synthetic(manifest)


def current_is_synthetic() -> bool:
    """Whether the current data set is synthetic; False without one, or with one that cannot be read."""
    try:
        path = current_manifest()
        return path is not None and is_synthetic(path)
    except LabError:
        return False


# ---------------------------------------------------------------- background tasks


def start_demo() -> Task:
    """Write the demo set into data/demo in the background; its result is the manifest's path."""
    out = settings.workspace() / "data" / "demo"

    def work(report: Report) -> Path:
        from core.demo import make_demo

        return make_demo(out, progress=report)

    return started_here(tasks.start_task("demo", "Writing the demo set", work))


def started_here(task: Task) -> Task:
    """Note that this browser started the task: what it writes becomes the current data set here, and nowhere else."""
    preferences.set(f"started:{task.name}", task.started)
    return task


def adopt_finished() -> str:
    """Make what a finished demo or import task wrote the current data set of who started it, once. Called before every page.

    Returns a sentence for the user, or "". What an import left out is stored under `left_out:<manifest>`.
    """
    for name in ("demo", "import"):
        finished = tasks.task(name)
        if finished is None or finished.state != "done" or preferences.get(f"started:{name}") != finished.started:
            continue
        tasks.forget_task(name)
        preferences.set(f"started:{name}", None)
        if name == "demo":
            set_current_manifest(finished.result)
            return "The demo set is written."
        path, found = finished.result
        set_current_manifest(path)
        warned = any(note.startswith("warning: ") for note in found.notes)
        preferences.set("data:view", "Problems" if found.rejected or warned or found.unknown else "Images")
        for step in ("import:look", "import:preview"):
            tasks.forget_task(step)
            preferences.set(f"started:{step}", None)
        return f"{counted(len(found.frame), 'image')} imported, {len(found.rejected):,} left out."
    return ""


def start_check(path: Path) -> Task:
    """Check a manifest in the background; its result is a CheckReport. The task's name is `check_name(path)`."""
    frame = manifest_frame(path)

    def work(report: Report) -> CheckReport:
        return check_manifest(frame, progress=report)

    return tasks.start_task(check_name(path), "Checking the data", work)


def start_repair(path: Path) -> Task:
    """Write a manifest beside this one with its split repaired, in the background; its result is (that path, Repair)."""
    frame, config, out = manifest_frame(path), settings.current().data, free_name(path.with_stem(f"{path.stem}-repaired"))

    def work(report: Report) -> tuple[Path, Repair]:
        from core.data.repair import repaired

        done = repaired(frame, config, report)
        write_manifest(done.frame, out)
        return out, done

    return tasks.start_task(repair_name(path), "Repairing the split", work)


def repair_name(path: Path) -> str:
    """The name of the background repair of this manifest in its present state."""
    return f"repair:{path}:{stamp(path)}"


def start_baseline(path: Path) -> Task:
    """Predict the label from metadata alone, in the background; its result is a MetadataBaseline."""
    frame, confidence = manifest_frame(path), settings.current().evaluation.confidence

    def work(report: Report) -> MetadataBaseline:
        from core.data.metadata_baseline import metadata_baseline

        return metadata_baseline(frame, confidence=confidence, progress=report)

    return tasks.start_task(baseline_name(path), "Reading what is known besides the breast", work)


def baseline_name(path: Path) -> str:
    """The name of the background baseline of this manifest in its present state."""
    return f"baseline:{path}:{stamp(path)}"


def check_name(path: Path) -> str:
    """The name of the background check of this manifest in its present state."""
    return f"check:{path}:{stamp(path)}"


def free_name(path: Path) -> Path:
    """`path`, or `path-2`, ... : a manifest is never overwritten."""
    candidate, number = path, 1
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return candidate
