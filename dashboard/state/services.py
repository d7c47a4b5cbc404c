"""What the pages share: settings, the current data set and model, jobs. Pages hold no state of their own.

This is the only place that holds live jobs and loaded models. Everything heavy (torch, gradio, decoders) is imported
inside the functions, so that the first page answers before any of it.

Decoded and prepared images are cached in dashboard.cache.images, what runs have produced (curves, evaluations, heatmaps) in
dashboard.cache.results.
What a user chose (`recall`, `remember`) is in preferences.py, background work in tasks.py; both are offered here.
"""

from __future__ import annotations

import platform
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import streamlit as st

from core.config import Config, load_config
from core.errors import BadManifest, BadRun, LabError
from dashboard.access.paths import require_all_allowed, require_allowed, require_allowed_import
from dashboard.state import machine
from dashboard.state.machine import warm_up
from dashboard.state.preferences import recall, remember, workspace
from dashboard.state.tasks import Report, Task, forget_task, live, start_task, stop_task, task

if TYPE_CHECKING:
    import pandas as pd

    from core.data.checks import CheckReport
    from core.data.importers import ImportReport
    from core.metrics.placing import Reference
    from core.predict import Predictor
    from core.runs.run import Run
    from core.runs.status import Status
    from core.training.launchers import Job

__all__ = ["Report", "Task", "forget_task", "recall", "remember", "start_task", "stop_task", "task", "warm_up", "workspace"]

LONG_MANIFEST = 4_000_000  # bytes, some 40,000 rows: reading them takes about a second

# ---------------------------------------------------------------- workspace and settings


def config_path() -> Path:
    """The configuration that the pages read and edit."""
    return workspace() / "config.yaml"


def settings() -> Config:
    """config.yaml (built-in defaults where there is none), re-read when the file changes. Raises BadConfig."""
    path = config_path()
    return _settings(str(path), stamp(path))


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
    except (ValueError, OSError, RuntimeError):  # elsewhere; or no path at all, links in a circle
        return path.as_posix()


def checkpoints() -> Path:
    """The folder that holds one folder a run."""
    return resolve(settings().checkpoints)


# ---------------------------------------------------------------- data sets


def find_manifests() -> list[Path]:
    """Manifests below data/ (CSV files whose header has `path` and `label`) and config.yaml's own, sorted."""
    found = {path for path in sorted((workspace() / "data").glob("**/*.csv")) if _is_manifest(str(path), stamp(path))}
    for extra in (resolve(settings().data.manifest), Path(recall("manifest", "") or ".")):
        if extra.is_file() and _is_manifest(str(extra), stamp(extra)):
            found.add(extra.resolve() if extra.is_absolute() else resolve(extra))
    return sorted(found)


@st.cache_data(max_entries=512, show_spinner=False)
def _is_manifest(path: str, stamp: int) -> bool:
    from core.data.tables import header_of

    def wanted(fields: list[str]) -> bool:
        return {"path", "label"} <= {name.lower() for name in fields}

    return wanted(header_of(Path(path), wanted))


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
    return _manifest_frame(str(path), stamp(path))


@st.cache_data(max_entries=8, show_spinner=False)
def _manifest_frame(path: str, stamp: int) -> pd.DataFrame:
    from core.data.manifest import read_manifest

    return read_manifest(Path(path))


class Counts(NamedTuple):
    """How much is in a data set; `patients` is None where no image has a patient."""

    images: int
    patients: int | None
    malignant: int

    @property
    def patient_words(self) -> str:
        return "patients unknown" if self.patients is None else f"{self.patients:,} patients"


def counts_of(path: Path) -> Counts | None:
    """What a manifest holds; None while a long one is read in the background, which takes seconds that no page waits for.

    Raises:
        BadManifest: it cannot be read.
    """
    changed = stamp(path)
    if not path.is_file() or path.stat().st_size <= LONG_MANIFEST:
        return _counts(str(path), changed)
    name = f"counts:{path}:{changed}"
    reading = task(name) or start_task(name, "Reading the data set", lambda report: _counts(str(path), changed))
    if reading.state == "failed":
        raise BadManifest(reading.error)
    counted: Counts | None = reading.result
    return counted


