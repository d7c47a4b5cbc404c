"""What the pages share: settings, the current data set and model, caches, jobs. Pages hold no state of their own.

This is the only place that caches and the only place that holds live jobs and loaded models. Everything heavy
(torch, gradio, decoders) is imported inside the functions, so that the first page answers before any of it.

Caches of what runs have produced (curves, evaluations, heatmaps) are in dashboard.results.
What a user chose (`recall`, `remember`) is in dashboard.choices, background work in dashboard.tasks; both are offered here.
"""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from core.config import Config, Recipe, load_config
from core.errors import LabError
from dashboard import machine
from dashboard.choices import recall, remember, workspace
from dashboard.machine import warm_up
from dashboard.tasks import Report, Task, forget_task, live, start_task, task

if TYPE_CHECKING:
    import pandas as pd

    from core.data.checks import CheckReport
    from core.data.importers import ImportReport
    from core.images.mammogram import Mammogram
    from core.predict import Predictor
    from core.preprocessing import Analysis, Prepared
    from core.training.jobs import Job
    from core.training.run import Run
    from dashboard.preview import Preview

__all__ = ["Report", "Task", "forget_task", "recall", "remember", "start_task", "task", "warm_up", "workspace"]

PREVIEW_SIDE = 1024  # px; previews sent to the browser are no longer than this


# ---------------------------------------------------------------- workspace and settings


def config_path() -> Path:
    """The configuration that the pages read and edit."""
    return workspace() / "config.yaml"


def settings() -> Config:
    """config.yaml (built-in defaults where there is none), re-read when the file changes. Raises BadConfig."""
    path = config_path()
    return _settings(str(path), _stamp(path))


@st.cache_resource(max_entries=4, show_spinner=False)
def _settings(path: str, stamp: int) -> Config:
    return load_config(path if stamp else None)


def resolve(path: Path | str) -> Path:
    """A path of the configuration as an absolute one (relative ones start at the workspace)."""
    path = Path(path)
    return path if path.is_absolute() else workspace() / path


def display_path(path: Path | str) -> str:
    """A path as short as it can be said: relative to the workspace when below it, with forward slashes."""
    path = Path(path)
    try:
        return path.resolve().relative_to(workspace().resolve()).as_posix()
    except ValueError:
        return path.as_posix()


def checkpoints() -> Path:
    """The folder that holds one folder a run."""
    return resolve(settings().checkpoints)


# ---------------------------------------------------------------- data sets


def find_manifests() -> list[Path]:
    """Manifests below data/ (CSV files whose header has `path` and `label`) and config.yaml's own, sorted."""
    found = {path for path in sorted((workspace() / "data").glob("**/*.csv")) if _is_manifest(str(path), _stamp(path))}
    for extra in (resolve(settings().data.manifest), Path(recall("manifest", "") or ".")):
        if extra.is_file() and _is_manifest(str(extra), _stamp(extra)):
            found.add(extra.resolve() if extra.is_absolute() else resolve(extra))
    return sorted(found)


