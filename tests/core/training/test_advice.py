"""Warnings in words: when they come, and that they do not come twice."""

from __future__ import annotations

import pandas as pd
import pytest

from core.config import TrainingConfig
from core.training import advice
from core.training.checkpoint import TrainState
from core.training.phases import Phase

PHASE = Phase("scratch", 1, 30, 1e-3, 1e-3)


def told_by_epoch(train: list[float], val: list[float], phase: Phase = PHASE) -> list[tuple[int, str]]:
    """(epoch, what about) of everything said while these losses came in."""
    told = []
    for epoch in range(phase.first_epoch, len(val) + 1):
        state = TrainState(epoch=epoch, train_losses=train[:epoch], val_losses=val[:epoch])
        told += [(epoch, warning["about"]) for warning in advice.about_losses(state, phase)]
    return told


def test_overfitting_is_said_once_three_epochs_after_the_lowest_validation_loss() -> None:
    train = [0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05]
    val = [0.7, 0.65, 0.60, 0.63, 0.66, 0.70, 0.75, 0.80]
    assert told_by_epoch(train, val) == [(6, "overfitting")]
    state = TrainState(epoch=6, train_losses=train[:6], val_losses=val[:6])
    (warning,) = advice.about_losses(state, PHASE)
    assert "since epoch 3" in warning["message"] and "0.600 to 0.700" in warning["message"]


@pytest.mark.parametrize(
    ("train", "val"),
    [
        ([0.7, 0.6, 0.65, 0.7, 0.75, 0.8], [0.7, 0.6, 0.7, 0.8, 0.9, 1.0]),  # the training loss rises too
        ([0.7, 0.6, 0.5, 0.4, 0.3, 0.2], [0.7, 0.6, 0.605, 0.604, 0.606, 0.605]),  # within the noise
        ([0.7, 0.6, 0.5, 0.4], [0.6, 0.65, 0.7, 0.59]),  # it came back
    ],
)
def test_what_is_no_overfitting_is_not_called_so(train: list[float], val: list[float]) -> None:
    assert told_by_epoch(train, val) == []


def test_overfitting_is_said_again_after_a_new_best_epoch() -> None:
    val = [0.6, 0.7, 0.7, 0.7, 0.5, 0.6, 0.6, 0.6]
    train = [0.7 - 0.05 * epoch for epoch in range(len(val))]
    assert told_by_epoch(train, val) == [(4, "overfitting"), (8, "overfitting")]


def test_a_standstill_is_said_once_and_not_at_the_end_of_a_phase() -> None:
    losses = [0.9, 0.8, *[0.693 + 0.0005 * (epoch % 2) for epoch in range(12)]]
    assert told_by_epoch(losses, losses) == [(8, "plateau")]
    assert told_by_epoch(losses, losses, Phase("scratch", 1, 9, 1e-3, 1e-3)) == []


def test_a_phase_is_judged_by_its_own_epochs() -> None:
    train, val = [0.1, 0.1, 0.7, 0.6, 0.5], [0.1, 0.1, 0.7, 0.6, 0.5]
    assert told_by_epoch(train, val, Phase("fine_tune", 3, 9, 1e-3, 1e-3)) == []


@pytest.mark.parametrize(
    ("imbalance", "malignant", "expected"),
    [
        ("none", 10, ["imbalance"]),
        ("none", 90, ["imbalance"]),
        ("none", 30, []),
        ("weights", 10, ["imbalance"]),  # less than two of them in the 16 of an update
        ("weights", 20, []),
        ("sampler", 10, []),
    ],
)
def test_a_rare_class_that_nothing_or_more_than_weights_makes_up_for_is_said(
    imbalance: str, malignant: int, expected: list[str]
) -> None:
    train = pd.DataFrame({"label": ["malignant"] * malignant + ["benign"] * (100 - malignant)})
    told = advice.about_classes(train, TrainingConfig(imbalance=imbalance))
    assert [warning["about"] for warning in told] == expected
    assert all("10 of 100" in warning["message"] for warning in told)


def test_waiting_for_images_is_said_once_a_run_when_it_costs_something() -> None:
    def told(wait: float, epoch: float) -> list[str]:
        state = TrainState(wait_seconds=wait, epoch_seconds=epoch)
        first = [warning["message"] for warning in advice.about_waiting(state, 1)]
        assert advice.about_waiting(state, 1) == [] or not first
        return first

    assert told(0.5, 1.0) == [], "half of nothing is nothing"
    assert told(10.0, 100.0) == []
    (message,) = told(30.0, 100.0)
    assert "30%" in message and "1 thread " in message
