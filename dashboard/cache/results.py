"""What runs have produced, cached: curves while they train, evaluations, thumbnails, heatmaps.

Everything is keyed by the files' times of change (dashboard.state.file_stamps).
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from core.config import Config, Recipe
from core.data.cache import PreparedCache
from core.errors import LabError
from core.files.paths import cache_root
from core.images.encode import to_uint8
from core.metrics import ThresholdRule
from core.metrics.levels import Level
from core.preprocessing.preview import fit
from core.runs import Run
from core.runs.device_queue import QueuedRun, waiting
from core.runs.test_set.accesses import FILE
from core.runs.test_set.identity import MANIFEST, run_folders
from core.runs.test_set.models import TestSetUse
from core.runs.test_set.provenance import EVALUATION
from core.wording import shortened
from dashboard.access.paths import require_allowed
from dashboard.cache import images
from dashboard.cache.explanations import USUAL, Ask, Explained, Picture
from dashboard.cache.images import ImageRef
from dashboard.state import datasets, models, preferences, tasks
from dashboard.state.file_stamps import HashFuncs, of_files, of_run, stamp
from dashboard.state.tasks import Report, Task

if TYPE_CHECKING:
    import pandas as pd

    from core.evaluate import Comparison, Evaluation
    from core.evaluate.opened_set import OpenedSet
    from core.gradcam.cam_layers import LayerChoice
    from core.predict import Predictor
    from core.training.preflight import Preflight
    from dashboard.cache.run_monitor import RunMonitor

SLOW_CACHED = 24  # heatmaps of slow methods
LONGEST = 300  # characters of what a run's files hold, in a table's cell
_IMAGE: HashFuncs = {ImageRef: lambda image: (image.key, image.frame)}
_RECIPE: HashFuncs = {Recipe: lambda recipe: recipe.hash}


# ---------------------------------------------------------------- training


def monitor(run: Run) -> RunMonitor:
    """The run's events up to now, shared by all sessions; each call reads only what is new."""
    found = _monitor(run)
    found.refresh()
    return found


@st.cache_resource(max_entries=16, show_spinner=False, hash_funcs=of_run())
def _monitor(run: Run) -> RunMonitor:
    from dashboard.cache.run_monitor import RunMonitor

    return RunMonitor(run)


@st.cache_data(
    max_entries=64, ttl=60, show_spinner=False, hash_funcs={**of_files(), Config: lambda config: config.model_dump_json()}
)
def preflight(config: Config, manifest: Path) -> Preflight:
    """What would prevent this training from starting, and what it will work on; checked again after a minute."""
    from core.training.preflight import preflight as check

    return check(config, datasets.manifest_frame(manifest))


def queue_of(device: str) -> list[QueuedRun]:
    """The runs that are trained on this device or wait for it, also other labs', in their order."""
    return waiting(device) if device else []


def watch_run(run: Run) -> None:
    """Show this run's progress from now on."""
    preferences.set("train:run", run.name)
    preferences.set("train:view", "Progress")


# ---------------------------------------------------------------- configuration


@st.cache_resource(max_entries=1024, show_spinner=False, hash_funcs=of_run("config.yaml"))
def config_of(run: Run) -> tuple[Config | None, str]:
    """What the run was set up with; None, and the reason in one line, where that cannot be read."""
    try:
        return run.config(), ""
    except LabError as error:
        return None, shortened(str(error), LONGEST)


# ---------------------------------------------------------------- evaluations and heatmaps


@st.cache_resource(
    max_entries=24,  # the runs of a comparison, each with its splits
    show_spinner=False,
    hash_funcs=of_run("evaluation.json", "predictions/val.csv", "predictions/test.csv"),
)
def evaluation(run: Run, split: str) -> Evaluation | None:
    """What the last evaluation of this split wrote; None when there is none. Raises BadRun."""
    from core.evaluate import read_evaluation

    return read_evaluation(run, split)


