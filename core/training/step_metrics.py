"""The events of a step and of an epoch, from the training they report on."""

from __future__ import annotations

from core.runs.events import EpochEvent, StepEvent
from core.training.throughput import Throughput, seconds_left
from core.training.trainer import Trainer
from core.training.validation import Validation


def step_metrics(trainer: Trainer, throughput: Throughput) -> StepEvent:
    """What to report of the step just made. Raises TrainingFailed: the loss is NaN or infinite."""
    state = trainer.state
    used, total = trainer.device.memory()
    return StepEvent(
        type="step",
        epoch=state.epoch,
        step=state.step,
        steps=trainer.steps,
        global_step=state.global_step,
        loss=trainer.loss.last,
        epoch_loss=trainer.loss.mean(),
        learning_rate=trainer.learning_rate,
        images_per_second=round(throughput.images_per_second * trainer.images_per_sample, 2),
        eta_seconds=eta_seconds(trainer, throughput),
        memory=used,
        memory_total=total,
    )


def epoch_metrics(trainer: Trainer, throughput: Throughput, result: Validation, train_loss: float, *, best: bool) -> EpochEvent:
    """What to report of the epoch just validated, before `trainer.next_epoch`."""
    state = trainer.state
    assert trainer.phase is not None
    return EpochEvent(
        type="epoch",
        epoch=state.epoch,
        epochs=trainer.config.training.epochs,
        phase=trainer.phase.name,
        train_loss=train_loss,
        val_loss=result.metrics["loss"],
        val={**result.metrics},
        best=best,
        best_epoch=state.best_epoch,
        seconds=round(state.epoch_seconds + state.validation_seconds, 2),
        images_per_second=round(trainer.images_per_sample * state.loss_count / max(state.epoch_seconds, 1e-9), 2)
        if state.epoch_seconds
        else 0.0,
        eta_seconds=eta_seconds(trainer, throughput),
    )


def eta_seconds(trainer: Trainer, throughput: Throughput) -> float | None:
    """Estimated seconds to the end of the training, to a tenth; None while nothing is known."""
    state, epochs = trainer.state, trainer.config.training.epochs
    assert trainer.phase is not None
    count = trainer.samples
    left = seconds_left(
        throughput.images_per_second,
        images=max(0, count - state.loss_count) + (trainer.phase.last_epoch - state.epoch) * count,
        later_unfrozen_images=(epochs - trainer.phase.last_epoch) * count,
        later_rate=trainer.features.images_per_second / trainer.images_per_sample if trainer.features is not None else None,
        validations=epochs - state.epoch + 1,
        validation_seconds=state.validation_seconds,
    )
    return None if left is None else round(left, 1)
