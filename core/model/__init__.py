"""Networks: build them, give them weights, save and load them."""

from core.model.build import SUGGESTED, build_model, check_name, known_models
from core.model.classifier import Classifier, as_input, model_lock
from core.model.device import pick_device
from core.model.store import has_model, load_model, read_card, save_model, update_card
from core.model.weights import check_weights

__all__ = [
    "SUGGESTED",
    "Classifier",
    "as_input",
    "build_model",
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