def external_splits(run: Run) -> list[str]:
    """The names of the run's external test sets; none where evaluation.json is damaged, which whoever reads it says."""
    from core.evaluate import external_splits as find

    with contextlib.suppress(LabError):
        return find(run)
    return []


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs={**of_run("manifest.csv"), **of_files()})
def external_preview(run: Run, manifest: Path) -> tuple[OpenedSet, pd.DataFrame]:
    """Another collection, compared with the run's data: (what it is, the rows that may be scored). Raises LabError."""
    from core.evaluate.opened_set import open_external

    return open_external(run, manifest)


def start_external(run: Run, manifest: Path, split: str, *, replaces: bool = False) -> Task:
    """Score another collection in the background; its result is an Evaluation. Counts as an access to it."""
    model = models.predictor(run)

    def work(report: Report) -> Evaluation:
        from core.evaluate import evaluate_external

        return evaluate_external(run, manifest, split, replaces=replaces, progress=report, predictor=model, where="Evaluate")

    return tasks.start_task(evaluation_name(run, split), f"Scoring {split}", work)


@st.cache_resource(max_entries=64, show_spinner=False, hash_funcs=of_run("manifest.csv"))
def patients_known(run: Run) -> bool:
    """Whether the run's manifest states whose its images are. Raises LabError."""
    from core.data.identity import patients_known as known

    return known(run.manifest())


def _test_set_files(run: Run) -> tuple[object, ...]:
    """Changes with every record of an access to test images, every evaluation, manifest and model beside the run."""
    root = run.path.parent
    files = (FILE, EVALUATION, MANIFEST, "model.json")
    return os.fsencode(run.path), *(stamp(folder / name) for folder in [root, *run_folders(root)] for name in files)


@st.cache_resource(max_entries=16, show_spinner=False, hash_funcs={Run: _test_set_files})
def test_set_use(run: Run) -> TestSetUse:
    """Which models were scored on the run's test set. Raises BadRun."""
    from core.runs.test_set.models import test_set_use as find

    return find(run.path)


def evaluation_name(run: Run, split: str) -> str:
    """The name of the background evaluation of this split."""
    return f"evaluate:{run.path}:{split}"


def evaluation_task(run: Run, split: str) -> Task | None:
    """The background evaluation of this split, running or ended."""
    return tasks.task(evaluation_name(run, split))


def start_evaluation(run: Run, split: str) -> Task:
    """Score a split in the background; its result is an Evaluation. Counts as an access to it."""
    model = models.predictor(run)

    def work(report: Report) -> Evaluation:
        from core.evaluate import evaluate

        return evaluate(run, split, progress=report, predictor=model, where="Evaluate")

    return tasks.start_task(evaluation_name(run, split), f"Scoring {split}", work)


def freeze_threshold(run: Run, rule: ThresholdRule, *, reopen: bool = False) -> None:
    """Choose new thresholds on validation, store them in the model, and score validation again so that its metrics are
    those of the new ones. Raises BadRun (the test set was evaluated and not `reopen`), NotEnoughData.
    """
    from core.evaluate import refreeze

    refreeze(run, rule, reopen=reopen)
    start_evaluation(run, "val")


@st.cache_resource(
    max_entries=48,
    show_spinner="Comparing",
    hash_funcs={
        **of_run(),
        "core.evaluate.result.Evaluation": lambda found: (found.split, found.last_evaluated, found.threshold),
    },
)
def comparison(first: Run, second: Run, one: Evaluation, other: Evaluation, level: Level) -> Comparison:
    """Two runs on the same images of a split; second less first. Raises Leakage, NotEnoughData, BadRun."""
    from core.evaluate import compare_evaluations

    return compare_evaluations(one, other, level)


def report_name(run: Run) -> str:
    """The name of the background task that writes the run's report."""
    return f"report:{run.path}"


def start_report(run: Run) -> Task:
    """Write report.html in the background; its result is the path."""
    model: Predictor | None = None
    with contextlib.suppress(LabError):  # without a model the report has no pictures, and gives the reason
        model = models.predictor(run)

    def work(report: Report) -> Path:
        from core.report import report as write

        return write(run, predictor=model)

    return tasks.start_task(report_name(run), "Writing the report", work)


def input_thumbnail(path: str, recipe: Recipe, side: int = 240) -> bytes:
    """What the model saw of a file, as JPEG bytes, from the cache of prepared images. Raises UnreadableImage."""
    return _input_thumbnail(require_allowed(path), recipe, side)


