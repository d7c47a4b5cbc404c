"""Depthwise convolutions computed the quick way against torch's own gradients, and where they are left alone."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from timm.layers import Conv2dSame
from torch import nn

from core.config import ModelConfig
from core.model import build_model
from core.training.cpu.depthwise_bf16 import patch_depthwise_bf16_backward


def depthwise(
    channels: int = 8, kernel: int | tuple[int, int] = 3, bias: bool = False, kind: type[nn.Conv2d] = nn.Conv2d, **settings: Any
) -> nn.Conv2d:
    torch.manual_seed(0)
    return kind(channels, channels, kernel, groups=channels, bias=bias, **settings)


def gradients(module: nn.Module, images: torch.Tensor, *, bf16: bool) -> list[torch.Tensor]:
    """The result, and the gradients of images and weights."""
    given = images.detach().clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        result = module(given)
    spread = torch.linspace(-1, 1, result.numel()).reshape(result.shape)
    (result.float() * spread).sum().backward()
    assert given.grad is not None
    found = [result.detach(), given.grad, *(parameter.grad.clone() for parameter in module.parameters())]
    module.zero_grad()
    return found


@pytest.mark.parametrize("side", [(12, 12), (13, 9)])
@pytest.mark.parametrize(
    "settings",
    [
        {"kernel": 3, "stride": 2, "padding": 1},
        {"kernel": 3, "stride": 2, "padding": 0},
        {"kernel": 3, "stride": 3, "padding": 2},
        {"kernel": 3, "stride": (1, 2), "padding": 1},
        {"kernel": 5, "stride": 1, "padding": 2},
        {"kernel": 5, "stride": 2, "padding": 2},
        {"kernel": 5, "stride": 2, "padding": 0},
        {"kernel": 7, "stride": 1, "padding": 3},
        {"kernel": 6, "stride": 2, "padding": 2},
        {"kernel": (3, 5), "stride": (2, 1), "padding": (1, 0)},
        {"kernel": 5, "stride": 1, "padding": 4, "dilation": 2},
        {"kernel": 3, "stride": 2, "padding": 2, "dilation": 2},
        {"kernel": 3, "stride": 2, "kind": Conv2dSame},
        {"kernel": 5, "stride": 2, "kind": Conv2dSame},
    ],
)
def test_bf16_gradients_are_those_of_torch(settings: dict[str, Any], side: tuple[int, int]) -> None:
    plain = depthwise(**settings)
    quick = copy.deepcopy(plain)
    assert patch_depthwise_bf16_backward(quick) == 1
    images = torch.randn(3, 8, *side).to(memory_format=torch.channels_last)
    exact = gradients(plain, images, bf16=False)
    for ours, theirs, truth in zip(
        gradients(quick, images, bf16=True), gradients(plain, images, bf16=True), exact, strict=True
    ):
        scale = float(truth.abs().max())
        torch.testing.assert_close(ours.float(), theirs.float(), rtol=0, atol=0.01 * scale)
        # A processor without bf16 instructions rounds partial sums too: torch's own gradients are then as far off.
        off = float((theirs.float() - truth).abs().max())
        torch.testing.assert_close(ours.float(), truth, rtol=0, atol=max(0.02 * scale, 1.01 * off))


def test_the_result_itself_does_not_change() -> None:
    plain = depthwise(kernel=5, stride=2, padding=2)
    quick = copy.deepcopy(plain)
    patch_depthwise_bf16_backward(quick)
    images = torch.randn(2, 8, 15, 15)
    for bf16 in (False, True):
        assert torch.equal(gradients(plain, images, bf16=bf16)[0], gradients(quick, images, bf16=bf16)[0])


def test_fp32_is_torchs_own_bit_for_bit() -> None:
    plain = depthwise(kernel=5, stride=2, padding=2)
    quick = copy.deepcopy(plain)
    patch_depthwise_bf16_backward(quick)
    images = torch.randn(2, 8, 15, 15)
    pairs = zip(gradients(quick, images, bf16=False), gradients(plain, images, bf16=False), strict=True)
    assert all(torch.equal(ours, theirs) for ours, theirs in pairs)


def test_frozen_weights_and_images_without_gradient_get_none() -> None:
    module = depthwise(stride=2, padding=1)
    patch_depthwise_bf16_backward(module)
    module.weight.requires_grad_(False)
    images = torch.randn(2, 8, 6, 6, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        module(images).sum().backward()
    assert module.weight.grad is None and images.grad is not None
    module.weight.requires_grad_(True)
    with torch.autocast("cpu", torch.bfloat16):
        module(images.detach()).sum().backward()
    assert module.weight.grad is not None


@pytest.mark.parametrize(
    "module",
    [
        depthwise(padding=1),  # quick already
        depthwise(stride=2, bias=True),
        depthwise(stride=2, padding=1, padding_mode="reflect"),
        depthwise(kernel=5, padding="same"),
        nn.Conv2d(8, 16, 3, stride=2, groups=8, bias=False),
        nn.Conv2d(8, 8, 3, stride=2, groups=4, bias=False),
        nn.Conv2d(1, 1, 3, stride=2, bias=False),
        type("Padded", (nn.Conv2d,), {})(8, 8, 3, stride=2, groups=8, bias=False),
    ],
)
def test_other_convolutions_are_left_alone(module: nn.Module) -> None:
    kind = type(module)
    assert patch_depthwise_bf16_backward(module) == 0 and type(module) is kind


# Strides and 5 x 5 kernels of depthwise layers, as in the architectures' papers.
@pytest.mark.slow_for("efficientnet_b0-11")
@pytest.mark.parametrize(("name", "layers"), [("mobilenetv2_100", 4), ("efficientnet_b0", 11), ("resnet18", 0)])
def test_it_finds_the_layers_of_common_networks_and_renames_nothing(name: str, layers: int) -> None:
    model = build_model(ModelConfig(weights="none", name=name))
    names = list(model.state_dict())
    assert patch_depthwise_bf16_backward(model) == layers and patch_depthwise_bf16_backward(model) == 0
    assert list(model.state_dict()) == names == list(copy.deepcopy(model).state_dict())
