"""Background tasks on a page: progress while they run, a button that stops them, and the error of one that has failed."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from core.wording import duration
from dashboard.state import datasets, tasks
from dashboard.state.tasks import Task
from dashboard.ui import notices


def running(name: str, *, stop: str = "", note: str = "", on_draw: Callable[[], object] | None = None) -> bool:
    """Whether the task of this name runs: then its progress is drawn, and the page runs again when it has ended.

    Of a task that has failed the error is shown. `stop` is the key of a button that stops it, "" for none; `note` is a line
    below; `on_draw` is called whenever the progress is drawn again, by itself.
    """
    task = tasks.task(name)
    if task is not None and task.running:
        _progress(name, stop, note, on_draw)
        return True
    if task is not None and task.state == "failed":
        notices.show_error(task.error)
    return False


@st.fragment(run_every=0.5)
@notices.errors_shown()
def _progress(name: str, stop: str, note: str, on_draw: Callable[[], object] | None) -> None:
    if on_draw is not None:
        on_draw()
    task = tasks.task(name)
    if task is None or not task.running:
        st.rerun()
        return
    st.progress(task.share, text=progress_words(task))
    if note:
        st.caption(note)
    if stop:
        stopping = task.stopping.is_set()
        label = "Stopping …" if stopping else "Stop"
        st.button(label, icon=":material/stop:", key=stop, disabled=stopping, on_click=tasks.stop_task, args=(name,))


def progress_words(task: Task) -> str:
    """Title, count, rate and time left; where nothing is counted, the time so far."""
    if not task.total:
        return f"{task.title} · {duration(task.seconds)} so far"
    rate = f" · {task.done / task.seconds:.1f}/s" if task.done > 1 else ""
    left = "" if task.seconds_left is None else f" · {duration(task.seconds_left)} left"
    return f"{task.title} · {task.done} of {task.total}{rate}{left}"


def demo_button(*, primary: bool, label: str = "Write the demo set") -> None:
    """The button that writes the demo set and makes it current; while it is written its progress, afterwards its error."""
    if running("demo"):
        return
    if st.button(label, type="primary" if primary else "secondary", icon=":material/auto_awesome:", key="write_demo"):
        tasks.forget_task("demo")
        datasets.start_demo()
        st.rerun()
