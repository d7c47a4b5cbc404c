"""A warm epoch of ours against its ceilings (tensors in memory), a plain PyTorch loop and fastai, in turns.

Each contestant is a process of its own that rests while another one has its turn. In every round each trains for one
epoch, in alternating order, and a ratio is the median of the rounds' ratios: other work on the machine, as long as it
does not come and go within a round, cancels out. Ratios of processor seconds an image stand beside them, which other
work hardly touches.

The images are those of MAMMOLAB_EPOCH_MANIFEST (a manifest with labels and patients; the first 320 rows are taken), or
without it the synthetic demo set. MAMMOLAB_EPOCH_ROUNDS: how many rounds, 5.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.epoch_contestants import BATCH, CONTESTANTS, MODEL, SIZE, Task, Turn
from benchmarks.images import taken
from core.config import Config, load_config
from core.data import read_manifest
from core.demo import make_demo
from core.runs import Run

IMAGES, ROUNDS = 320, 5
MANIFEST, ROUNDS_SETTING = "MAMMOLAB_EPOCH_MANIFEST", "MAMMOLAB_EPOCH_ROUNDS"


def run() -> None:
    """Print images/s of each, and ours as a multiple of the others'."""
    rounds = int(os.environ.get(ROUNDS_SETTING, ROUNDS))
    names = list(CONTESTANTS)
    if importlib.util.find_spec("fastai") is None:
        names.remove("fastai")
        print("fastai is not installed and left out; to have it: python -m pip install fastai")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        base = Path(folder)
        manifest = taken(MANIFEST, base, IMAGES) or make_demo(base / "demo", patients=80)
        config = _config(base, manifest, epochs=rounds + 1)
        made = Run.create(config, read_manifest(config.data.manifest), name="ours")
        ours = stack.enter_context(_contestant("ours", Task(str(made.path), "")))
        task = Task(str(made.path), ours.precision)
        contestants = {"ours": ours}
        for name in names:
            if name != "ours":
                contestants[name] = stack.enter_context(_contestant(name, task))
        print(f"{MODEL}, {SIZE} px, batches of {BATCH}; ours computes in {ours.precision}")
        results: dict[str, list[Turn]] = {name: [] for name in names}
        for number in range(rounds):
            for name in names if number % 2 == 0 else names[::-1]:
                results[name].append(contestants[name].turn())
            speeds = ", ".join(f"{name} {turns[-1].images / turns[-1].seconds:.1f}" for name, turns in results.items())
            print(f"round {number + 1}, images/s: {speeds}", flush=True)
    _tell(results)


def _tell(results: dict[str, list[Turn]]) -> None:
    for name, turns in results.items():
        speeds = [turn.images / turn.seconds for turn in turns]
        work = median(1000 * turn.processor / turn.images for turn in turns)
        print(f"{name:>14}: {median(speeds):5.1f} images/s, {work:4.0f} ms of a processor an image   ({CONTESTANTS[name]})")
    ours = results["ours"]
    for name, turns in results.items():
        if name == "ours":
            continue
        pairs = list(zip(ours, turns, strict=True))
        speed = [our.images / our.seconds * their.seconds / their.images for our, their in pairs]
        work = median(our.images / our.processor * their.processor / their.images for our, their in pairs)
        spread = f"{min(speed):.2f} to {max(speed):.2f}"
        print(f"ours / {name}: {median(speed):.2f} (rounds {spread}); by processor time {work:.2f}")


# ---------------------------------------------------------------------- the contestants' processes


@dataclass
class _Contestant:
    process: subprocess.Popen[str]
    precision: str

    def turn(self) -> Turn:
        """One epoch, while all others rest."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return Turn(**_answer(self.process))


@contextmanager
def _contestant(name: str, task: Task) -> Iterator[_Contestant]:
    """Started and warm."""
    command = [sys.executable, "-m", "benchmarks.epoch_contestants", name, task.run, task.precision]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield _Contestant(process, _answer(process)["precision"])
        finally:
            process.kill()


def _answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"{' '.join(map(str, process.args[2:4]))} ended; what it said is above")  # type: ignore[index]
    answer: dict[str, Any] = json.loads(line)
    return answer


# ---------------------------------------------------------------------- the images


def _config(base: Path, manifest: Path, epochs: int) -> Config:
    settings = {
        "checkpoints": (base / "runs").as_posix(),
        "data.manifest": manifest.as_posix(),
        "preprocessing.size": SIZE,
        "model.name": MODEL,
        "training.epochs": epochs,
        "training.batch_size": BATCH,
        "training.patience": 0,
    }
    return load_config(None, [f"{key}={value}" for key, value in settings.items()])
