"""The mark of a model whose training was allowed to start although images of one person, or copies, stand in several splits.

One sentence, which stands wherever metrics of such a run do: on every page, in the report, on the command line and in JSON.
"""

from __future__ import annotations

from pathlib import Path

from core.metrics.chance import chance_of_model, warning_of
from core.metrics.frozen import Frozen

HEADLINE = "Leakage between splits was allowed"


def leakage_of_model(card: Frozen) -> str:
    """What leaks between the splits of the model of a card (model.json), in words; "" where nothing does, or nobody looked."""
    return card.leakage or ""


def leakage_warning_of(reason: str) -> str:
    """The sentence to show for what `leakage_of_model` gave; "" for ""."""
    return f"{HEADLINE}: {reason}. Validation and test metrics of this run are too optimistic." if reason else ""


def warnings_of_model(card: Frozen, folder: Path | None = None) -> list[str]:
    """What stands beside every metric of the model: that it is not shown to be better than chance, and that its splits leak."""
    found = (leakage_warning_of(leakage_of_model(card)), warning_of(chance_of_model(card, folder)))
    return [warning for warning in found if warning]
