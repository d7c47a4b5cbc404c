"""What runs have produced, cached: curves while they train, evaluations, thumbnails, heatmaps.

Everything is keyed by the files' times of change: what another process writes is seen at the next look.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from core.config import Config, Recipe
from core.errors import LabError
from dashboard.access.paths import require_allowed
from dashboard.cache import images
from dashboard.cache.images import ImageRef
from dashboard.state import services
from dashboard.state.services import Report, Task, stamp

if TYPE_CHECKING:
    from core.evaluate import Comparison, Evaluation
    from core.gradcam.cam_layers import LayerChoice
    from core.metrics import ThresholdRule
    from core.predict import Predictor
    from core.runs.device_queue import QueuedRun
    from core.runs.run import Run
    from core.runs.test_set.models import TestSetUse
    from core.training.preflight import Preflight
    from dashboard.cache.explanations import Ask, Explained, Picture
    from dashboard.cache.run_monitor import Watch

SLOW_KEPT = 24  # heatmaps of slow methods

LONGEST = 300  # characters of what a run's files say, in a table's cell


# ---------------------------------------------------------------- training


def watch(run: Run) -> Watch:
    """The run's events up to now, shared by all sessions; each call reads only what is new."""
    following = _watch(str(run.path))
    following.refresh()
    return following


@st.cache_resource(max_entries=16, show_spinner=False)
def _watch(path: str) -> Watch:
    from core.runs.run import Run
    from dashboard.cache.run_monitor import Watch

    return Watch(Run(Path(path)))


def preflight(config: Config, manifest: Path) -> Preflight:
    """What would keep this training from starting, and what it will work on; asked again after a minute."""
    return _preflight(config.model_dump_json(), str(manifest), stamp(manifest), config)


@st.cache_data(max_entries=64, ttl=60, show_spinner=False)
def _preflight(key: str, manifest: str, changed: int, _config: Config) -> Preflight:
    from core.training.preflight import preflight as check

    return check(_config, services.manifest_frame(Path(manifest)))


def line(device: str) -> list[QueuedRun]:
    """The runs that are trained on this device or wait for it, also other labs': one launched now comes after them."""
    from core.runs.device_queue import waiting

    return waiting(device) if device else []


def watch_run(run: Run) -> None:
    """Show this run's progress from now on."""
    services.remember("train:run", run.name)
    services.remember("train:view", "Progress")


# ---------------------------------------------------------------- configuration


def config_of(run: Run) -> tuple[Config | None, str]:
    """What the run was set up with; None, and the reason in one line, where that cannot be read."""
    return _config_of(str(run.path), stamp(run.path / "config.yaml"))


@st.cache_resource(max_entries=1024, show_spinner=False)
def _config_of(path: str, changed: int) -> tuple[Config | None, str]:
    from core.runs.run import Run

    try:
        return Run(Path(path)).config(), ""
    except LabError as error:
        return None, one_line(str(error))


def one_line(text: str) -> str:
    """A line of at most LONGEST characters."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


# ---------------------------------------------------------------- evaluations and heatmaps


def evaluation(run: Run, split: str) -> Evaluation | None:
    """What the last evaluation of this split wrote, re-read when the files change; None when there is none. Raises BadRun."""
    stamps = stamp(run.path / "evaluation.json"), stamp(run.path / "predictions" / f"{split}.csv")
    return _evaluation(str(run.path), split, stamps)


@st.cache_resource(max_entries=8, show_spinner=False)
def _evaluation(path: str, split: str, stamps: tuple[int, int]) -> Evaluation | None:
    from core.evaluate import read_evaluation
    from core.runs.run import Run

    return read_evaluation(Run(Path(path)), split)


def patients_known(run: Run) -> bool:
    """Whether the run's manifest knows whose its images are; re-read when it changes. Raises LabError."""
    return _patients_known(str(run.path), stamp(run.path / "manifest.csv"))


@st.cache_resource(max_entries=64, show_spinner=False)
def _patients_known(path: str, changed: int) -> bool:
    from core.data.identity import patients_known
    from core.runs.run import Run

    return patients_known(Run(Path(path)).manifest())


