"""A heatmap for one small network of every family of timm: from a layer that lies over the image, or a refusal in words."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import pytest
import timm
import torch

from core.config import ModelConfig
from core.errors import BadConfig
from core.gradcam import heatmap
from core.gradcam.cam_layers import layer_choices
from core.model import Classifier, build_model
from core.model.build import outline

pytestmark = pytest.mark.slow

_LARGEST = 150_000_000  # parameters: larger networks take minutes and gigabytes here
_SMALL = r"test_|atto|femto|pico|nano|tiny|xxs|xx_small|mini|_t\d|_xt|_b0|_s12|_a0|_l1|18|_9|_0|_s_|small"
_TRIED = 10  # of a family's networks: to outline all of ViT's takes minutes, too


@cache
def smallest(family: str) -> tuple[str, int]:
    """(name, parameters) of one of a family's smallest networks that can be trained here; ("", 0) where none can."""
    names = timm.list_models(module=family)
    small = [name for name in names if re.search(_SMALL, name)]
    found = []
    for name in (small or names)[:_TRIED]:
        try:
            found.append((outline(ModelConfig(weights="none", name=name)).parameter_count, name))
        except BadConfig:  # two heads
            continue
    count, name = min(found, default=(0, ""))
    return name, count


def _size(model: Classifier) -> tuple[int, int]:
    """A size that it takes: no square, where it takes one, so that rows and columns cannot be mistaken."""
    square = model.backbone.pretrained_cfg.get("input_size", (3, 224, 224))[-1]
    for size in ((224, 128), (square, square)):
        try:
            model.check_input(*size)
            return size
        except BadConfig:
            continue
    raise AssertionError(f"{model.name} takes neither 224 x 128 nor its own size")


@pytest.mark.parametrize("family", timm.list_modules())
def test_a_network_of_each_family_is_explained_or_refused_in_words(family: str) -> None:
    name, count = smallest(family)
    if not name or count > _LARGEST:
        pytest.skip(f"no network of {family} can be trained here" if not name else f"{name} has {count:,} parameters")
    torch.manual_seed(0)
    model = build_model(ModelConfig(weights="none", name=name)).eval().requires_grad_(False)
    height, width = _size(model)
    y, x = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(0).normal(0, 20, (height, width))
    pixels = (
        np.where(((y / height - 0.5) / 0.42) ** 2 + (x / width / 0.8) ** 2 < 1, 120 + noise, 0).clip(0, 255).astype(np.uint8)
    )
    try:
        heats = [heatmap(model, pixels, target=target) for target in ("malignant", "benign")]
    except BadConfig as error:
        assert name in str(error) and "heatmap" in str(error)
        return
    for heat in heats:
        assert heat.values.shape == pixels.shape and np.isfinite(heat.values).all()
        assert heat.flat is bool(heat.reason)
    usual = layer_choices(model, (height, width))[-1]
    assert usual.usual and (usual.rows, usual.columns) == heats[0].cells and min(heats[0].cells) > 1