@st.cache_data(max_entries=64, show_spinner=False)
def _counts(path: str, stamp: int) -> Counts:
    from core.data.identity import patients_known

    frame = _manifest_frame(path, stamp)
    patients = int(frame["patient_id"].nunique()) if patients_known(frame) else None
    return Counts(len(frame), patients, int((frame["label"] == "malignant").sum()))


def is_synthetic(manifest: Path) -> bool:
    """Whether the manifest says that its images are synthetic. Raises BadManifest."""
    return _is_synthetic(str(manifest), stamp(manifest))


# Of its own: every page asks, and to read all of a long table for this alone takes a while.
@st.cache_data(max_entries=64, show_spinner=False)
def _is_synthetic(path: str, stamp: int) -> bool:
    from core.data.manifest import says_synthetic

    return says_synthetic(Path(path))


def current_is_synthetic() -> bool:
    """Whether the current data set is synthetic; False without one, or with one that cannot be read."""
    try:
        path = current_manifest()
        return path is not None and is_synthetic(path)
    except LabError:
        return False


def start_demo() -> Task:
    """Write the demo set into data/demo in the background; its result is the manifest's path."""
    out = workspace() / "data" / "demo"

    def work(report: Report) -> Path:
        from core.demo import make_demo

        return make_demo(out, progress=report)

    return _mine(start_task("demo", "Writing the demo set", work))


def _mine(started: Task) -> Task:
    """Note that this browser started the task: what it writes becomes the current data set here, and nowhere else."""
    remember(f"started:{started.name}", started.started)
    return started


def adopt_finished() -> str:
    """Make what a finished demo or import task wrote the current data set of who started it, once. Called before every page.

    Returns what to tell the user, or "". What an import left out is kept under `left_out:<manifest>`.
    """
    for name in ("demo", "import"):
        finished = task(name)
        if finished is None or finished.state != "done" or recall(f"started:{name}") != finished.started:
            continue
        forget_task(name)
        remember(f"started:{name}", None)
        if name == "demo":
            set_current_manifest(finished.result)
            return "The demo set is written."
        path, found = finished.result
        set_current_manifest(path)
        warned = any(note.startswith("warning: ") for note in found.notes)
        remember("data:view", "Problems" if found.rejected or warned else "Images")
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
    return f"check:{path}:{stamp(path)}"


def start_import(name: str, source: Path, options: dict[str, Any]) -> Task:
    """Import a data set in the background into data/<name of the source>.csv; its result is (that path, ImportReport).

    Raises:
        NotAllowed: a visitor may not name this source (see dashboard.access.paths).
    """
    require_allowed(source)
    if "root" in options:
        require_allowed(Path(options["root"]))
    out = _free_name(workspace() / "data" / f"{source.stem or name}.csv")

    def work(report: Report) -> tuple[Path, ImportReport]:
        from core.data.importers import import_data
        from core.data.manifest import write_manifest

        found = import_data(name, source, progress=report, require=require_all_allowed, **options)
        require_allowed_import(found)
        out.parent.mkdir(parents=True, exist_ok=True)
        write_manifest(found.frame, out)
        kept = [[str(file), reason] for file, reason in found.rejected[:500]]
        remember(f"left_out:{out}", {"notes": list(found.notes), "rejected": kept, "count": len(found.rejected)})
        return out, found

    return _mine(start_task("import", "Importing", work))


def _free_name(path: Path) -> Path:
    """`path`, or `path-2`, ... : an import never overwrites a manifest."""
    candidate, number = path, 1
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return candidate


# ---------------------------------------------------------------- runs, jobs, models


def runs() -> list[Run]:
    """The runs that pages can work with, newest first."""
    return [run for run in all_runs() if run.readable_name]


def all_runs() -> list[Run]:
    """All runs, newest first; also those whose name no page can hold (see Run.problem)."""
    from core.runs.run import list_runs

    if jobs := sys.modules.get("core.training.launchers"):
        jobs.collect_children()  # a process that was killed is not taken for one at work
    return list_runs(checkpoints())


def has_model(run: Run) -> bool:
    """Whether the run has a model to predict with; by its files: asking the run imports torch."""
    return all((Path(run.path) / name).is_file() for name in ("model.json", "model.safetensors"))


