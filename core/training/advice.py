"""Warnings about a training: rare classes, small batches, overfitting, a plateau, waiting for images.

Each is a function of the losses and times so far, so that a resumed training warns of what the whole one would have.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from core.config import TrainingConfig
from core.data.batches import malignant_draws
from core.data.breasts import breasts_of
from core.model.card import StartingWeights
from core.runs.events import WarningEvent
from core.training.checkpoint import TrainState
from core.training.phases import Phase

_RISING = 3  # epochs that the validation loss has been above its lowest
_NOTICEABLE = 0.02  # relative
_FLAT = 5  # epochs
_MOVED = 0.005  # relative
_RARE = 0.2  # share of the rarer class
_LARGE_UPDATE = 128  # images; larger ones leave few updates in an epoch
_WAITING = 0.2  # share of an epoch's time
_WORTH_A_WARNING = 5.0  # seconds


def about_classes(train: pd.DataFrame, training: TrainingConfig, views: int = 1) -> list[WarningEvent]:
    """Before the first epoch: a class that is too rare to be learnt as things stand, among the training images, or with two
    `views` their breasts."""
    found = []
    labels = breasts_of(train).labels == 1 if views == 2 else train["label"] == "malignant"
    unit = "breast" if views == 2 else "image"
    count, malignant = len(labels), int(labels.sum())
    rarer = min(malignant, count - malignant)
    name = "malignant" if rarer == malignant else "benign"
    together = training.batch_size * training.advanced.accumulation_steps
    drawn = malignant_draws(malignant, count, together)
    drawn = min(drawn, count - drawn)
    if training.imbalance == "weights" and drawn > rarer:
        once = -(-2 * count // rarer)  # images of an update, from which on each of them comes once an epoch
        more = f"Set training.advanced.accumulation_steps to {-(-once // training.batch_size)} and each comes once an epoch. "
        message = (
            f"Only {rarer} of {count} training {unit}s are {name}: less than two in the {together} of an update. They are "
            f"drawn {drawn / rarer:.1f} times as often, and count {(count - drawn) / drawn:.1f} times as much as the others, "
            f"so that every update sees both classes. {more if once <= _LARGE_UPDATE else ''}With training.imbalance=sampler "
            f"they are drawn as often as the others. More {unit}s of that class help most."
        )
        found.append(WarningEvent(type="warning", about="imbalance", message=message))
    if training.imbalance == "none" and rarer < _RARE * count:
        message = (
            f"Only {rarer} of {count} training {unit}s are {name}, and nothing makes up for it: the network may learn to "
            f"call every {unit} the same. Set training.imbalance to weights or sampler."
        )
        found.append(WarningEvent(type="warning", about="imbalance", message=message))
    return found


def about_weights(record: StartingWeights | None) -> list[WarningEvent]:
    """Before the first epoch: parts of the network that the weights' file did not have."""
    if record is None or not record.missing:
        return []
    message = (
        f"Of the starting weights' file {record.name} only {record.loaded} of {record.wanted} tensors of the backbone were "
        f"loaded; the others begin at random: {', '.join(record.missing)}. Is it a file of exactly this architecture?"
    )
    return [WarningEvent(type="warning", about="weights", message=message)]


def about_batches(training: TrainingConfig, *, batch_norm: bool) -> list[WarningEvent]:
    """Before the first epoch: batches too small for the network's layers."""
    if training.batch_size > 1 or not batch_norm:
        return []
    message = (
        "Each batch is a single image, and this network normalises over batches: its statistics are those of one image, and "
        "where its maps have shrunk to one cell, those that it started with. Set training.batch_size to 8 or more, or choose "
        "small_cnn, which has no such layers. training.advanced.accumulation_steps does not help here."
    )
    return [WarningEvent(type="warning", about="batch_norm", message=message)]


def about_losses(state: TrainState, phase: Phase) -> list[WarningEvent]:
    """After an epoch, whose losses are the last ones in `state`: overfitting, or a standstill."""
    train, val = (losses[phase.first_epoch - 1 :] for losses in (state.train_losses, state.val_losses))
    found = []
    if _overfits(train, val) and not _overfitted_before(train, val):
        best = phase.first_epoch + min(range(len(val)), key=val.__getitem__)
        message = (
            f"Overfitting: since epoch {best} the validation loss has risen from {min(val):.3f} to {val[-1]:.3f} while the "
            "training loss still falls. The best epoch is kept; more augmentation, dropout, weight decay, or a smaller "
            "network or learning rate may help."
        )
        found.append(WarningEvent(type="warning", about="overfitting", message=message))
    left = phase.last_epoch - state.epoch
    if left >= _RISING and _stands_still(train, val) and not _stands_still(train[:-1], val[:-1]):
        message = (
            f"Plateau: neither loss has moved by {_MOVED:.1%} in {_FLAT} epochs (training {train[-1]:.3f}, validation "
            f"{val[-1]:.3f}), and {left} are left in this phase. A higher learning rate or a larger network may help."
        )
        found.append(WarningEvent(type="warning", about="plateau", message=message))
    return found


def about_waiting(state: TrainState, workers: int) -> list[WarningEvent]:
    """After an epoch: time that went by without a batch to compute on. Once a run."""
    if state.wait_warned or state.wait_seconds < max(_WORTH_A_WARNING, _WAITING * state.epoch_seconds):
        return []
    state.wait_warned = True
    share = state.wait_seconds / max(state.epoch_seconds, state.wait_seconds)
    message = (
        f"{share:.0%} of the epoch's time went by waiting for images ({workers} thread{'s' if workers > 1 else ''} make "
        "them). Is the cache on a slow or network disk (MAMMOLAB_CACHE), or the processor busy with something else?"
    )
    return [WarningEvent(type="warning", about="data_wait", message=message)]


def _overfits(train: Sequence[float], val: Sequence[float]) -> bool:
    if len(val) <= _RISING:
        return False
    best = min(range(len(val)), key=val.__getitem__)
    since = val[best + 1 :]
    return len(since) >= _RISING and min(since[-_RISING:]) > val[best] * (1 + _NOTICEABLE) and train[-1] < train[best]


def _overfitted_before(train: Sequence[float], val: Sequence[float]) -> bool:
    """Whether there was a warning already, since the epoch with the lowest validation loss."""
    best = min(range(len(val)), key=val.__getitem__)
    return any(_overfits(train[:end], val[:end]) for end in range(best + 1, len(val)))


def _stands_still(train: Sequence[float], val: Sequence[float]) -> bool:
    if len(val) <= _FLAT:
        return False
    return all(max(part) - min(part) < _MOVED * abs(part[0]) for part in (train[-_FLAT - 1 :], val[-_FLAT - 1 :]))
