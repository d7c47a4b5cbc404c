"""Several processes train as one: the same figures, every image once, one writer."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from core.errors import TrainingFailed
from core.runs import Run
from core.training.distributed import World
from core.training.launchers import run_to_end

MakeRun = Callable[..., Run]

# Each run in turn, as `python -m core train --resume RUN` would; what every process has scored goes to a file of its own.
_SCRIPT = """
import sys
from pathlib import Path
import torch
from core.runs import Run
from core.training import loop, validation
from core.training.launchers import run_to_end
from core.training.distributed import World, leave

world = World.join()
loop.STEP_SECONDS = 0.0
real = validation.batches

def batches(*arguments, **options):
    for batch in real(*arguments, **options):
        scored.extend(batch.indices.tolist())
        yield batch

validation.batches = batches
for path in sys.argv[1:]:
    scored = []
    told = []
    def follow(event):
        told.append(event)
        if "stop" in path and event["type"] == "step" and event["global_step"] == 3:
            Run.open(path).request("stop")
    try:
        run_to_end(Run.open(path), on_event=follow)
    except Exception as error:
        Path(path, f"error{world.rank}.txt").write_text(f"{type(error).__name__}: {error}", encoding="utf-8")
    Path(path, f"scored{world.rank}.txt").write_text(" ".join(map(str, scored)), encoding="utf-8")
    Path(path, f"told{world.rank}.txt").write_text(str(len(told)), encoding="utf-8")
leave()
"""


def figures(run: Run) -> list[Any]:
    names = ("loss", "epoch_loss", "train_loss", "val_loss")
    return [event[name] for event in run.events() if event["type"] in ("step", "epoch") for name in names if name in event]


def train_in_two(*runs: Run) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    script = runs[0].path.parent / "train.py"
    script.write_text(_SCRIPT, encoding="utf-8")
    done = subprocess.run(
        [*launcher, str(script), *(str(run.path) for run in runs)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_two_processes_make_the_losses_of_one_with_the_doubled_batch(
    make_run: MakeRun, every_step: None, frame: pd.DataFrame
) -> None:
    """18 training images in batches of 4 + 4: the last, of 2, is shared too; 10 to validate on; weighted losses.

    The head has 17 and 9: of the frozen network's last batches the second process has none.
    """
    first = make_run("first", training__epochs=1)
    run_to_end(first)
    common: dict[str, Any] = {"model__dropout": 0, "training__patience": 0, "training__advanced__ema_decay": 0.5}
    kinds: dict[str, dict[str, Any]] = {
        "scratch": {"training__advanced__accumulation_steps": 2},
        # 5 a batch leave 8 for the last one, 3 a batch 0: neither fills both processes' batches.
        "odd": {"training__batch_size": 5, "training__loss": "focal"},
        "head": {
            "model__weights": (first.path / "model.safetensors").as_posix(),
            "training__epochs": 3,
            "training__freeze_epochs": 2,
            "rows": frame.drop(index=[16, 26]).reset_index(drop=True),
        },
    }
    alone, together = [], []
    for name, changes in kinds.items():
        settings = common | changes
        size = settings.pop("training__batch_size", 4)
        alone.append(make_run(f"{name}-alone", training__batch_size=2 * size, **settings))
        together.append(make_run(f"{name}-together", training__batch_size=size, **settings))
    stopped = make_run("stop", training__patience=0)
    broken = make_run("broken")
    (broken.path / "manifest.csv").write_text("path,label\n", encoding="utf-8")
    for run in alone:
        run_to_end(run)
    train_in_two(*together, stopped, broken)
    for one, two in zip(alone, together, strict=True):
        assert (two.status().state, two.status().launcher) == ("done", "torchrun")
        assert figures(two) == pytest.approx(figures(one), rel=1e-4), two.name
        assert len(figures(two)) == len(figures(one)) > 8
        shares = [(two.path / f"scored{rank}.txt").read_text(encoding="utf-8").split() for rank in (0, 1)]
        if "head" not in two.name:  # where validation is from stored features
            epochs = two.config().training.epochs
            assert sorted(map(int, shares[0] + shares[1])) == sorted(list(range(10)) * epochs)
            assert len(shares[0]) == len(shares[1])
        assert [(two.path / f"told{rank}.txt").read_text(encoding="utf-8") for rank in (0, 1)] == [str(len(two.events())), "0"]
        assert two.model_card().best_epoch == one.model_card().best_epoch
    assert stopped.status().state == "stopped"
    assert [event["global_step"] for event in stopped.events() if event["type"] == "step"][-1] == 3
    assert broken.status().state == "failed"
    errors = [(broken.path / f"error{rank}.txt").read_text(encoding="utf-8") for rank in (0, 1)]
    assert errors[0].startswith("BadManifest") and errors[1].startswith("BadManifest")


def test_one_process_is_a_world_of_its_own() -> None:
    world = World.join()
    assert (world.rank, world.size, world.first, world.local_rank, world.local_size) == (0, 1, True, 0, 1)
    assert world.decide(True, False) == (True, False)
    assert world.share(lambda: 7) == 7
    with pytest.raises(KeyError):
        world.share(lambda: {}["gone"])


def test_processes_that_cannot_meet_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(TrainingFailed, match="torchrun"):
        World.join()