def open_run(name: str) -> Run:
    """The run of this name in the runs folder. Names come from addresses too (`?run=`): none leads out of it. Raises BadRun."""
    from core.runs.run import Run

    if not name or name != Path(name).name or name.startswith(".") or any(each in name for each in "/\\:\0"):
        raise BadRun(f"{name[:80]!r}: expected the name of a run. The Runs page has them all.")
    run = Run.open(checkpoints() / name)
    run.require_regular()
    return run


def current_run(*, with_model: bool = False) -> Run | None:
    """The chosen run; without a choice the newest (with `with_model`: the newest that has a model)."""
    found = [run for run in runs() if has_model(run) or not with_model]
    chosen = recall("run")
    for name in (chosen, now_called(str(chosen))):
        for run in found:
            if run.name == name:
                return run
    return found[0] if found else None


def now_called(name: str) -> str:
    """The name that a run of this name has now: another page, or another person, may have renamed it since."""
    if (checkpoints() / name).is_dir():
        return name
    renamed, seen = live().renamed, {str(checkpoints() / name)}
    path = renamed.get(str(checkpoints() / name))
    while path in renamed and path not in seen:
        seen.add(path)
        path = renamed[path]
    return Path(path).name if path else name


def gone(run: Run) -> str:
    """Why the run is no longer there, in words; "" while it is."""
    if run.path.is_dir():
        return ""
    name = now_called(run.name)
    if name != run.name and (run.path.parent / name).is_dir():
        return f"The run {run.name} is called {name} now: it was renamed."
    return f"The run {run.name} is no longer there: it was deleted, or its folder was renamed."


def set_current_run(name: str | None) -> None:
    """Make this run the current one on every page."""
    remember("run", name)


def start_training(run: Run, launcher: str = "thread", *, queue: bool = True) -> None:
    """Train the run once its device is free (`queue`), from its beginning or from its last checkpoint; returns at once.

    `launcher`: "thread" of this server, or a "process" of its own that outlives it. Does nothing when a thread of this
    server is at it already. Raises BadRun when somebody else trains it.
    """
    from core.training.launchers import start_process, start_thread

    registry = live()
    with registry.lock:
        if job_alive(run):
            return
        _predictor.clear()  # what other models hold of the GPU is the training's
        if launcher == "process":
            start_process(run, resume=run.begun, queue=queue)
        else:
            registry.jobs[str(run.path)] = start_thread(run, resume=run.begun, queue=queue)


def job_of(run: Run) -> Job | None:
    """This server's job for the run, running or ended; None when another process, or nobody, trains it."""
    job: Job | None = live().jobs.get(str(run.path))
    return job


def job_alive(run: Run) -> bool:
    """Whether a thread of this server works on the run, or waits with it."""
    job = job_of(run)
    return job is not None and bool(job.alive)


def at_work(run: Run, status: Status) -> bool:
    """Whether anybody trains the run, or waits with it: only then does its folder change."""
    return status.live or status.waiting or job_alive(run)


def active_runs() -> list[Run]:
    """The runs that are trained, paused or waiting, wherever they were started: those at work first."""
    found = [(run.status(), run) for run in runs()]
    active = [(status, run) for status, run in found if at_work(run, status)]
    return [run for _, run in sorted(active, key=lambda entry: not entry[0].live)]


def rename_run(run: Run, name: str) -> Run:
    """Give the run another name; what was chosen by its name follows, and so does its scoring. Raises BadRun."""
    _require_idle(run, "renamed", ("audit", "report"))
    before, was = run.name, str(run.path)
    renamed = run.rename(name, keep=[checkpoints()])
    with live().lock:
        live().renamed[was] = str(renamed.path)
        tasks = live().tasks
        for name in [name for name in tasks if name.startswith(f"evaluate:{was}:")]:
            moved = tasks.pop(name)
            moved.name = f"evaluate:{renamed.path}:{name.removeprefix(f'evaluate:{was}:')}"
            tasks[moved.name] = moved
    for key in ("run", "train:run"):
        if recall(key) == before:
            remember(key, renamed.name)
    return renamed


