"""Model development: training curves, phases, best epoch, time."""

from __future__ import annotations

from core.report import figures
from core.report.document import Facts, Row, Section, Text
from core.report.material import Material
from core.report.sections.methods import training_time
from core.report.words import DASH
from core.runs.events import EpochEvent


def development(material: Material) -> Section:
    """Training curves, phases, best epoch, time."""
    card, epochs = material.card, material.epochs
    if card.members is not None:
        words = f"It is the mean of {len(card.members)} trained models and was not trained itself."
        return Section("development", "Model development", (Text(f"{words} Each of their runs has its own curves."),))
    if not epochs:
        return Section("development", "Model development", (Text("The run has no recorded training curve."),))
    last = epochs[-1]
    best = next((event for event in epochs if event["epoch"] == card.best_epoch), None)
    facts = [
        ("Epochs", f"{last['epoch']} of {material.config.training.epochs} planned"),
        ("Best epoch", f"{DASH if card.best_epoch is None else card.best_epoch}: its weights were saved"),
        ("Loss at the best epoch", _losses(best)),
        ("Loss at the last epoch", _losses(last)),
    ]
    if training_time(material):
        facts.append(("Time", training_time(material)))
    curves = Row(
        (
            figures.loss(
                "loss", material.events, "Loss by epoch. Training: each step pale, smoothed bold; validation after each epoch."
            ),
            figures.validation(
                "validation", material.events, "Validation metrics by epoch; stars mark the epoch whose weights were saved."
            ),
        )
    )
    return Section("development", "Model development", (Facts(tuple(facts)), curves))


def _losses(event: EpochEvent | None) -> str:
    train, val = (None, None) if event is None else (event.get("train_loss"), event.get("val_loss"))
    return f"training {_number(train)}, validation {_number(val)}"


def _number(value: float | None) -> str:
    return f"{value:.3f}" if isinstance(value, (int, float)) else DASH
