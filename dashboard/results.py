"""What runs have produced, cached: curves while they train, evaluations, thumbnails, heatmaps. Part of dashboard.services.

Everything is keyed by the files' times of change: what another process writes is seen at the next look.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from core.config import Config, Recipe
from dashboard import images, services
from dashboard.images import ImageRef
from dashboard.services import Report, Task, stamp

if TYPE_CHECKING:
    from core.evaluate import Evaluation
    from core.metrics import Roc, RocBand
    from core.training.run import Run
    from dashboard.explaining import Explanation
    from dashboard.pictures import Tile
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


def line(device: str) -> list[str]:
    """Names of the runs that are trained on this device or wait for it: one launched now comes after them."""
    from core.training.turns import line as line_for

    return line_for(device) if device else []


def watch_run(run: Run) -> None:
    """Show this run's progress from now on."""
    services.remember("train:run", run.name)
    services.remember("train:view", "Progress")


def first_batch(run: Run) -> list[Tile]:
    """The run's first training images as its model gets them; [] while they are not prepared. Raises LabError."""
    try:
        return _first_batch(str(run.path), stamp(run.path / "manifest.csv"), run)
    except _NotPrepared:
        return []


class _NotPrepared(Exception):
    """Not to be remembered: the next look may find them."""


@st.cache_resource(max_entries=16, show_spinner=False)
def _first_batch(path: str, changed: int, _run: Run) -> list[Tile]:
    from core.images.encode import encode_jpeg
    from core.training.glance import first_batch as glance_at
    from dashboard.pictures import Tile, label_color

    found = glance_at(_run)
    if found is None:
        raise _NotPrepared
    return [
        Tile(encode_jpeg(pixels, quality=90), label=label, color=label_color(label))
        for pixels, label in zip(found.pixels, found.labels, strict=True)
    ]


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

    return images.preview_jpeg(PreparedCache(cache_root(), recipe).get(path).pixels, side)


def explanation(run: Run, image: ImageRef, method: str, target: str) -> Explanation:
    """Score and heatmap of one image by the run's model. Raises UnreadableImage, BadRun, BadConfig."""
    return _explanation(str(run.path), stamp(run.path / "model.json"), (image.key, image.frame), method, target, run, image)


@st.cache_resource(max_entries=48, show_spinner=False)
def _explanation(
    path: str, changed: int, key: tuple[str, int | None], method: str, target: str, _run: Run, _image: ImageRef
) -> Explanation:
    from dashboard.explaining import explain

    model = services.predictor(_run)
    warnings = images.mammogram(_image, model.recipe).warnings
    return explain(model, images.prepared(_image, model.recipe), warnings, method, target)


def what_if(run: Run, image: ImageRef, recipe: Recipe) -> Explanation:
    """What the run's model says of an image prepared by `recipe` at the model's size: not a result, see Predictor.what_if.

    Raises UnreadableImage, BadRun, RecipeMismatch.
    """
    recipe = recipe.model_copy(update={"size": services.predictor(run).recipe.size})
    return _what_if(str(run.path), stamp(run.path / "model.json"), (image.key, image.frame), recipe.hash, run, image, recipe)


@st.cache_resource(max_entries=24, show_spinner=False)
def _what_if(
    path: str, changed: int, key: tuple[str, int | None], recipe_hash: str, _run: Run, _image: ImageRef, _recipe: Recipe
) -> Explanation:
    from dashboard import explaining

    return explaining.what_if(services.predictor(_run), images.prepared(_image, _recipe))
