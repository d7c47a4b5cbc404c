"""The monitor of a training: phase, progress and epoch from its status and events."""

from __future__ import annotations

import time
from typing import Any

import pytest

from core.runs import Run
from core.runs.status import Status
from dashboard.cache import results, run_monitor
from dashboard.cache.run_monitor import progress

AT_THE_GATE = {
    "step": {"seq": 9, "epoch": 4, "step": 10, "steps": 10},
    "epoch": {"seq": 10, "epoch": 4},
    "prepare": {"seq": 11, "done": 5, "total": 20, "what": "gate"},
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "said"),
    [
        ({}, "the images are prepared"),
        ({"what": "hashes"}, "the images are prepared"),
        ({"what": "features"}, "the features are stored"),
    ],
)
def test_a_pause_before_the_first_step_is_not_called_preparing(run: Run, what: dict[str, str], said: str) -> None:
    last = {"prepare": {"seq": 9, "done": 256, "total": 256} | what}
    share, words = progress(Status(state="paused", epochs=3), last)
    assert (share, words) == (0.0, f"Paused before the first step · {said}")
    assert not progress(Status(state="running", epochs=3), last)[1].startswith("Paused")


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ({}, "Preparing images"),
        ({"what": "hashes"}, "Looking for the same image in two splits"),
        ({"what": "features"}, "Images through the frozen network, once"),
    ],
)
def test_what_comes_before_the_first_step_is_said_with_its_progress(what: dict[str, str], said: str) -> None:
    last = {"prepare": {"seq": 9, "done": 1024, "total": 4096} | what}
    assert progress(Status(state="running", epochs=3), last) == (0.25, f"{said} · 1,024 of 4,096")


def test_a_resumed_run_starts_its_curves_anew(run: Run) -> None:
    before = results.monitor(run).count
    lines = (run.path / "events.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (run.path / "events.jsonl").write_text("".join(lines[:4]), encoding="utf-8")
    assert before > 4
    assert results.monitor(run).count == 4


@pytest.mark.parametrize(
    ("last", "epoch", "phase", "share", "doing"),
    [
        ({}, 1, "Start", 0.0, ""),
        ({"prepare": {"seq": 1, "done": 5, "total": 10}}, 1, "Prepare images", 0.5, ""),
        ({"step": {"seq": 2, "epoch": 1, "step": 5, "steps": 10}}, 1, "Train", 0.45 / 4, ""),
        ({"step": {"seq": 2, "epoch": 1, "step": 10, "steps": 10}}, 1, "Validate", 0.9 / 4, ""),
        ({"step": {"seq": 2, "epoch": 1, "step": 10, "steps": 10}, "epoch": {"seq": 3, "epoch": 1}}, 2, "Train", 0.25, ""),
        (
            {"step": {"seq": 9, "epoch": 4, "step": 10, "steps": 10}, "epoch": {"seq": 8, "epoch": 3}},
            4,
            "Validate",
            3.9 / 4,
            "",
        ),
        (AT_THE_GATE, 4, "Input gate", 0.25, "gate"),
    ],
)
def test_one_epoch_is_counted_and_validation_is_part_of_the_bar(
    last: dict[str, Any], epoch: int, phase: str, share: float, doing: str
) -> None:
    status = Status(state="running", phase=doing, epochs=4, heartbeat=time.time() + 600, host="elsewhere", pid=1)
    assert status.live
    assert run_monitor.current_epoch(status, last) == epoch and run_monitor.phase(status, last) == phase
    done, words = run_monitor.progress(status, last)
    assert done == pytest.approx(share)
    if doing:
        assert "should not judge" in words and "5 of 20" in words
    elif "step" in last:
        assert f"Epoch {epoch} of 4" in words
