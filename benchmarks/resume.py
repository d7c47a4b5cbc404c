"""What it costs to be killed: a training in a process of its own ends without warning (kill -9) at random moments and is
resumed each time, beside one that is left alone; and what the checkpoints that make this possible cost.

Work lost counts from the last event that a checkpoint covers, or the first step since the last start, to the kill. Going
on counts from the start of the new process to its first step, Python's imports included. At the end the weights have to
be those of the run that was left alone, bit for bit, and the events the same, each once.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import psutil
import torch

from core.config import Config, load_config
from core.data import read_manifest
from core.demo import make_demo
from core.runs import Run
from core.runs.run import LAST
from core.training.checkpoint import load_checkpoint, save_checkpoint
from core.training.launchers import collect_children, run_to_end, start_process

KILLS = 5
LONGEST = 6.0  # seconds between the first step after a start and the kill
EPOCHS = 60
TIMED_EPOCHS, TURNS = 4, 2


def run() -> None:
    """Print seconds lost, seconds to go on, the share that checkpoints take, and whether anything has changed."""
    before = {name: os.environ.get(name) for name in ("MAMMOLAB_HOME", "MAMMOLAB_CACHE")}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ |= {"MAMMOLAB_HOME": str(folder / "home"), "MAMMOLAB_CACHE": str(folder / "cache")}
        try:
            make_demo(folder / "demo", patients=40, rows=400)
            _kills(folder)
            _checkpoints(folder)
        finally:
            for key, value in before.items():
                if value is None:
                    del os.environ[key]
                else:
                    os.environ[key] = value


def _make(folder: Path, name: str, epochs: int) -> Run:
    config = _config(folder, epochs)
    return Run.create(config, read_manifest(config.data.manifest), name=name)


def _config(folder: Path, epochs: int) -> Config:
    settings = {
        "checkpoints": (folder / "runs").as_posix(),
        "data.manifest": (folder / "demo" / "manifest.csv").as_posix(),
        "training.epochs": epochs,
        "training.patience": 0,
        "preprocessing.size": 128,
        "training.batch_size": 8,
        "training.precision": "fp32",  # which is quicker is a matter of the moment
    }
    return load_config(None, [f"{key}={value}" for key, value in settings.items()])


# ---------------------------------------------------------------- killed and resumed


def _kills(folder: Path) -> None:
    left_alone, killed = _make(folder, "left-alone", EPOCHS), _make(folder, "killed", EPOCHS)
    try:
        _compare(left_alone, killed)
    finally:
        for run in (left_alone, killed):
            if run.status().live or run.status().waiting:
                psutil.Process(run.status().pid).kill()


def _compare(left_alone: Run, killed: Run) -> None:
    start_process(left_alone)
    _wait(lambda: left_alone.status().state == "done", left_alone)
    moment = random.Random(0)
    lost, going_on, where = [], [], []
    for number in range(KILLS):
        seconds = _start(killed, resume=number > 0)
        stepped = time.time()
        if number:
            going_on.append(seconds)
        time.sleep(moment.uniform(0.2, LONGEST))
        if killed.status().state == "done":
            break
        psutil.Process(killed.status().pid).kill()
        at = time.time()
        _wait(lambda: collect_children() == 0, killed)
        lost.append(at - max(stepped, _saved(killed)))
        where.append(killed.status().epoch + 1)
        assert killed.status().state == "interrupted", killed.status()
    if killed.status().state != "done":
        going_on.append(_start(killed, resume=True))
        _wait(lambda: killed.status().state == "done", killed)
    print(f"{len(lost)} kills, in epochs {', '.join(map(str, where))} of {EPOCHS}")
    print(f"work lost: median {np.median(lost):.1f} s, most {max(lost):.1f} s")
    spent = [event.get("seconds") or 0.0 for event in left_alone.events() if event["type"] == "epoch"]
    print(f"  as a share of an epoch ({np.median(spent):.1f} s): median {np.median(lost) / np.median(spent):.2f}")
    print(f"new process to its first step: median {np.median(going_on):.1f} s, most {max(going_on):.1f} s")
    print(f"weights identical, bit for bit: {_same_weights(left_alone, killed)}")
    print(f"events the same, each once: {_told(left_alone) == _told(killed)}")


def _start(run: Run, *, resume: bool) -> float:
    """Start a process for the run; seconds until its first step is told."""
    reader = run.event_reader()
    reader.read()
    began = time.time()
    start_process(run, resume=resume)
    _wait(lambda: any(event["type"] == "step" and event["time"] >= began for event in reader.read()), run)
    return time.time() - began


def _saved(run: Run) -> float:
    """When the last thing happened that the checkpoint knows of; the beginning, when there is none."""
    checkpoint = load_checkpoint(run.path / LAST)
    covered = checkpoint[0].sequence if checkpoint else 1
    return float(next(event["time"] for event in run.events() if event["seq"] == max(1, covered)))


def _same_weights(*runs: Run) -> bool:
    first, second = (torch.load(run.path / LAST, weights_only=True)["model"] for run in runs)
    return all(torch.equal(first[name], second[name]) for name in first)


def _told(run: Run) -> list[tuple[Any, ...]]:
    """What each epoch and phase said. Steps are told by the clock, so which ones differs: here only that none comes twice."""
    events = run.events()
    numbers = [event["seq"] for event in events]
    steps = [event["global_step"] for event in events if event["type"] == "step"]
    whole = numbers == list(range(1, len(events) + 1)) and all(later > earlier for earlier, later in pairwise(steps))
    told = [event for event in events if event["type"] in ("phase", "epoch")]
    return [(whole,), *((each["type"], each.get("epoch"), each.get("train_loss"), each.get("val_loss")) for each in told)]


def _wait(until: Callable[[], bool], run: Run, seconds: float = 300) -> None:
    """Wait for something to become true. Raises RuntimeError when it does not, or the run fails."""
    end = time.monotonic() + seconds
    while not until():
        if time.monotonic() > end or run.status().state == "failed":
            raise RuntimeError(f"{run.name}: {run.status()}")
        time.sleep(0.02)


# ---------------------------------------------------------------- what checkpoints cost


def _checkpoints(folder: Path) -> None:
    """Epochs with their checkpoints and without, in turns, so that other work on the machine slows both."""
    spent: dict[bool, list[float]] = {True: [], False: []}
    saves: list[float] = []

    def timed(*arguments: Any) -> None:
        began = time.perf_counter()
        save_checkpoint(*arguments)
        saves.append(time.perf_counter() - began)

    def skip(*arguments: Any) -> None:
        return

    for turn in range(TURNS):
        for written in (True, False):
            with mock.patch("core.training.loop.save_checkpoint", timed if written else skip):
                spent[written] += _epochs(_make(folder, f"{'with' if written else 'without'}-{turn}", TIMED_EPOCHS + 1))
    with_them, without = min(spent[True]), min(spent[False])  # those that other work on the machine disturbed least
    size = (folder / "runs" / "with-0" / LAST).stat().st_size / 1e6
    print(f"an epoch with checkpoints {with_them:.2f} s, without {without:.2f} s: ratio {with_them / without:.3f}")
    print(f"  one of {size:.1f} MB takes {1000 * np.median(saves):.0f} ms: {np.median(saves) / with_them:.1%} of an epoch")


def _epochs(run: Run) -> list[float]:
    """Seconds from each epoch's end to the next one's: steps, validation, checkpoint and all."""
    marks: list[float] = []
    run_to_end(run, queue=False, on_event=lambda event: marks.append(time.perf_counter()) if event["type"] == "epoch" else None)
    return [later - earlier for earlier, later in pairwise(marks)]
