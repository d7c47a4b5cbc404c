"""SkipInit: networks whose values come from elsewhere are built without drawing any, and are otherwise the same."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import init

from core.config import ModelConfig
from core.model.build import build_model, build_uninitialized, outline
from core.model.skip_init import SkipInit


@pytest.mark.slow_for("swin_tiny_patch4_window7_224")
@pytest.mark.parametrize("name", ["small_cnn", "mobilenetv2_035", "swin_tiny_patch4_window7_224"])
def test_what_follows_from_the_architecture_is_as_ever_and_no_random_number_is_used(name: str) -> None:
    config = ModelConfig(name=name, weights="none")
    ordinary = build_model(config)
    before = torch.get_rng_state()
    other = build_uninitialized(config, outline(config))
    assert torch.equal(torch.get_rng_state(), before)
    assert [(key, each.shape, each.dtype) for key, each in other.state_dict().items()] == [
        (key, each.shape, each.dtype) for key, each in ordinary.state_dict().items()
    ]
    stored = ordinary.state_dict().keys()
    there = dict(other.named_buffers())
    for key, each in ordinary.named_buffers():
        if key not in stored:  # tables that no file holds
            assert torch.equal(there[key], each), key
    assert other.training


def test_only_drawing_is_left_out_and_only_within_the_block() -> None:
    layer = nn.Linear(3, 2)
    with torch.no_grad():
        layer.weight.fill_(7.0)
    with SkipInit():
        for draw in (init.kaiming_uniform_, init.normal_, init.uniform_):
            assert draw(layer.weight) is layer.weight
        assert torch.equal(layer.weight, torch.full((2, 3), 7.0))
        init.ones_(layer.weight)
        assert torch.equal(layer.weight, torch.ones(2, 3))
        init.trunc_normal_(layer.bias)  # draws again what lies outside: left out, it would never end
    init.normal_(layer.weight)
    assert not torch.equal(layer.weight, torch.ones(2, 3))
