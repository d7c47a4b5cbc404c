"""What every section about results asks: the levels that say something, and the words for a part that is missing."""

from __future__ import annotations

from core.evaluate import Evaluation
from core.metrics import Summary
from core.report.document import Missing
from core.report.material import Material


def levels_of(material: Material, evaluation: Evaluation) -> dict[str, Summary | str]:
    """The levels that say something: without patients, breasts and patients are images under another name."""
    return {level: each for level, each in evaluation.levels.items() if level == "image" or material.patients_known}


def absent(material: Material, what: str) -> Missing:
    evaluation = material.shown
    if evaluation is None:
        return Missing(f"{what}: no split has been evaluated yet. {material.command('evaluate {run}')} does it.")
    again = material.command(f"evaluate {{run}} --split {evaluation.split}")
    return Missing(
        f"{what}: not part of this evaluation, which an earlier version made. {again} adds it, and counts as an access to the "
        "test set."
    )
