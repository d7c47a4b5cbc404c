"""What a training says of a step and of an epoch: the fields of those events."""

from __future__ import annotations

from typing import Any

from core.training.throughput import Pace, seconds_left
from core.training.trainer import Trainer
from core.training.validation import Validation


def of_step(trainer: Trainer, pace: Pace) -> dict[str, Any]:
    """Fields of a "step" event.

    Raises:
        TrainingFailed: the loss is no number any more.
    """
    progress = trainer.progress
    return {
        "epoch": progress.epoch,
        "step": progress.step,
        "steps": trainer.steps,
        "global_step": progress.global_step,
        "loss": trainer.window_loss,
        "epoch_loss": trainer.mean_loss(),
        "learning_rate": trainer.learning_rate,
        "images_per_second": round(pace.images_per_second, 2),
        "eta_seconds": time_left(trainer, pace),
        **trainer.machine.memory(),
    }


def of_epoch(trainer: Trainer, pace: Pace, result: Validation, *, best: bool) -> dict[str, Any]:
    """Fields of an "epoch" event, the last thing said before `trainer.next_epoch`."""
    progress = trainer.progress
    assert trainer.phase is not None
    return {
        "epoch": progress.epoch,
        "epochs": trainer.config.training.epochs,
        "phase": trainer.phase.name,
        "train_loss": trainer.mean_loss(),
        "val_loss": result.figures["loss"],
        "val": result.figures,
        "best": best,
        "best_epoch": progress.best_epoch,
        "seconds": round(progress.epoch_seconds + progress.validation_seconds, 2),
        "images_per_second": round(progress.loss_count / progress.epoch_seconds, 2) if progress.epoch_seconds else 0.0,
        "eta_seconds": time_left(trainer, pace),
    }


def time_left(trainer: Trainer, pace: Pace) -> float | None:
    """Seconds to the end of the training, to a tenth; None while nothing is known."""
    progress, epochs = trainer.progress, trainer.config.training.epochs
    assert trainer.phase is not None
    count = len(trainer.rows.train)
    left = seconds_left(
        pace.images_per_second,
        images=max(0, count - progress.loss_count) + (trainer.phase.last_epoch - progress.epoch) * count,
        later_unfrozen_images=(epochs - trainer.phase.last_epoch) * count,
        later_rate=trainer.features.images_per_second if trainer.features is not None else None,
        validations=epochs - progress.epoch + 1,
        validation_seconds=progress.validation_seconds,
    )
    return None if left is None else round(left, 1)
