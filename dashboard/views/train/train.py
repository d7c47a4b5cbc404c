"""Train: set a run up, start it or let it wait its turn, and watch it live. All runs are on the Runs page."""

from __future__ import annotations

import platform

import streamlit as st
from pydantic import ValidationError

from core.errors import LabError
from core.files.untrusted import irregular
from core.model.card import StartingWeights
from core.plots import METRIC_TITLES, PHASE_TITLES
from core.plots.training import Span
from core.runs import Run, Status
from core.runs.events import PatchEpochEvent, ResumeEvent, StartEvent, StepEvent
from core.wording import OPTIMISTIC, counted, duration, number, plain
from dashboard.cache import results, run_monitor
from dashboard.cache.run_monitor import PHASES, RunMonitor, current_epoch, monitored
from dashboard.state import datasets, models, preferences, training_runs, widgets
from dashboard.state.run_states import LAUNCHERS, state_of
from dashboard.ui import chance_notices, components, image_components, notices, pages, run_controls
from dashboard.ui.components import Metric
from dashboard.views.train import first_batch as batch
from dashboard.views.train import new_run, queue

VIEWS = ["New run", "Progress"]
SPANS = {"trained": "So far", "planned": "All epochs"}
CHART_HEIGHT = 290
REFRESH = 1.0  # seconds between updates of an active run
GALLERY_COLUMNS = 8
MEMORY = "Numbers are computed in this precision. Memory: what the training holds of the GPU; on a processor what its process \
holds of the computer, which for a training in this server is the whole dashboard."


def show() -> None:
    """One of two views: the progress of a run, or the form of a new one."""
    if "train:entered" not in st.session_state:  # a new tab, a reload: show an active run first
        st.session_state["train:entered"] = True
        if found := training_runs.active_runs():
            results.watch_run(found[0])
    bar = st.container(horizontal=True, vertical_alignment="center")
    with bar:
        view = widgets.segmented("View", VIEWS, "train:view", hide_label=True)
    if view != "Progress":
        new_run.show()
        return
    with bar:
        run = run_picker()
        if run is not None:
            widgets.segmented("Epochs shown", SPANS, "train:span", hide_label=True)
    if run is None:
        components.empty_state(
            "Nothing has been trained yet", "Set up a first run: it appears here as it learns.", icon=":material/monitoring:"
        )
        return
    status = run.status()
    active = training_runs.is_active(run, status)
    st.fragment(progress, run_every=REFRESH if active else None)(run, active, state_key(status))
    seen = bool(batch.tiles(run)) if active and not run.problem else False
    st.fragment(first_batch, run_every=2 * REFRESH if active and not seen else None)(run, waited=active and not seen)


def run_picker() -> Run | None:
    """The run that is watched: the chosen one, else the newest."""
    found = {run.name: run for run in training_runs.list_runs()}
    if not found:
        return None
    chosen = str(preferences.get("train:run", ""))
    if chosen not in found and (now := training_runs.current_name(chosen)) in found:
        preferences.set("train:run", now)
    name = widgets.select("Run", list(found), "train:run", hide_label=True)
    return found[name]


# ---------------------------------------------------------------- one run


def state_key(status: Status) -> tuple[str, bool]:
    """Changes when another set of buttons fits."""
    return status.state, status.waiting


@notices.errors_shown()
def progress(run: Run, active: bool, state: tuple[str, bool]) -> None:
    """The run's progress, from its folder alone; reruns the page when its state changes."""
    notices.require_existing(run)
    status = run.status()
    if (training_runs.is_active(run, status), state_key(status)) != (active, state):
        st.rerun()
    followed = results.monitor(run)
    header(run, status, followed)
    if active:
        share, words = run_monitor.progress(status, followed.last)
        steps(run_monitor.phase(status, followed.last))
        st.progress(share, text=words)
        if status.waiting:
            queue.waiting(run, queue.device_of(run))
    else:
        outcome(run, status, followed)
    if (beginning := starting_weights(followed)) is not None:
        st.caption(f"Starting weights: {plain(beginning)}.")
    if (patches := followed.last.get("patch_epoch")) is not None:
        st.caption(patch_words(patches))
    if active:
        chance_notices.chance_notice(run)
    span: Span = "planned" if preferences.get("train:span") == "planned" else "trained"
    charts = {
        "loss": followed.loss(CHART_HEIGHT, span),
        "metric": followed.metric(status.monitor, CHART_HEIGHT, span),
        "rate": followed.rate(CHART_HEIGHT, span),
    }
    with st.container(key="narrow_charts"):
        columns = st.columns([5, 5, 3])
    for column, (name, chart) in zip(columns, charts.items(), strict=True):
        with column:
            saved_as = f"{run.name} training {name}"
            components.chart(
                chart, f"train:{name}", subject=f"{run.name}, {span}", alt=f"{name} of {run.name}", saved_as=saved_as
            )
    cards(status, followed)
    for message in followed.warnings[-5:]:
        notices.warning(message)
    if followed.excluded:
        with st.expander(
            f"{counted(followed.excluded, 'image')} {'was' if followed.excluded == 1 else 'were'} left out: could not be used"
        ):
            st.dataframe([{"image": path, "reason": reason} for path, reason in run.excluded().items()], hide_index=True)


