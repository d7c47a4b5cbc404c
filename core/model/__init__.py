"""Networks: build them, give them weights, save and load them.

Each name is imported when it is first asked for: a model's card can be read without torch (`core.model.card`).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.model.build import SUGGESTED, build_model, check_model, check_name, known_models
    from core.model.card import ModelCard, has_model, read_card
    from core.model.classifier import Classifier, as_input, model_lock
    from core.model.device import pick_device
    from core.model.store import load_model, save_model, update_card
    from core.model.weights.sources import check_weights

__all__ = [
    "SUGGESTED",
    "Classifier",
    "ModelCard",
    "as_input",
    "build_model",
    "check_model",
    "check_name",
    "check_weights",
    "has_model",
    "known_models",
    "load_model",
    "model_lock",
    "pick_device",
    "read_card",
    "save_model",
    "update_card",
]

_LATE = {
    "SUGGESTED": "build",
    "build_model": "build",
    "check_model": "build",
    "check_name": "build",
    "known_models": "build",
    "ModelCard": "card",
    "has_model": "card",
    "read_card": "card",
    "Classifier": "classifier",
    "as_input": "classifier",
    "model_lock": "classifier",
    "pick_device": "device",
    "load_model": "store",
    "save_model": "store",
    "update_card": "store",
    "check_weights": "weights.sources",
}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"core.model.{_LATE[name]}"), name)
