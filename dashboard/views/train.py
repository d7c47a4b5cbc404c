"""Train: set a run up, start it, watch it live, stop or pause it, and see how every run ended."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import streamlit as st

from core.errors import LabError
from dashboard import components, kept, new_run, results, services
from dashboard.components import Metric, duration, number

if TYPE_CHECKING:
    from core.training import Run, Status

VIEWS = ["New run", "Progress"]
CHART_HEIGHT = 330
REFRESH = 1.0  # seconds between looks at a run at work


def show() -> None:
    """One of two views: a run at work (or ended), or the form of a new one; the table of runs below both."""
    busy = results.busy_run()
    if "train:entered" not in st.session_state:  # a new tab, a reload: what is at work comes first
        st.session_state["train:entered"] = True
        if busy is not None:
            results.watch_run(busy)
    left, right = st.columns([1, 3])
    with left:
        view = kept.segmented("View", VIEWS, "train:view", hide_label=True)
    if view == "Progress":
        with right:
            run = run_picker()
        if run is None:
            components.empty_state(
                "Nothing has been trained yet",
                "Set up a first run: it appears here as it learns.",
                icon=":material/monitoring:",
            )
        else:
            status = run.status()
            live = status.live or results.job_alive(run)
            st.fragment(progress, run_every=REFRESH if live else None)(run, live, status.state)
    else:
        new_run.show(busy)
    runs_section()


# ---------------------------------------------------------------- a run at work


def run_picker() -> Run | None:
    """The run that is watched: the chosen one, else the newest."""
    found = {run.name: run for run in services.runs()}
    if not found:
        return None
    name = kept.select("Run", list(found), "train:run", hide_label=True)
    return found[name]


@components.errors_shown()
def progress(run: Run, live: bool, state: str) -> None:
    """Where the run stands, from its folder alone; asks for the whole page when its state changes."""
    status = run.status()
    if (status.live or results.job_alive(run), status.state) != (live, state):
        st.rerun()
    followed = results.watch(run)
    header(run, status)
    if live:
        from dashboard.watch import progress as progress_of

        share, words = progress_of(status, followed.last)
        if status.state == "paused":
            words = "Paused · " + words.split(" · about")[0]
        st.progress(share, text=words)
    else:
        outcome(run, status)
    cards(run, status)
    left, right = st.columns(2)
    with left:
        components.figure(followed.loss(CHART_HEIGHT), "train:loss")
    with right:
        chart = followed.metric(status.monitor, CHART_HEIGHT)
        chart.update_yaxes(title_text=f"{_title(status)}, validation")
        components.figure(chart, "train:metric")
    for message in followed.warnings[-5:]:
        st.warning(message, icon=":material/warning:")
    if followed.excluded:
        with st.expander(f"{followed.excluded} images were left out because they cannot be read"):
            st.dataframe([{"image": path, "reason": reason} for path, reason in run.excluded().items()], hide_index=True)


def header(run: Run, status: Status) -> None:
    """State in a badge, what the run is, and the buttons that fit its state."""
    from dashboard.watch import STATES

    words, color = STATES[status.state]
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.badge(words, color=color)
        if is_synthetic(run):
            st.badge("SYNTHETIC", color="orange", help="Trained on the synthetic demo set: not real mammograms.")
        st.markdown(what_it_is(run, status), width="stretch")
        if status.live:
            controls(run, status)


def what_it_is(run: Run, status: Status) -> str:
    """Architecture, size, images and where it runs, in a line."""
    parts: list[str] = []
    try:
        config = run.config()
        height, width = config.preprocessing.shape
        weights = "from scratch" if config.model.weights == "none" else "pretrained"
        parts = [f"{config.model.name}, {weights}", f"{width} × {height} px"]
    except LabError:
        parts = ["configuration not readable"]
    start = results.watch(run).last.get("start", {})
    images = start.get("images") or {}
    if images:
        parts.append(f"{images.get('train', 0):,} training images")
    if status.live and status.host not in ("", platform.node()):
        parts.append(f"on {status.host}")
    if start.get("device"):
        parts.append(f"{start['device']}, {start.get('precision', '')}".rstrip(", "))
    return " · ".join(parts)


def controls(run: Run, status: Status) -> None:
    """Pause or go on, and stop; a request that is not answered yet shows as such."""
    stopping = run.requested("stop")
    if status.state == "paused" or run.requested("pause"):
        st.button(
            "Go on",
            icon=":material/play_arrow:",
            disabled=stopping,
            key="train:go_on",
            on_click=lambda: _shown(lambda: run.withdraw("pause")),
        )
    else:
        st.button(
            "Pause",
            icon=":material/pause:",
            disabled=stopping,
            key="train:pause",
            on_click=lambda: _shown(lambda: run.request("pause")),
        )
    st.button(
        "Stopping …" if stopping else "Stop, keep the best",
        icon=":material/stop:",
        disabled=stopping,
        key="train:stop",
        help="Ends after the current step. The best model so far is kept, and the run can be resumed.",
        on_click=lambda: _shown(lambda: run.request("stop")),
    )


def _shown(action: object) -> None:
    with components.errors_shown():
        action()  # type: ignore[operator]


def cards(run: Run, status: Status) -> None:
    """The figures of the moment; the same six places whatever is known."""
    from core.plots import METRIC_TITLES
    from dashboard.watch import PHASES

    followed = results.watch(run)
    step, epoch, start = (followed.last.get(kind, {}) for kind in ("step", "epoch", "start"))
    monitor = "auc" if status.monitor in ("", "loss") else status.monitor
    best = best_value(run, status)
    rate = step.get("images_per_second") or epoch.get("images_per_second")
    learning = step.get("learning_rate")
    phase = PHASES.get(str(step.get("phase") or followed.last.get("phase", {}).get("phase", "")), "–")
    done = int(epoch.get("epoch", 0))
    components.metric_cards(
        [
            Metric("Epoch", f"{done} / {status.epochs}", phase),
            Metric("Loss, training", number(followed.train_loss), f"validation {number(epoch.get('val_loss'))}"),
            Metric(
                f"{METRIC_TITLES.get(monitor, monitor)}",
                number(followed.figure_of_last_epoch(monitor)),
                f"best {number(best)}, epoch {status.best_epoch}" if status.best_epoch else "best: none yet",
            ),
            Metric("Images/s", "–" if rate is None else f"{float(rate):.1f}", _spent(run)),
            Metric("Learning rate", "–" if learning is None else f"{float(learning):.1e}", "of the last step"),
            Metric("Device", str(start.get("device") or status.device or "–").split(" (")[0], str(start.get("precision", "–"))),
        ]
    )


def best_value(run: Run, status: Status) -> float | None:
    """The monitored figure (ROC AUC where the loss is monitored) at the best epoch."""
    monitor = "auc" if status.monitor in ("", "loss") else status.monitor
    for event in reversed(results.watch(run).events):
        if event.get("type") == "epoch" and event.get("epoch") == status.best_epoch:
            value = (event.get("val") or {}).get(monitor)
            return None if value is None else float(value)
    return status.best_value


def _spent(run: Run) -> str:
    """Time spent on finished epochs; pauses and the time between a stop and a resume do not count."""
    epochs = [event for event in results.watch(run).events if event.get("type") == "epoch"]
    if not epochs:
        return "no epoch finished yet"
    return f"{duration(sum(float(event.get('seconds') or 0) for event in epochs))} of training"


def outcome(run: Run, status: Status) -> None:
    """How it ended, in words, and the one thing to do next."""
    has_model = services.has_model(run)
    best = f" The best model is of epoch {status.best_epoch}" if status.best_epoch else ""
    figure = f" ({_title(status)} {number(best_value(run, status))} on validation)." if best else ""
    reason = f" {_sentence(status.reason)}" if status.reason else ""
    words, buttons = st.columns([4, 1] if has_model != status.resumable else [3, 1], vertical_alignment="center")
    with words:
        if status.problem:
            components.show_error(f"This run's folder is damaged: {status.problem}")
        elif status.state == "done":
            st.success(f"Finished after {status.epoch} epochs.{reason}{best}{figure}", icon=":material/check_circle:")
        elif status.state == "stopped":
            st.info(f"After {status.epoch} of {status.epochs} epochs:{reason}{best}{figure}", icon=":material/stop_circle:")
        elif status.state == "failed":
            usable = f"{best}{figure} It can still be used." if has_model else ""
            components.show_error(f"The training failed. {_sentence(status.reason)}{usable}")
        elif status.state == "interrupted":
            st.warning(f"After {status.epoch} of {status.epochs} epochs:{reason}{best}{figure}", icon=":material/warning:")
        else:
            st.info("This run was set up but never started.", icon=":material/hourglass_empty:")
    with buttons:
        if has_model and st.button(
            "Evaluate", type="primary", icon=":material/query_stats:", key="train:evaluate", width="stretch"
        ):
            services.set_current_run(run.name)
            st.switch_page(components.PAGES["evaluate"])
        if status.resumable or status.state == "queued":
            resume_button(run, primary=not has_model, label="Start" if status.state == "queued" else "Resume")


def resume_button(run: Run, *, primary: bool, label: str) -> None:
    """Go on with a run that has not reached its last epoch."""
    busy = results.busy_run()
    if st.button(
        label,
        icon=":material/resume:",
        type="primary" if primary else "secondary",
        key="train:resume",
        width="stretch",
        disabled=busy is not None,
        help=f"{busy.name} is being trained on this machine." if busy else "Goes on from the last checkpoint.",
    ):
        services.start_training(run)
        st.rerun()


def _title(status: Status) -> str:
    from core.plots import METRIC_TITLES

    return METRIC_TITLES.get(status.monitor, METRIC_TITLES["auc"])


def _sentence(text: str) -> str:
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".") if text else ""


# ---------------------------------------------------------------- all runs


def runs_section() -> None:
    """Every run in the folder with its state; a row opens it."""
    if not services.runs():
        return
    st.markdown("#### All runs", anchors=False)
    active = any(run.status().live for run in services.runs())
    st.fragment(runs_table, run_every=2.0 if active else None)()


@components.errors_shown()
def runs_table() -> None:
    """Name, state, epochs, best figure, when and where; newest first."""
    import pandas as pd

    from dashboard.watch import STATES

    rows = []
    for run in services.runs():
        status = run.status()
        rows.append(
            {
                "Run": run.name,
                "State": STATES[status.state][0],
                "Epoch": f"{status.epoch} / {status.epochs}" if status.epochs else "–",
                "Monitored": status.monitor.replace("_", " ") or "–",
                "Best": status.best_value,
                "Best epoch": status.best_epoch,
                "Created": None if status.created is None else pd.Timestamp(status.created, unit="s", tz="UTC"),
                "Note": status.reason,
            }
        )
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        key="train:runs",
        on_select=_open_row,
        selection_mode="single-row",
        column_config={
            "Best": st.column_config.NumberColumn(format="%.3f"),
            "Created": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm"),
        },
    )


def _open_row() -> None:
    chosen = st.session_state["train:runs"]["selection"]["rows"]
    found = services.runs()
    if chosen and chosen[0] < len(found):
        results.watch_run(found[chosen[0]])


def is_synthetic(run: Run) -> bool:
    """Whether the run's images are synthetic."""
    path = run.path / "manifest.csv"
    return path.is_file() and services.is_synthetic(services.manifest_frame(path))


with components.page("Train", "Set up a run, start it, and watch it learn. A run lives in its folder: it outlives this page."):
    show()