def test_set_use(run: Run) -> TestSetUse:
    """Which models were scored on the run's test set; read again when a record or an evaluation changes. Raises BadRun."""
    from core.runs.test_set.accesses import FILE
    from core.runs.test_set.identity import MANIFEST, run_folders
    from core.runs.test_set.provenance import EVALUATION

    root = run.path.parent
    files = (FILE, EVALUATION, MANIFEST, "model.json")
    changed = tuple(stamp(folder / name) for folder in [root, *run_folders(root)] for name in files)
    return _test_set_use(str(run.path), changed)


@st.cache_resource(max_entries=16, show_spinner=False)
def _test_set_use(path: str, changed: tuple[int, ...]) -> TestSetUse:
    from core.runs.test_set.models import test_set_use

    return test_set_use(Path(path))


def evaluation_task(run: Run, split: str) -> Task | None:
    """The background evaluation of this split, running or ended."""
    return services.task(f"evaluate:{run.path}:{split}")


def start_evaluation(run: Run, split: str) -> Task:
    """Score a split in the background; its result is an Evaluation. Counts as opening it."""
    model = services.predictor(run)

    def work(report: Report) -> Evaluation:
        from core.evaluate import evaluate

        return evaluate(run, split, progress=report, predictor=model, where="Evaluate")

    return services.start_task(f"evaluate:{run.path}:{split}", f"Scoring {split}", work)


def freeze_threshold(run: Run, rule: ThresholdRule, *, reopen: bool = False) -> None:
    """Choose the thresholds anew on validation, freeze them in the model, and score validation again so that its figures are
    those of the new ones. Raises BadRun (the test set was opened and not `reopen`), NotEnoughData.
    """
    from core.evaluate import refreeze

    refreeze(run, rule, reopen=reopen)
    start_evaluation(run, "val")


def comparison(first: Run, second: Run, one: Evaluation, other: Evaluation, level: str) -> Comparison:
    """Two runs on the same images of a split; second less first. Raises Leakage, NotEnoughData, BadRun."""
    key = [(str(run.path), found.split, found.last_opened, found.threshold) for run, found in ((first, one), (second, other))]
    return _comparison(str(key), level, one, other)


@st.cache_resource(max_entries=16, show_spinner="Comparing")
def _comparison(key: str, level: str, _one: Evaluation, _other: Evaluation) -> Comparison:
    from core.evaluate import compare_evaluations

    return compare_evaluations(_one, _other, level)  # type: ignore[arg-type]


def report_task(run: Run) -> Task | None:
    """The background writing of the run's report, running or ended."""
    return services.task(f"report:{run.path}")


def start_report(run: Run) -> Task:
    """Write report.html in the background; its result is the path."""
    model: Predictor | None = None
    with contextlib.suppress(LabError):  # a model that cannot be loaded costs the report its pictures, and it says why
        model = services.predictor(run)

    def work(report: Report) -> Path:
        from core.report import report as write

        return write(run, predictor=model)

    return services.start_task(f"report:{run.path}", "Writing the report", work)


def input_thumbnail(path: str, recipe: Recipe, side: int = 240) -> bytes:
    """What the model saw of a file, as JPEG bytes, from the cache of prepared images. Raises UnreadableImage."""
    return _input_thumbnail(path, stamp(require_allowed(path)), recipe, side)


@st.cache_data(max_entries=2048, show_spinner=False, hash_funcs={Recipe: lambda recipe: recipe.hash})
def _input_thumbnail(path: str, changed: int, recipe: Recipe, side: int) -> bytes:
    from core.data.cache import PreparedCache
    from core.files.paths import cache_root

    return images.preview_jpeg(PreparedCache(cache_root(), recipe).get(path).pixels, side)


def explanation(
    run: Run,
    image: ImageRef,
    method: str = "auto",
    target: str = "malignant",
    layer: str = "",
    *,
    score_anyway: bool = False,
) -> Explained:
    """Prediction and heatmap of one image by the run's model. Raises UnreadableImage, BadRun, BadConfig.

    For quick methods; a slow one is worked on by `explanation_task`.
    """
    return _explanation(*_explanation_key(run, image), Ask(method, target, layer, anyway=score_anyway), run, image)


@st.cache_resource(max_entries=48, show_spinner=False)
def _explanation(
    path: str, changed: tuple[int, int], key: tuple[str, int | None], ask: Ask, _run: Run, _image: ImageRef
) -> Explained:
    return _explain(_run, _image, ask, None)


