"""What runs have produced, cached: curves while they train, evaluations, thumbnails, heatmaps. Part of dashboard.services.

Everything is keyed by the files' times of change: what another process writes is seen at the next look.
"""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from core.config import Config, Recipe
from dashboard import services
from dashboard.services import ImageRef, Report, Task
from dashboard.services import _stamp as stamp

if TYPE_CHECKING:
    from core.evaluate import Evaluation
    from core.metrics import Roc, RocBand
    from core.training.run import Run
    from dashboard.explaining import Explanation
    from dashboard.preflight import Preflight
    from dashboard.watch import Watch


# ---------------------------------------------------------------- training


def watch(run: Run) -> Watch:
    """The run's events up to now, shared by all sessions; each call reads only what is new."""
    following = _watch(str(run.path))
    following.refresh()
    return following


@st.cache_resource(max_entries=16, show_spinner=False)
def _watch(path: str) -> Watch:
    from core.training.run import Run
    from dashboard.watch import Watch

    return Watch(Run(Path(path)))


def preflight(config: Config, manifest: Path) -> Preflight:
    """What would keep this training from starting, and what it will work on; asked again after a minute."""
    return _preflight(config.model_dump_json(), str(manifest), stamp(manifest), config)


@st.cache_data(max_entries=64, ttl=60, show_spinner=False)
def _preflight(key: str, manifest: str, changed: int, _config: Config) -> Preflight:
    from dashboard.preflight import preflight as check

    return check(_config, services.manifest_frame(Path(manifest)))


def busy_run() -> Run | None:
    """The run that this machine is training or holding paused, started from anywhere."""
    for run in services.runs():
        status = run.status()
        if (status.live and status.host == platform.node()) or job_alive(run):
            return run
    return None


def job_alive(run: Run) -> bool:
    """Whether a thread of this server works on the run."""
    job = services.job_of(run)
    return job is not None and bool(job.alive)


def watch_run(run: Run) -> None:
    """Show this run's progress from now on."""
    services.remember("train:run", run.name)
    services.remember("train:view", "Progress")


# ---------------------------------------------------------------- evaluations and heatmaps


def evaluation(run: Run, split: str) -> Evaluation | None:
    """What the last evaluation of this split wrote, re-read when the files change; None when there is none. Raises BadRun."""
    stamps = stamp(run.path / "evaluation.json"), stamp(run.path / "predictions" / f"{split}.csv")
    return _evaluation(str(run.path), split, stamps)


@st.cache_resource(max_entries=8, show_spinner=False)
def _evaluation(path: str, split: str, stamps: tuple[int, int]) -> Evaluation | None:
    from core.evaluate import read_evaluation
    from core.training.run import Run

    return read_evaluation(Run(Path(path)), split)


def evaluation_task(run: Run, split: str) -> Task | None:
    """The background evaluation of this split, running or ended."""
    return services.task(f"evaluate:{run.path}:{split}")


def start_evaluation(run: Run, split: str) -> Task:
    """Score a split in the background; its result is an Evaluation. Counts as opening it."""
    model = services.predictor(run)

    def work(report: Report) -> Evaluation:
        from core.evaluate import evaluate

        return evaluate(run, split, progress=report, predictor=model)

    return services.start_task(f"evaluate:{run.path}:{split}", f"Scoring {split}", work)


def roc_curve(found: Evaluation, level: str) -> tuple[Roc, RocBand]:
    """The ROC curve of an evaluation and the interval around it. Raises NotEnoughData."""
    return _roc_curve(f"{found.run}:{found.split}:{found.opened}:{found.weights_sha256}", level, found)


@st.cache_resource(max_entries=16, show_spinner=False)
def _roc_curve(key: str, level: str, _found: Evaluation) -> tuple[Roc, RocBand]:
    from core.metrics import at_level, roc, roc_band

    table = at_level(_found.predictions, level)  # type: ignore[arg-type]
    band = roc_band(table["label"], table["score"], table["patient_id"], samples=1000)
    return roc(table["label"], table["score"]), band


def report_task(run: Run) -> Task | None:
    """The background writing of the run's report, running or ended."""
    return services.task(f"report:{run.path}")


def start_report(run: Run) -> Task:
    """Write report.html in the background; its result is the path."""
    model = services.predictor(run)

    def work(report: Report) -> Path:
        from core.report import report as write

        return write(run, predictor=model)

    return services.start_task(f"report:{run.path}", "Writing the report", work)


def input_thumbnail(path: str, recipe: Recipe, side: int = 240) -> bytes:
    """What the model saw of a file, as JPEG bytes, from the cache of prepared images. Raises UnreadableImage."""
    return _input_thumbnail(path, stamp(Path(path)), recipe, side)


@st.cache_data(max_entries=2048, show_spinner=False, hash_funcs={Recipe: lambda recipe: recipe.hash})
def _input_thumbnail(path: str, changed: int, recipe: Recipe, side: int) -> bytes:
    from core.data.cache import PreparedCache, cache_root

    return services.preview_jpeg(PreparedCache(cache_root(), recipe).get(path).pixels, side)


def explanation(run: Run, image: ImageRef, method: str, target: str) -> Explanation:
    """Score and heatmap of one image by the run's model. Raises UnreadableImage, BadRun, BadConfig."""
    return _explanation(str(run.path), stamp(run.path / "model.json"), image.key, method, target, run, image)


@st.cache_resource(max_entries=48, show_spinner=False)
def _explanation(path: str, changed: int, key: str, method: str, target: str, _run: Run, _image: ImageRef) -> Explanation:
    from dashboard.explaining import explain

    model = services.predictor(_run)
    return explain(model, services.prepared(_image, model.recipe), services.mammogram(_image).warnings, method, target)
