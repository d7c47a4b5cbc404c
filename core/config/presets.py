"""Ways to begin a training without knowing every setting: what of a configuration each of them sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.config.schema import Config


@dataclass(frozen=True)
class Preset:
    """A name and a sentence for people, and what it sets: {dotted path: value}; all else stays as in config.yaml."""

    title: str
    about: str
    values: Mapping[str, Any]


PRESETS: Mapping[str, Preset] = {
    "quick": Preset(
        "Quick demo",
        "Small images and few epochs: shows how training works, not how good a model can become.",
        {
            "model.name": "small_cnn",
            "model.weights": "none",
            "preprocessing.size": (256, 160),
            "training.epochs": 6,
            "training.patience": 0,
        },
    ),
    "standard": Preset("Standard", "The settings of config.yaml.", {}),
    "fine_tune": Preset(
        "Real images",
        "Fine-tunes EfficientNet-Lite0 from the ImageNet weights that come with MammoLab, without internet: the place to start "
        "with mammograms of patients.",
        {"model.name": "tf_efficientnet_lite0", "model.weights": "auto"},
    ),
    "thorough": Preset(
        "Thorough",
        "Larger images, more epochs, and more patience before training stops early: takes many times as long.",
        {"preprocessing.size": (768, 480), "training.epochs": 60, "training.patience": 12},
    ),
}


def with_preset(config: Config, preset: Preset) -> Config:
    """The configuration with what the preset sets.

    Raises:
        pydantic.ValidationError: a value is out of bounds.
    """
    nested = config.model_dump()
    for path, value in preset.values.items():
        section, name = path.split(".")
        nested[section][name] = value
    return Config.model_validate(nested)