def _explanation_key(run: Run, image: ImageRef) -> tuple[str, tuple[int, int], tuple[str, int | None]]:
    return str(run.path), services.model_stamp(run), (image.key, image.frame)


def _explain(run: Run, image: ImageRef, ask: Ask, progress: Report | None) -> Explained:
    from dashboard.cache.explanations import explain

    model = services.predictor(run)
    mammogram, prepared = images.mammogram(image, model.recipe), images.prepared(image, model.recipe)
    return explain(model, prepared, mammogram, ask, progress, score_anyway=ask.anyway)


def explanation_name(run: Run, image: ImageRef, ask: Ask) -> str:
    """The name of the background task that works on it."""
    return f"explain:{':'.join(map(str, (*_explanation_key(run, image), *ask)))}"


def explanation_task(run: Run, image: ImageRef, ask: Ask) -> Explained | Task:
    """As `explanation` by a slow method: what was found, or the task that works on it, was stopped or failed."""
    name = explanation_name(run, image, ask)
    found = _slow_explanations()
    if name in found:
        return found[name]
    task = services.task(name)
    if task is None:
        task = services.start_task(name, "Masking the image", lambda report: _explain(run, image, ask, report))
    if task.state != "done":
        return task
    services.forget_task(name)
    while len(found) >= SLOW_KEPT:
        found.pop(next(iter(found)), None)
    found[name] = task.result
    return found[name]


@st.cache_resource(show_spinner=False)
def _slow_explanations() -> dict[str, Explained]:
    return {}


def layer_choices(run: Run) -> tuple[LayerChoice, ...]:
    """The layers of the run's model that a heatmap may be read from, for images of its size. Raises BadRun, BadConfig."""
    return _layer_choices(str(run.path), stamp(run.path / "model.json"), run)


@st.cache_data(max_entries=32, show_spinner=False)
def _layer_choices(path: str, changed: int, _run: Run) -> tuple[LayerChoice, ...]:
    from core.gradcam.cam_layers import layer_choices as choices

    model = services.predictor(_run)
    return choices(model.model, model.recipe.shape)


def unfit_methods(run: Run, layer: str) -> dict[str, str]:
    """Method -> why it does not fit the run's model at this layer ("" for the usual one). Raises BadRun, BadConfig."""
    return _unfit_methods(str(run.path), stamp(run.path / "model.json"), layer, run)


@st.cache_data(max_entries=64, show_spinner=False)
def _unfit_methods(path: str, changed: int, layer: str, _run: Run) -> dict[str, str]:
    from core.gradcam.methods import reasons_against

    chosen = next(choice for choice in layer_choices(_run) if choice.name == layer or (not layer and choice.usual))
    return reasons_against(services.predictor(_run).model, chosen)


def original(image: ImageRef, recipe: Recipe) -> tuple[Picture, tuple[int, int]]:
    """(the image as it is in the file, uint8, at most `images.PREVIEW_SIDE` px long; its real height and width)."""
    return _original(image.key, image.frame, recipe.voi, image, recipe)


@st.cache_data(max_entries=48, show_spinner=False)
def _original(key: str, frame: int | None, voi: int, _image: ImageRef, _recipe: Recipe) -> tuple[Picture, tuple[int, int]]:
    from core.images.encode import to_uint8
    from core.preprocessing.preview import fit

    pixels = images.mammogram(_image, _recipe).pixels
    return to_uint8(fit(pixels, images.PREVIEW_SIDE)), (pixels.shape[0], pixels.shape[1])


def what_if(run: Run, image: ImageRef, recipe: Recipe) -> Explained:
    """What the run's model says of an image prepared by `recipe` at the model's size: not a result, see Predictor.what_if.

    Raises UnreadableImage, BadRun, RecipeMismatch.
    """
    recipe = recipe.model_copy(update={"size": services.predictor(run).recipe.size})
    return _what_if(str(run.path), stamp(run.path / "model.json"), (image.key, image.frame), recipe.hash, run, image, recipe)


@st.cache_resource(max_entries=24, show_spinner=False)
def _what_if(
    path: str, changed: int, key: tuple[str, int | None], recipe_hash: str, _run: Run, _image: ImageRef, _recipe: Recipe
) -> Explained:
    from dashboard.cache import explanations

    return explanations.what_if(services.predictor(_run), images.prepared(_image, _recipe), images.mammogram(_image, _recipe))
