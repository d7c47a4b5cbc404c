"""Which epoch is the best, and when a training gives up: the rules, without a training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from builders.toy_training import toy_config

from core.training.best_checkpoint import BestCheckpoint
from core.training.checkpoint import TrainState
from core.training.early_stopping import EarlyStopping
from core.training.image_preparation import Rows
from core.training.phases import Phase
from core.training.timing import Throttle
from core.training.validation import Validation


def epochs(tmp_path: Path, monitor: str, metrics: list[tuple[float, float]]) -> list[tuple[bool, int]]:
    """(best so far, epochs without improvement) after each epoch with this AUC and loss."""
    config = toy_config(tmp_path, training__monitor=monitor, training__patience=2)
    state, rows = TrainState(), Rows(*[None] * 4)  # type: ignore[arg-type]
    best, stopping = BestCheckpoint(tmp_path, state, config, rows, writes=False), EarlyStopping(state, config.training)
    found = []
    for state.epoch, (auc, loss) in enumerate(metrics, start=1):
        result = Validation(np.zeros(1), {"auc": auc, "loss": loss}, 0.5)
        stopping.update(best.improvement(result) > 0)
        found.append((best.update(torch.nn.Identity(), result), state.stale))  # type: ignore[arg-type]
    return found


def test_a_higher_auc_is_better_and_of_equal_ones_the_lower_loss(tmp_path: Path) -> None:
    found = epochs(tmp_path, "auc", [(0.6, 0.7), (0.6, 0.6), (0.6, 0.65), (0.8, 0.9), (0.7, 0.1)])
    assert found == [(True, 0), (True, 1), (False, 2), (True, 0), (False, 1)]


def test_a_lower_loss_is_better_and_one_that_falls_by_less_than_a_millionth_is_not(tmp_path: Path) -> None:
    found = epochs(tmp_path, "loss", [(0.9, 0.7), (0.1, 0.6), (0.9, 0.6 - 1e-7), (0.9, 0.65)])
    assert found == [(True, 0), (True, 0), (False, 1), (False, 2)]


@pytest.mark.parametrize(
    ("last_epoch", "stale", "patience", "stops"),
    [(9, 2, 2, True), (9, 1, 2, False), (9, 5, 0, False), (5, 2, 2, False)],
    ids=["patience is over", "not yet", "no early stopping", "another phase follows"],
)
def test_it_stops_once_patience_is_over_in_the_last_phase(
    tmp_path: Path, last_epoch: int, stale: int, patience: int, stops: bool
) -> None:
    config = toy_config(tmp_path, training__epochs=9, training__patience=patience).training
    stopping = EarlyStopping(TrainState(stale=stale), config)
    assert stopping.triggered(Phase("head", 1, last_epoch, 1e-3, 1e-3)) is stops
    stopping.restart()
    assert not stopping.triggered(Phase("head", 1, 9, 1e-3, 1e-3))


def test_a_throttle_lets_the_first_through_and_then_one_in_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 5.0, 6.0, 7.0, 12.0])
    monkeypatch.setattr("core.training.timing.time.monotonic", lambda: next(clock))
    throttle = Throttle(5.0)
    assert [throttle.due(), throttle.due(), throttle.due()] == [True, False, True]
    assert [throttle.due(), throttle.due(force=True), throttle.due()] == [False, True, True]
