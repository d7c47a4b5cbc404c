"""A training that computes nothing: its metrics follow from its settings. For what is about many runs, not about one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pandas as pd

from core.config import Config
from core.runs import Run
from core.runs.status import Status

AucOf = Callable[[Config, int], float]


def auc_of(config: Config, epoch: int) -> float:
    """Best at a learning rate of 0.01; it rises with the epochs."""
    return round(0.9 - 0.1 * abs(math.log10(config.training.learning_rate / 0.01)) - 0.05 / epoch, 6)


def faked(auc: AucOf = auc_of, *, killed: Callable[[Run, int], bool] = lambda run, epoch: False) -> Callable[..., Status]:
    """In place of `core.training.launchers.run_to_end`. `killed` after an epoch of a run: it ends there as if by kill -9."""

    def run_to_end(
        run: Run,
        *,
        resume: bool = False,
        on_event: Any = None,
        queue: bool = True,
        on_acquired: Callable[[], None] | None = None,
    ) -> Status:
        lock = run.acquire()
        try:
            run.require_startable(resume=resume)
            run.withdraw("stop")
            if on_acquired is not None:
                on_acquired()
            config, reached = run.config(), run.status().epoch
            epochs = config.training.epochs
            values = [auc(config, epoch) for epoch in range(1, epochs + 1)]
            for epoch in range(reached + 1, epochs + 1):
                run.set_status(state="stopped", epoch=epoch, epochs=epochs)
                event = {"type": "epoch", "epoch": epoch, "epochs": epochs, "val": {config.training.monitor: values[epoch - 1]}}
                on_event(event | {"best": False, "train_loss": 0.5, "val_loss": 0.5, "images_per_second": 1.0})
                if killed(run, epoch):
                    raise KeyboardInterrupt
                if run.requested("stop"):
                    return run.status()
            best = min(values) if config.training.monitor == "loss" else max(values)
            _predict(run, best)
            run.set_status(state="done", reason="", best_value=best)
            return run.status()
        finally:
            lock.release()

    return run_to_end


def _predict(run: Run, auc: float) -> None:
    """Scores of the validation images, the better the higher `auc` is."""
    rows = run.manifest().query("split == 'val'")
    malignant = (rows["label"] == "malignant").astype("float64")
    wobble = pd.Series(range(len(rows)), index=rows.index) * 7 % 10 / 10
    path = run.path / "predictions" / "val.csv"
    path.parent.mkdir(exist_ok=True)
    rows.assign(score=((1 + (2 * malignant - 1) * (auc - 0.5)) / 3 + 0.3 * wobble).round(6)).to_csv(path, index=False)