@st.cache_data(max_entries=512, show_spinner=False)
def _is_manifest(path: str, stamp: int) -> bool:
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            header = next(csv.reader(file), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        return False
    return {"path", "label"} <= {name.strip() for name in header}


def current_manifest() -> Path | None:
    """The chosen manifest; without a choice config.yaml's, else the first found; None when there is none."""
    chosen = recall("manifest")
    if chosen and Path(chosen).is_file():
        return Path(chosen)
    configured = resolve(settings().data.manifest)
    if configured.is_file():
        return configured
    found = find_manifests()
    return found[0] if found else None


def set_current_manifest(path: Path | None) -> None:
    """Make this manifest the current one on every page."""
    remember("manifest", None if path is None else str(path))


def manifest_frame(path: Path) -> pd.DataFrame:
    """The manifest as core.data.manifest.read_manifest gives it, re-read when the file changes. Raises BadManifest.

    A copy: change it freely.
    """
    return _manifest_frame(str(path), _stamp(path))


@st.cache_data(max_entries=8, show_spinner=False)
def _manifest_frame(path: str, stamp: int) -> pd.DataFrame:
    from core.data.manifest import read_manifest

    return read_manifest(Path(path))


def is_synthetic(frame: pd.DataFrame) -> bool:
    """Whether the manifest says that its images are synthetic."""
    return "synthetic" in frame and bool(frame["synthetic"].astype(str).str.lower().isin(["true", "1", "yes"]).any())


def current_is_synthetic() -> bool:
    """Whether the current data set is synthetic; False without one, or with one that cannot be read."""
    try:
        path = current_manifest()
        return path is not None and is_synthetic(manifest_frame(path))
    except LabError:
        return False


def start_demo() -> Task:
    """Write the demo set into data/demo in the background; its result is the manifest's path."""
    out = workspace() / "data" / "demo"

    def work(report: Report) -> Path:
        from core.data.demo import make_demo

        return make_demo(out, progress=report)

    return start_task("demo", "Writing the demo set", work)


def adopt_finished() -> str:
    """Make what a finished demo or import task wrote the current data set, once. Called before every page.

    Returns what to tell the user, or "". What an import left out is kept under `left_out:<manifest>`.
    """
    for name in ("demo", "import"):
        finished = task(name)
        if finished is None or finished.state != "done":
            continue
        forget_task(name)
        if name == "demo":
            set_current_manifest(finished.result)
            return "The demo set is written."
        path, found = finished.result
        set_current_manifest(path)
        kept = [[str(file), reason] for file, reason in found.rejected[:500]]
        remember(f"left_out:{path}", {"notes": list(found.notes), "rejected": kept, "count": len(found.rejected)})
        remember("data:view", "Problems" if found.rejected else "Images")
        return f"{len(found.frame):,} images imported, {len(found.rejected):,} left out."
    return ""


def start_check(path: Path) -> Task:
    """Check a manifest in the background; its result is a CheckReport. The task's name is `check:<path>`."""
    frame = manifest_frame(path)

    def work(report: Report) -> CheckReport:
        from core.data.checks import check_manifest

        return check_manifest(frame, progress=report)

    return start_task(check_name(path), "Checking the data", work)


def check_name(path: Path) -> str:
    """The name of the background check of this manifest in its present state."""
    return f"check:{path}:{_stamp(path)}"


def start_import(name: str, source: Path, options: dict[str, Any]) -> Task:
    """Import a data set in the background into data/<name of the source>.csv; its result is (that path, ImportReport)."""
    out = _free_name(workspace() / "data" / f"{source.stem or name}.csv")

    def work(report: Report) -> tuple[Path, ImportReport]:
        from core.data.importers import import_data
        from core.data.manifest import write_manifest

        found = import_data(name, source, progress=report, **options)
        out.parent.mkdir(parents=True, exist_ok=True)
        write_manifest(found.frame, out)
        return out, found

    return start_task("import", "Importing", work)


def _free_name(path: Path) -> Path:
    """`path`, or `path-2`, ... : an import never overwrites a manifest."""
    candidate, number = path, 1
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return candidate


# ---------------------------------------------------------------- images


@dataclass(frozen=True)
class ImageRef:
    """An image the user points at: a file, or the bytes of an upload. Build it with `image_ref`.

    `key` changes whenever the bytes may have changed; it is what caches are keyed by.
    """

    name: str
    key: str
    source: Path | bytes


def image_ref(source: Path | str | bytes, name: str = "") -> ImageRef:
    """Name a file or an upload for the caches."""
    if isinstance(source, bytes):
        return ImageRef(name or "upload", hashlib.sha256(source).hexdigest(), source)
    path = Path(source)
    return ImageRef(name or path.name, f"{path}:{_stamp(path)}", path)


def mammogram(image: ImageRef) -> Mammogram:
    """The decoded image; the last few are kept in memory. Raises UnreadableImage."""
    return _mammogram(image.key, image.source)


@st.cache_resource(max_entries=4, show_spinner=False)
def _mammogram(key: str, _source: Path | bytes) -> Mammogram:
    from core.images import read

    return read(_source)


def analysis(image: ImageRef, polarity: str) -> Analysis:
    """Breast, chest wall, polarity and grey levels of an image: what no slider but `polarity` changes."""
    return _analysis(image.key, polarity, image)


@st.cache_resource(max_entries=16, show_spinner=False)
def _analysis(key: str, polarity: str, _image: ImageRef) -> Analysis:
    from core.preprocessing import analyse

    return analyse(mammogram(_image), Recipe.model_validate({"polarity": polarity}))


def prepared(image: ImageRef, recipe: Recipe) -> Prepared:
    """What a model sees of this image: the very array of training and prediction. Raises UnreadableImage."""
    return _prepared(image.key, recipe, image)


@st.cache_resource(max_entries=64, show_spinner=False, hash_funcs={Recipe: lambda recipe: recipe.hash})
def _prepared(key: str, recipe: Recipe, _image: ImageRef) -> Prepared:
    from core.preprocessing import prepare

    return prepare(mammogram(_image), recipe, analysis=analysis(_image, recipe.polarity))


@st.cache_data(max_entries=4096, show_spinner=False)
def _thumbnail(key: str, side: int, _image: ImageRef) -> bytes:
    from core.images import read
    from core.images.encode import encode_jpeg
    from dashboard.preview import fit

    return encode_jpeg(fit(read(_image.source).pixels, side), quality=85)


def thumbnail(image: ImageRef, side: int = 240) -> bytes:
    """The image as a file says it is, as JPEG bytes no longer than `side` px. Raises UnreadableImage."""
    return _thumbnail(image.key, side, image)


def preview(image: ImageRef, recipe: Recipe) -> Preview:
    """Before, after and histograms of one image under one recipe, encoded. Raises UnreadableImage."""
    return _preview(image.key, recipe, image)


@st.cache_resource(max_entries=64, show_spinner=False, hash_funcs={Recipe: lambda recipe: recipe.hash})
def _preview(key: str, recipe: Recipe, _image: ImageRef) -> Preview:
    from dashboard.preview import make_preview

    return make_preview(_image, recipe, prepared)


def preview_jpeg(pixels: Any, side: int = PREVIEW_SIDE, quality: int = 88) -> bytes:
    """Grey (uint8, or float in [0, 1]) or RGB uint8 as JPEG bytes, its longer side at most `side` px, never stretched."""
    from core.images.encode import encode_jpeg
    from dashboard.preview import fit

    return encode_jpeg(fit(pixels, side), quality=quality)


# ---------------------------------------------------------------- runs, jobs, models


def runs() -> list[Run]:
    """All runs, newest first."""
    from core.training.run import list_runs

    return list_runs(checkpoints())


def has_model(run: Run) -> bool:
    """Whether the run has a model to predict with; by its files: asking the run imports torch."""
    return all((Path(run.path) / name).is_file() for name in ("model.json", "model.safetensors"))


def open_run(name: str) -> Run:
    """The run of this name. Raises BadRun."""
    from core.training.run import Run

    return Run.open(checkpoints() / name)


def current_run(*, with_model: bool = False) -> Run | None:
    """The chosen run; without a choice the newest (with `with_model`: the newest that has a model)."""
    found = [run for run in runs() if has_model(run) or not with_model]
    chosen = recall("run")
    for run in found:
        if run.name == chosen:
            return run
    return found[0] if found else None


def set_current_run(name: str | None) -> None:
    """Make this run the current one on every page."""
    remember("run", name)


def start_training(run: Run) -> Job:
    """Start (or return the already running) training job of this run in a background thread of the server.

    A run that was started before goes on from its last checkpoint. Raises BadRun when somebody else trains it.
    """
    from core.training.jobs import start_thread

    registry = live()
    with registry.lock:
        job = job_of(run)
        if job is None or not job.alive:
            job = registry.jobs[str(run.path)] = start_thread(run, resume=run.status().state != "queued")
    return job


def job_of(run: Run) -> Job | None:
    """This server's job for the run, running or ended; None when another process, or nobody, trains it."""
    job: Job | None = live().jobs.get(str(run.path))
    return job


def active_jobs() -> list[Job]:
    """Training jobs of this server that still run."""
    return [job for job in list(live().jobs.values()) if job.alive]


def predictor(run: Run) -> Predictor:
    """The loaded model of a run, shared by all pages and sessions, reloaded when the model file changes. Raises BadRun."""
    return _predictor(str(run.path), _stamp(Path(run.path) / "model.json"))


@st.cache_resource(max_entries=2, show_spinner=False)
def _predictor(path: str, stamp: int) -> Predictor:
    from core.predict import Predictor
    from core.training.run import Run

    return Predictor.from_run(Run.open(Path(path)))


def device_label() -> str:
    """The device that work runs on, in words."""
    try:
        return machine.device_label(settings().training.device)
    except LabError:
        return machine.device_label()


def _stamp(path: Path) -> int:
    """Changes when the file does: its time of change in ns, 0 when it is not there."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
