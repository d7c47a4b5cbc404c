"""Several processes train as one: the same losses, every image once, one writer."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from builders.toy_breasts import draw_breasts
from builders.toy_training import draw_frame, toy_config

from core.errors import TrainingFailed
from core.runs import Run
from core.training.distributed import World
from core.training.launchers import run_to_end
from core.training.timing import LoopTiming

# Each run in turn, as `python -m core train --resume RUN` would; what every process has scored goes to a file of its own.
_SCRIPT = """
import sys
from pathlib import Path
from core.runs import Run
from core.training import validation
from core.training.distributed import World, destroy_process_group
from core.training.launchers import run_to_end
from core.training.timing import LoopTiming

world = World.join()
real = validation.batches

def batches(*arguments, **options):
    for batch in real(*arguments, **options):
        scored.extend(batch.indices.tolist())
        yield batch

validation.batches = batches
for path in sys.argv[1:]:
    scored, reported = [], []
    def follow(event):
        reported.append(event)
        if "stop" in path and event["type"] == "step" and event["global_step"] == 3:
            Run.open(path).request("stop")
    try:
        run_to_end(Run.open(path), on_event=follow, world=world, timing=LoopTiming(between_steps=0.0))
    except Exception as error:
        Path(path, f"error{world.rank}.txt").write_text(f"{type(error).__name__}: {error}", encoding="utf-8")
    Path(path, f"scored{world.rank}.txt").write_text(" ".join(map(str, scored)), encoding="utf-8")
    Path(path, f"reported{world.rank}.txt").write_text(str(len(reported)), encoding="utf-8")
destroy_process_group()
"""
# 18 training images in batches of 4 + 4: the last, of 2, is shared too; 10 to validate on; weighted losses.
_KINDS: dict[str, dict[str, Any]] = {
    "scratch": {"training__advanced__accumulation_steps": 2},
    # 5 a batch leave 8 for the last one, 3 a batch 0: neither fills both processes' batches.
    "odd": {"training__batch_size": 5, "training__loss": "focal"},
    # Without two images it has 17 and 9: of the frozen network's last batches the second process has none.
    "head": {"training__epochs": 3, "training__freeze_epochs": 2},
    "breasts": {"model__views": 2, "model__fusion": "attention"},
}


def losses(run: Run) -> list[Any]:
    names = ("loss", "epoch_loss", "train_loss", "val_loss")
    return [event[name] for event in run.events() if event["type"] in ("step", "epoch") for name in names if name in event]


def written(run: Run, name: str) -> list[str]:
    """What each process has written under this name."""
    return [(run.path / f"{name}{rank}.txt").read_text(encoding="utf-8") for rank in (0, 1)]


def train_in_two(runs: Iterable[Run], script: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    script.write_text(_SCRIPT, encoding="utf-8")
    command = [*launcher, str(script), *(str(run.path) for run in runs)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Trainings by name: each kind in one process with the doubled batch ("scratch alone") and in two ("scratch"); one that
    is stopped, and one whose manifest is damaged. One launch for all: it takes longer than any of them.
    """
    folder = tmp_path_factory.mktemp("distributed")
    frame = draw_frame(folder / "images")
    common: dict[str, Any] = {"model__dropout": 0, "training__patience": 0, "training__advanced__ema_decay": 0.5}

    def make(name: str, rows: pd.DataFrame = frame, **changes: Any) -> Run:
        return Run.create(toy_config(folder / "runs", **changes), rows, name=name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAMMOLAB_HOME", str(folder / "home"))
        patch.setenv("MAMMOLAB_CACHE", str(folder / "cache"))
        first = make("first", training__epochs=1)
        run_to_end(first)
        alone, together = {}, {}
        for name, changes in _KINDS.items():
            settings, rows = common | changes, frame
            size = settings.pop("training__batch_size", 4)
            if name == "head":
                settings["model__weights"] = (first.path / "model.safetensors").as_posix()
                rows = frame.drop(index=[16, 26]).reset_index(drop=True)
            if name == "breasts":
                rows = draw_breasts(folder / "breasts")
            alone[f"{name} alone"] = make(f"{name}-alone", rows, training__batch_size=2 * size, **settings)
            together[name] = make(f"{name}-together", rows, training__batch_size=size, **settings)
        together |= {"stopped": make("stop", training__patience=0), "broken": make("broken")}
        (together["broken"].path / "manifest.csv").write_text("path,label\n", encoding="utf-8")
        for run in alone.values():
            run_to_end(run, timing=LoopTiming(between_steps=0.0))
        train_in_two(together.values(), folder / "train.py")
    return alone | together


@pytest.mark.slow
@pytest.mark.parametrize("kind", _KINDS)
def test_two_processes_make_the_losses_of_one_with_the_doubled_batch(runs: dict[str, Run], kind: str) -> None:
    one, two = runs[f"{kind} alone"], runs[kind]
    assert (two.status().state, two.status().launcher) == ("done", "torchrun")
    assert losses(two) == pytest.approx(losses(one), rel=1e-4)
    assert len(losses(two)) == len(losses(one)) > 8
    assert written(two, "reported") == [str(len(two.events())), "0"]
    assert two.model_card().best_epoch == one.model_card().best_epoch


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in _KINDS if kind != "head"])  # which validates stored features
def test_each_process_scores_its_share_of_the_validation_images(runs: dict[str, Run], kind: str) -> None:
    shares = [share.split() for share in written(runs[kind], "scored")]
    epochs = runs[kind].config().training.epochs
    samples = 12 if kind == "breasts" else 10
    assert sorted(map(int, shares[0] + shares[1])) == sorted(list(range(samples)) * epochs)
    assert len(shares[0]) == len(shares[1])


@pytest.mark.slow
def test_a_stop_ends_both_processes_after_the_same_step(runs: dict[str, Run]) -> None:
    assert runs["stopped"].status().state == "stopped"
    assert [event["global_step"] for event in runs["stopped"].events() if event["type"] == "step"][-1] == 3


@pytest.mark.slow
def test_an_error_of_the_first_process_is_raised_in_both(runs: dict[str, Run]) -> None:
    assert runs["broken"].status().state == "failed"
    assert all(error.startswith("BadManifest") for error in written(runs["broken"], "error"))


def test_one_process_is_a_world_of_its_own() -> None:
    world = World.join()
    assert (world.rank, world.size, world.is_rank_zero, world.local_rank, world.local_size) == (0, 1, True, 0, 1)
    assert world.broadcast(True, False) == (True, False)
    assert world.broadcast_object(lambda: 7) == 7
    with pytest.raises(KeyError):
        world.broadcast_object(lambda: {}["gone"])


def test_processes_that_cannot_meet_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(TrainingFailed, match="torchrun"):
        World.join()