def delete_run(run: Run, *, everything: bool = False) -> None:
    """Delete the run's folder with everything in it. Raises BadRun while it is trained or scored."""
    _require_idle(run, "deleted", ("evaluate", "audit", "report"))
    run.delete(keep=[checkpoints()], everything=everything)
    for key in ("run", "train:run"):
        if recall(key) == run.name:
            remember(key, None)


def _require_idle(run: Run, action: str, kinds: tuple[str, ...]) -> None:
    """Raises BadRun while this server scores the run, audits its heatmaps or writes its report, as far as these `kinds` of
    work would be lost."""
    ours = tuple(f"{kind}:{run.path}:" for kind in kinds)
    busy = [each for name, each in list(live().tasks.items()) if each.running and f"{name}:".startswith(ours)]
    if busy:
        raise BadRun(f"{run.name}: it cannot be {action} now ({busy[0].title.lower()}). Wait until that has ended, or stop it.")


def cache_folder() -> tuple[Path, int]:
    """Where prepared images are kept, and the bytes of all of them."""
    from core.data.cache import size_of
    from core.files.paths import cache_root

    return cache_root(), size_of(cache_root())


def clear_cache() -> None:
    """Delete the prepared images of every recipe. Raises BadRun while a training uses them, LabError where it fails."""
    from core.runs import image_cache

    image_cache.clear(checkpoints())


def predictor(run: Run) -> Predictor:
    """The loaded model of a run, shared by all pages and sessions, reloaded when the model file changes. Raises BadRun."""
    return _predictor(str(run.path), model_stamp(run), prediction_device())


def model_stamp(run: Run) -> tuple[int, int]:
    """Changes when the run's model does, its threshold, or what it was taught not to judge."""
    return stamp(Path(run.path) / "model.json"), stamp(Path(run.path) / "gate.safetensors")


@st.cache_resource(max_entries=2, show_spinner=False)
def _predictor(path: str, stamps: tuple[int, int], device: str) -> Predictor:
    from core.predict import Predictor
    from core.runs.run import Run

    return Predictor.from_run(Run.open(Path(path)), device=device)


def chance(run: Run) -> str:
    """Why the run's model has not shown to be better than chance; "" when it has, or has no model. See core.metrics.chance."""
    if not has_model(run):
        return ""
    path = Path(run.path)
    return _chance(str(path), (stamp(path / "model.json"), stamp(path / "predictions" / "val.csv")), run)


@st.cache_data(max_entries=512, show_spinner=False)
def _chance(path: str, stamps: tuple[int, int], _run: Run) -> str:
    from core.metrics.chance import chance_of_model

    try:
        return chance_of_model(_run.model_card(), Path(path))
    except LabError:  # whoever uses the model is told what is wrong with its card
        return ""


def reference(run: Run) -> Reference | None:
    """The validation scores among which a score of the run's model is placed; None where there are none."""
    path = Path(run.path)
    return _reference(str(path), (stamp(path / "model.json"), stamp(path / "predictions" / "val.csv")))


@st.cache_data(max_entries=16, show_spinner=False)
def _reference(path: str, stamps: tuple[int, int]) -> Reference | None:
    from core.metrics.placing import reference_of

    return reference_of(Path(path))


def prediction_device() -> str:
    """Where a model scores: on the GPU where there is one, but on the processor while a run is trained on that GPU.

    A prediction that took the last of its memory would end the training.
    """
    from core.model import pick_device

    device = pick_device("auto")
    if device.type != "cuda":
        return str(device)
    for run in runs():
        status = run.status()
        here = status.live and status.host == platform.node()
        if here and _cuda_index(status.device) == (device.index or 0):
            return "cpu"
    return str(device)


def _cuda_index(device: str) -> int | None:
    """The number of the GPU in "cuda:1 (NVIDIA ...)"; None for another kind of device."""
    found = re.match(r"cuda(?::(\d+))?", device)
    return int(found.group(1) or 0) if found else None


def device_label() -> str:
    """The device that work runs on, in words."""
    try:
        return machine.device_label(settings().training.device)
    except LabError:
        return machine.device_label()


def stamp(path: Path) -> int:
    """Changes when the file does: its time of change in ns, 0 when it is not there."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
