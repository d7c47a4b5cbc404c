"""Loading a saved model: `load_model`, which draws no random weights first, against timm's usual way with the same file."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import timm
import torch
from safetensors.torch import load_file, save_file

from core.config import ModelConfig, Recipe
from core.model import build_model, load_model
from core.model.card import ModelCard
from core.model.store import save_model

MODELS = ("tf_efficientnet_lite0", "efficientnet_b0", "mobilenetv2_100", "resnet50", "densenet121")
ROUNDS = 7


def run() -> None:
    """Print processor seconds of both, by model, and their ratio: the median of rounds that take turns."""
    torch.set_num_threads(1)
    for name in MODELS:
        with tempfile.TemporaryDirectory() as folder:
            before, after = _compared(name, Path(folder))
        print(f"{name}: timm {before:.3f} s, load_model (file checked) {after:.3f} s; ratio {before / after:.1f}")


def _compared(name: str, folder: Path) -> tuple[float, float]:
    recipe, config = Recipe(size=(64, 64)), ModelConfig(weights="none", name=name)
    save_model(folder, build_model(config), ModelCard(model=config, recipe=recipe, recipe_hash=recipe.hash))
    plain = folder / "timm.safetensors"
    save_file(timm.create_model(name, num_classes=1).state_dict(), plain)
    usual: list[float] = []
    ours: list[float] = []
    for _ in range(ROUNDS):
        usual.append(_seconds(lambda: timm.create_model(name, num_classes=1).load_state_dict(load_file(plain))))
        ours.append(_seconds(lambda: load_model(folder)))
    return median(usual), median(ours)


def _seconds(call: Callable[[], object]) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began