def patch_words(event: PatchEpochEvent) -> str:
    """How far the patch phase has come, and how well it does."""
    right = event.get("accuracy")
    done = f"Patch phase: epoch {event['epoch']} of {event['epochs']}"
    if right is None:
        return f"{done}."
    return f"{done}, {right:.0%} of its training patches classified right as lesion or tissue."


def steps(now: str) -> None:
    """The phases of a training in a row, the one that it is in marked."""
    at = PHASES.index(now)
    parts = (
        f"<li{' aria-current=step' if each == at else ' class=done' if each < at else ''}>{name}</li>"
        for each, name in enumerate(PHASES)
    )
    st.html(f"<ol class='lab-steps' aria-label='Phases of the training'>{''.join(parts)}</ol>")


def header(run: Run, status: Status, followed: RunMonitor) -> None:
    """State in a badge, what the run is, and the buttons that fit its state."""
    words, color = state_of(status, run)
    if color == "green" and models.chance(run):  # green would suggest a useful model
        color = "gray"
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.badge(words, color=color)
        if is_synthetic(run):
            notices.synthetic_badge("Trained on the synthetic demo set: not real mammograms.")
        st.markdown(
            summary(run, status, followed), width="stretch", help="Input: height × width of what the model sees, in pixels."
        )
        run_controls.requests(run, status, "train")


def summary(run: Run, status: Status, followed: RunMonitor) -> str:
    """Architecture, size, images and where it runs, in a line."""
    config = results.config_of(run)[0]
    if config is not None:
        height, width = config.preprocessing.shape
        mean = models.ensemble(run)[1]
        weights = "from scratch" if config.model.weights == "none" else "pretrained"
        parts = [mean or f"{config.model.name}, {weights}", f"input {height} × {width}"]
    else:
        parts = ["configuration not readable"]
    start = followed.last.get("start")
    images = start.get("images") if start is not None else None
    if images:
        parts.append(f"{images.get('train', 0):,} training images")
    if (status.live or status.waiting) and status.launcher:
        parts.append(f"by {LAUNCHERS.get(status.launcher, status.launcher)}")
        if status.host not in ("", platform.node()):
            parts.append(f"on {status.host}")
    elif note := run.note():
        parts.append(f"*{plain(note.splitlines()[0])}*")
    return " · ".join(parts)


def starting_weights(followed: RunMonitor) -> str | None:
    """What the training began with, and what of it was loaded; None where its start does not say."""
    start = followed.last.get("start")
    if start is None or "weights" not in start:
        return None
    try:
        return StartingWeights.model_validate(start["weights"]).statement
    except ValidationError:  # of a later version
        return None


def cards(status: Status, followed: RunMonitor) -> None:
    """The present metrics; the same six places whatever is known."""
    step, epoch = followed.last.get("step"), followed.last.get("epoch")
    start = followed.last.get("resume") or followed.last.get("start")
    name = monitored(status.monitor)
    best = best_value(status, followed)
    rate = next((found for event in (step, epoch) if event is not None and (found := event.get("images_per_second"))), None)
    learning = None if step is None else step.get("learning_rate")
    phase = followed.last["phase"].get("phase", "") if "phase" in followed.last else ""
    device = (start.get("device") if start is not None else None) or status.device or "–"
    val_loss = None if epoch is None else epoch.get("val_loss")
    spent = f"{duration(followed.seconds)} of training" if followed.seconds else "no epoch finished yet"
    with st.container(key="narrow_cards"):
        components.metric_cards(
            [
                Metric(
                    "Epoch", f"{current_epoch(status, followed.last)} of {status.epochs}", PHASE_TITLES.get(phase, phase or "–")
                ),
                Metric("Loss, training", number(followed.train_loss), f"validation {number(val_loss)} (optimistic)"),
                Metric(
                    METRIC_TITLES.get(name, name),
                    number(followed.metric_of_epoch(name)),
                    f"best {number(best)}, epoch {status.best_epoch}; optimistic: it chose that epoch"
                    if status.best_epoch
                    else "best: none yet",
                ),
                Metric("Images/s", "–" if rate is None else f"{rate:.1f}", spent),
                Metric("Learning rate", "–" if learning is None else f"{learning:.1e}", "of the last step"),
                Metric("Device", device.split(" (")[0], _device_detail(start, step), MEMORY),
            ]
        )