@st.cache_data(max_entries=2048, show_spinner=False, hash_funcs={**of_files(), **_RECIPE})
def _input_thumbnail(path: Path, recipe: Recipe, side: int) -> bytes:
    return images.preview_jpeg(PreparedCache(cache_root(), recipe).get(path).pixels, side)


@st.cache_resource(max_entries=48, show_spinner=False, hash_funcs={**of_run("model.json", "gate.safetensors"), **_IMAGE})
def explanation(run: Run, image: ImageRef, ask: Ask = USUAL) -> Explained:
    """Prediction and heatmap of one image by the run's model. Raises UnreadableImage, BadRun, BadConfig.

    For quick methods; a slow one is computed by `explanation_task`.
    """
    return _explain(run, image, ask, None)


def _explain(run: Run, image: ImageRef, ask: Ask, progress: Report | None) -> Explained:
    from dashboard.cache.explanations import explain

    model = models.predictor(run)
    mammogram, prepared = images.mammogram(image, model.recipe), images.prepared(image, model.recipe)
    return explain(model, prepared, mammogram, ask, progress, source=image.source)


def explanation_name(run: Run, image: ImageRef, ask: Ask) -> str:
    """The name of the background task that computes it."""
    return f"explain:{':'.join(map(str, (run.path, models.model_stamp(run), image.key, image.frame, *ask)))}"


def explanation_task(run: Run, image: ImageRef, ask: Ask) -> Explained | Task:
    """As `explanation` by a slow method: the result, or the task that computes it, was stopped or failed."""
    name = explanation_name(run, image, ask)
    found = _slow_explanations()
    if name in found:
        return found[name]
    task = tasks.task(name)
    if task is None:
        task = tasks.start_task(name, "Masking the image", lambda report: _explain(run, image, ask, report))
    if task.state != "done":
        return task
    tasks.forget_task(name)
    while len(found) >= SLOW_CACHED:
        found.pop(next(iter(found)), None)
    found[name] = task.result
    return found[name]


@st.cache_resource(show_spinner=False)
def _slow_explanations() -> dict[str, Explained]:
    return {}


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs=of_run("model.json"))
def layer_choices(run: Run) -> tuple[LayerChoice, ...]:
    """The layers of the run's model that a heatmap may be read from, for images of its size. Raises BadRun, BadConfig."""
    from core.gradcam.cam_layers import layer_choices as choices

    model = models.predictor(run)
    return choices(model.model, model.recipe.shape)


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=of_run("model.json"))
def unfit_methods(run: Run, layer: str) -> dict[str, str]:
    """Method -> why it does not fit the run's model at this layer ("" for the usual one). Raises BadRun, BadConfig."""
    from core.gradcam.methods import reasons_against

    chosen = next(choice for choice in layer_choices(run) if choice.name == layer or (not layer and choice.usual))
    return reasons_against(models.predictor(run).model, chosen)


@st.cache_data(max_entries=48, show_spinner=False, hash_funcs={**_IMAGE, Recipe: lambda recipe: recipe.voi_index})
def original(image: ImageRef, recipe: Recipe) -> tuple[Picture, tuple[int, int]]:
    """(the image as it is in the file, uint8, at most `images.PREVIEW_SIDE` px long; its real height and width)."""
    pixels = images.mammogram(image, recipe).pixels
    return to_uint8(fit(pixels, images.PREVIEW_SIDE)), (pixels.shape[0], pixels.shape[1])


@st.cache_resource(max_entries=24, show_spinner=False, hash_funcs={**of_run("model.json"), **_IMAGE, **_RECIPE})
def what_if(run: Run, image: ImageRef, recipe: Recipe) -> Explained:
    """What the run's model predicts for an image prepared by `recipe` at the model's size: not a result, see
    Predictor.what_if. Raises UnreadableImage, BadRun, RecipeMismatch.
    """
    from dashboard.cache import explanations

    model = models.predictor(run)
    recipe = recipe.model_copy(update={"size": model.recipe.size})
    prepared, mammogram = images.prepared(image, recipe), images.mammogram(image, recipe)
    return explanations.what_if(model, prepared, mammogram, source=image.source)
