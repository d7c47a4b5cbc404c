"""What can be done to a run, as buttons: the same on Train and Runs, whoever trains it and wherever.

A request is an empty file in the run's folder; who trains looks for it after each step.
"""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from core.runs import Run, Status
from dashboard.cache.run_monitor import GATE
from dashboard.state import preferences, run_actions, training_runs, widgets
from dashboard.ui import notices

LAUNCHERS = {"thread": "Inside the dashboard", "process": "As a separate process"}
_LAUNCHER = "train:launcher"


def launcher_choice() -> str:
    """Where a run is to be trained; the same on every page."""
    return widgets.segmented(
        "Where it trains",
        LAUNCHERS,
        _LAUNCHER,
        help="Both continue when you close the page. Inside the dashboard, a run is interrupted when the server ends, and can "
        "be resumed; a separate process survives a restart of the server.",
    )


def launcher() -> str:
    """The choice made with `launcher_choice`, on whichever page."""
    chosen = preferences.get(_LAUNCHER)
    return chosen if chosen in LAUNCHERS else "thread"


def requests(run: Run, status: Status, prefix: str) -> None:
    """Pause or resume and stop for an active run, leave the queue for one that waits; an open request shows as such."""
    stopping = run.requested("stop")

    def button(label: str, icon: str, key: str, action: Callable[[], object], help: str | None = None) -> None:
        st.button(
            label,
            icon=f":material/{icon}:",
            disabled=stopping,
            key=f"{prefix}:{key}",
            help=help,
            on_click=lambda: with_errors_shown(action),
        )

    def stop() -> None:
        run.request("stop")

    if status.live and status.phase == GATE:
        words = (
            "The training has ended and its best model is saved. Without the gate, images unlike the training images are not "
            "refused; the next scoring on Evaluate fits it."
        )
        button("Finishing …" if stopping else "Skip the input gate", "skip_next", "skip_gate", stop, words)
    elif status.live:
        if status.state == "paused" or run.requested("pause"):
            button("Resume", "play_arrow", "resume_paused", lambda: run.withdraw("pause"))
        else:
            button("Pause", "pause", "pause", lambda: run.request("pause"))
        words = "Ends after the current step. The best model so far is saved, and the run can be resumed."
        button("Stopping …" if stopping else "Stop and keep best model", "stop", "stop", stop, words)
    elif status.waiting:
        words = "It is not started. You can start it again later."
        button("Leaving the queue …" if stopping else "Remove from queue", "logout", "leave", stop, words)


def start_button(run: Run, status: Status, prefix: str, *, primary: bool) -> None:
    """Start or resume a run that nobody trains; nothing for one that is finished or at work."""
    if training_runs.is_active(run, status) or not (status.resumable or status.state == "queued") or status.problem:
        return
    begun = run.begun
    help = "Continues from the last checkpoint" if begun else "Trains it from the beginning"
    if st.button(
        "Resume" if begun else "Start",
        icon=":material/resume:" if begun else ":material/play_arrow:",
        type="primary" if primary else "secondary",
        key=f"{prefix}:resume",
        width="stretch",
        help=f"{help}, {LAUNCHERS[launcher()].lower()}. While its device is busy it waits in the queue.",
    ):
        with notices.errors_shown():
            run_actions.start_training(run, launcher())
            st.rerun()


def with_errors_shown(action: Callable[[], object]) -> None:
    """Call `action`; its errors are shown on the page."""
    with notices.errors_shown():
        action()