def _device_detail(start: StartEvent | ResumeEvent | None, step: StepEvent | None) -> str:
    """Precision, and the memory that the training holds: of the GPU, or of the process it is in."""
    parts = [(start.get("precision") if start is not None else None) or "–"]
    used, total = (None, None) if step is None else (step.get("memory"), step.get("memory_total"))
    if used is not None and total is not None:
        parts.append(f"{used / 2**30:.1f} of {total / 2**30:.0f} GB")
    return ", ".join(parts)


def best_value(status: Status, followed: RunMonitor) -> float | None:
    """The monitored metric (ROC AUC where the loss is monitored) at the best epoch."""
    found = followed.metric_of_epoch(status.monitor, status.best_epoch) if status.best_epoch else None
    return status.best_value if found is None and status.monitor != "loss" else found


def outcome(run: Run, status: Status, followed: RunMonitor) -> None:
    """How it ended, and the next step."""
    has_model = training_runs.has_model(run)
    chance = chance_notices.chance_notice(run)
    best = f" The best model is of epoch {status.best_epoch}" if status.best_epoch else ""
    score = f" ({_title(status)} {number(best_value(status, followed))} on validation, {OPTIMISTIC})." if best else ""
    reason = f" {plain(_sentence(status.reason))}" if status.reason else ""
    words, buttons = st.columns([4, 1], vertical_alignment="center")
    with words:
        if status.problem:
            notices.show_error(f"This run's folder is damaged: {status.problem}")
        elif status.state == "done":
            finished = f"Finished after {counted(status.epoch, 'epoch')}.{reason}{best}{score}"
            if chance:  # green would suggest a useful model
                notices.info(finished, icon="flag")
            else:
                notices.success(finished)
        elif status.state == "stopped":
            if "best model" in reason.lower():  # the reason names the epoch
                best, score = "", score and f" {_title(status)} on validation: {number(best_value(status, followed))}."
            notices.info(f"After {status.epoch} of {counted(status.epochs, 'epoch')}:{reason}{best}{score}", icon="stop_circle")
        elif status.state == "failed":
            usable = f"{best}{score} It can still be used." if has_model else ""
            notices.show_error(f"The training failed. {_sentence(status.reason)}{usable}")
        elif status.state == "interrupted":
            notices.warning(f"After {status.epoch} of {counted(status.epochs, 'epoch')}:{reason}{best}{score}")
        else:
            notices.info(f"Nobody trains this run.{reason}", icon="hourglass_empty")
    with buttons:
        if has_model and st.button(
            "Evaluate", type="primary", icon=":material/query_stats:", key="train:evaluate", width="stretch"
        ):
            training_runs.set_current_run(run.name)
            pages.go_to("evaluate")
        run_controls.start_button(run, status, "train", primary=not has_model)


@notices.errors_shown()
def first_batch(run: Run, *, waited: bool) -> None:
    """The first training images as the model gets them, once they are prepared."""
    there = (run.path / "manifest.csv").is_file() and not run.problem
    tiles = batch.tiles(run) if there else []
    if not tiles:
        return
    if waited:
        st.rerun()  # they are there: stop polling
    st.markdown("## The first batch as the model sees it", anchors=False)
    image_components.gallery(tiles, key="train:first", columns=GALLERY_COLUMNS, height=110)


def _title(status: Status) -> str:
    return METRIC_TITLES.get(status.monitor, METRIC_TITLES["auc"])


def _sentence(text: str) -> str:
    text = text.strip()
    if not text:
        return ""
    begun = text[0].upper() + text[1:] if text.split()[0].isalpha() else text  # never the name of a file
    return begun if begun.endswith((".", "!", "?")) else begun + "."


def is_synthetic(run: Run) -> bool:
    """Whether the run's images are synthetic."""
    path = run.path / "manifest.csv"
    try:
        return not irregular(path) and path.is_file() and datasets.is_synthetic(path)
    except LabError:  # the run's other parts are shown nevertheless
        return False


with components.page("Train", "Set up a run, start it, and watch it learn. Training continues if you close this page."):
    show()
