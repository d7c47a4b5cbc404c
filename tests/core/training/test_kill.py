"""A training process that is killed without warning, wherever it happens to be."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from builders.toy_training import EVERY_STEP

from core.runs import Run, list_runs
from core.training.launchers import run_to_end

# Checkpoints after every step, so that a kill falls into the writing of one more often than not.
_SCRIPT = """
import sys
from core.runs import Run
from core.training.launchers import run_to_end
from core.training.timing import LoopTiming
run_to_end(Run.open(sys.argv[1]), resume=True, timing=LoopTiming(between_steps=0.0, between_checkpoints=0.0))
"""


def start(run: Run) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    return subprocess.Popen([sys.executable, "-c", _SCRIPT, str(run.path)], env=environment, stdout=subprocess.PIPE)


def wait_for_steps(run: Run, count: int, process: subprocess.Popen[bytes]) -> None:
    reader = run.event_reader()
    deadline = time.monotonic() + 120
    seen = 0
    while seen < count and process.poll() is None:
        assert time.monotonic() < deadline, "the training does not move"
        seen += sum(event["type"] == "step" for event in reader.read())
        time.sleep(0.002)


def check_that_kills_change_nothing(make_run: Callable[..., Run], kills: int) -> None:
    epochs = 2 + kills
    whole, run = (make_run(name, training__epochs=epochs, training__patience=0) for name in ("whole", "run"))
    run_to_end(whole, timing=EVERY_STEP)
    moment = random.Random(kills)
    for _ in range(kills):
        process = start(run)
        done = len([event for event in run.events() if event["type"] == "step"])
        wait_for_steps(run, done + moment.randint(1, 4), process)
        time.sleep(moment.uniform(0.0, 0.05))
        assert process.poll() is None, "it ended before it could be killed"
        process.kill()
        process.communicate()
        assert run.status().state == "interrupted"
        assert [found.status().state for found in list_runs(run.path.parent) if found == run] == ["interrupted"]
    assert run_to_end(run, resume=True, timing=EVERY_STEP).state == "done"
    ends = [torch.load(path / "last.pt", weights_only=True)["model"] for path in (whole.path, run.path)]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
    reported = [
        [
            (event["epoch"], event.get("step"), event.get("loss"), event.get("val_loss"))
            for event in found.events()
            if event["type"] in ("step", "epoch")
        ]
        for found in (whole, run)
    ]
    assert reported[0] == reported[1]
    assert not list(run.path.glob(".*.tmp"))


@pytest.mark.slow
def test_killed_in_the_middle_and_resumed_it_ends_as_if_nothing_had_happened(make_run: Callable[..., Run]) -> None:
    check_that_kills_change_nothing(make_run, 1)


@pytest.mark.slow
def test_killed_twenty_times(make_run: Callable[..., Run]) -> None:
    check_that_kills_change_nothing(make_run, 20)
