from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from core.errors import BadManifest
from dashboard.state import tasks


def finish(task: tasks.Task) -> tasks.Task:
    while task.running:
        time.sleep(0.005)
    return task


def test_a_task_reports_progress_and_keeps_its_result(workspace: Path) -> None:
    gate = threading.Event()

    def work(report: tasks.Report) -> str:
        report(3, 10)
        gate.wait(5)
        return "made"

    task = tasks.start_task("x", "Making", work)
    while not task.done:
        time.sleep(0.005)
    assert task.share == pytest.approx(0.3) and task.seconds_left is not None
    assert tasks.start_task("x", "Making", work) is task, "a second start joins the first"
    gate.set()
    assert finish(task).result == "made" and task.state == "done"


@pytest.mark.parametrize(("error", "text"), [(BadManifest("say this"), "say this"), (ValueError("odd"), "ValueError: odd")])
def test_a_failed_task_keeps_its_reason(workspace: Path, error: Exception, text: str) -> None:
    def work(report: tasks.Report) -> None:
        raise error

    assert finish(tasks.start_task("x", "Making", work)).error == text


def test_the_registry_is_one_even_when_its_module_is_loaded_again() -> None:
    import importlib

    before = tasks.live()
    importlib.reload(tasks)
    assert tasks.live() is before
