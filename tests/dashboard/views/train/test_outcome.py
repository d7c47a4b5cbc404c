"""Train: how a run ended is said, with what to do."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
import torch
from builders.lab_pages import button, keys, open_page, set_status, texts, wait_for_job

from core.errors import TrainingFailed, UnreadableImage
from core.runs import Run
from core.training import loop
from core.training.failures import diverged
from core.training.trainer import Trainer
from dashboard.state import preferences, run_actions


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "kind", "said"),
    [
        ({"state": "stopped", "reason": "Stopped as asked."}, "info", "After 2 of 2 epochs: Stopped as asked."),
        ({"state": "failed", "reason": "The disk is full. Free some space."}, "error", "The disk is full. Free some space."),
        ({"state": "running", "heartbeat": 1.0}, "warning", "ended unexpectedly"),
    ],
)
def test_how_a_run_ended_is_said_with_its_reason_and_it_can_be_resumed(
    run: Run, changes: dict[str, Any], kind: str, said: str
) -> None:
    set_status(run, **changes)
    preferences.set("train:view", "Progress")
    app = open_page("train")
    assert not app.exception
    assert said in "\n".join(each.value for each in app.get(kind))
    assert "train:resume" in keys(app)


ENDINGS = {
    "disk full": (
        OSError(errno.ENOSPC, "No space left on device"),
        ["The disk is full (", "Free some space", "resume the run"],
    ),
    "read-only": (
        PermissionError(errno.EROFS, "Read-only file system"),
        ["cannot be written to (", "right to write", "resume the run"],
    ),
    "unreadable image": (
        UnreadableImage("p01_CC.png: no such file."),
        ["p01_CC.png: no such file", "as it was", "resume the run"],
    ),
    "diverged": (
        TrainingFailed(diverged("bf16")),
        ["NaN or infinite", "lower training.learning_rate", "training.precision=fp32"],
    ),
    "gpu memory": (
        torch.cuda.OutOfMemoryError("Tried to allocate 20 MiB"),
        ["GPU ran out of memory", "smaller training.batch_size"],
    ),
    "memory": (MemoryError("can't allocate memory"), ["computer ran out of memory", "smaller training.batch_size"]),
}


@pytest.mark.slow_but("disk full-False")
@pytest.mark.parametrize(
    ("name", "writable"),
    [
        ("diverged", True),
        ("disk full", False),
        *(
            pytest.param(name, writable, marks=pytest.mark.slow)
            for name in ENDINGS
            for writable in (True, False)
            if (name, writable) not in (("diverged", True), ("disk full", False))
        ),
    ],
)
def test_what_ended_a_training_is_said_on_both_pages_with_advice_and_nothing_is_lost(
    data: Path, monkeypatch: pytest.MonkeyPatch, name: str, writable: bool
) -> None:
    error, said = ENDINGS[name]

    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def fail(trainer: Trainer, *arguments: Any) -> dict[str, Any]:
        if trainer.state.epoch < 2:
            return real(trainer, *arguments)
        if not writable:
            broken.setattr("core.runs.status.write_text", refuse)
            broken.setattr("core.runs.event_log._write_all", refuse)
        raise error

    real = loop.step_metrics
    with monkeypatch.context() as broken:
        broken.setattr(loop, "step_metrics", fail)
        app = open_page("train")
        button(app, "train:start").click().run()
        run = wait_for_job()
        app.run()
    words = app.error[0].value.replace("\\", "")
    assert words.startswith("The training failed. ") and "It can still be used." in words
    assert all(each in words for each in said), words
    assert {"train:resume", "train:evaluate"} <= keys(app)
    runs = open_page("runs", runs__selected=[run.name])
    assert all(each in texts(runs).replace("\\", "") for each in said)
    assert all(each in runs.dataframe[0].value["State detail"].iloc[0] for each in said)
    assert "runs:resume" in keys(runs)
    run_actions.start_training(run)
    assert wait_for_job().status().state == "done"
