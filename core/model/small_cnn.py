"""Our own small network, for learning small lesions from a few hundred images on a processor.

    (N, 1, H, W) -> spots and lines (N, 48, H/4, W/4) -> 3 blocks -> (N, 6w, H/16, W/16) -> mean and max -> logit

Choices, and why (AUC on an early demo set, 192 training images, ten epochs at the default rate, two seeds each):

- The first layer is a fixed bank of spot and line detectors of three widths and seven directions, what
  calcifications and spicules are made of, and its response is taken as a logarithm, as contrast is seen. Test AUC
  0.89 and 0.90; with random filters in its place 0.74 and 0.66. Being fixed, it costs a forward pass only.
- No normalisation layer. Compared on the bank's stored responses, validation and test together: GroupNorm, which
  divides by the image's own statistics, half of which are black background, 0.62-0.69; BatchNorm 0.86-0.93, but an
  image's score in training then depends on who else is in the batch; neither, on inputs of known scale and with
  residual branches that start small, 0.89-0.91. So an accumulated and a distributed training agree with a plain one.
- Mean and maximum are both pooled: a lesion fills a few cells of some hundred, so its maximum carries it; the
  mean carries texture and gives every cell a gradient.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

# Standard deviations, in pixels, of the spots and lines that the first layer looks for.
_WIDTHS = (1.0, 1.6, 2.6)
_DIRECTIONS = 7
_KERNEL = 11
# log(response + floor), then shifted and scaled: about -0.9 where there is nothing, about 1.4 on a clear structure.
_RESPONSE_FLOOR = 0.01
_RESPONSE_SHIFT = 2.7
_RESPONSE_SCALE = 0.5
# Residual branches start this small, so that depth is learned when it helps.
_BRANCH_SCALE = 0.3


class _Affine(nn.Module):
    """A learned scale and shift for each channel, where other networks have a norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.bias[:, None, None], x, self.weight[:, None, None])


class _Block(nn.Module):
    """Two 3x3 convolutions around a shortcut: (N, C, H, W) -> (N, C', H/stride, W/stride)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.affine1 = _Affine(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.affine2 = _Affine(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.stride = stride
        for conv, gain in ((self.conv1, "relu"), (self.conv2, "relu"), (self.shortcut, "linear")):
            nn.init.kaiming_normal_(conv.weight, mode="fan_in", nonlinearity=gain)
        with torch.no_grad():
            self.conv2.weight.mul_(_BRANCH_SCALE)

    def forward(self, x: Tensor) -> Tensor:
        reduced = functional.avg_pool2d(x, self.stride, ceil_mode=True) if self.stride > 1 else x
        out = self.conv1(functional.relu(self.affine1(x)))
        out = self.conv2(functional.relu(self.affine2(out)))
        return cast(Tensor, out + self.shortcut(reduced))


class SmallCnn(nn.Module):
    """The network, with the few methods of a timm model that `Classifier` relies on.

    `width` is the number of channels of the first block; the others have two and three times as many.
    """

    num_features: int
    filters: Tensor

    def __init__(self, width: int = 48, dropout: float = 0.2) -> None:
        super().__init__()
        filters = _spots_and_lines()
        # A copy of its own: loading weights writes into it. On the meta device only its shape.
        self.register_buffer("filters", filters.to(torch.get_default_device(), copy=True))
        self.stages = nn.Sequential(
            _Block(2 * len(filters), width, 2), _Block(width, 2 * width, 2), _Block(2 * width, 3 * width, 1)
        )
        self.affine = _Affine(3 * width)
        self.act = nn.ReLU()  # not in place: heatmaps read its output
        self.num_features = 2 * 3 * width
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(self.num_features, 1)
        nn.init.normal_(self.classifier.weight, std=0.001)
        nn.init.zeros_(self.classifier.bias)
        self.cam_layer_name = "act"
        # Its maximum reads each channel at one place only, and Grad-CAM's weights, averages over all places, lose that.
        # Gradient times feature, place by place, adds up to the logit exactly (Draelos & Carin 2020, HiResCAM).
        self.cam_method = "hirescam"
        self.grad_checkpointing = False

    def get_classifier(self) -> nn.Module:
        """The last layer."""
        return self.classifier

    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        """Layers by parameter name, from the first to the last, as timm's models describe theirs."""
        return {"stages": r"^stages\.(\d+)", "affine": r"^affine"}

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute each block in the backward pass."""
        self.grad_checkpointing = enable

    def _structures(self, x: Tensor) -> Tensor:
        """Normalised images (N, 1, H, W) -> log strength of bright and of dark structures, (N, 48, H/4, W/4)."""
        response = functional.conv2d(x, self.filters, stride=2, padding=_KERNEL // 2)
        both = torch.cat([functional.relu(response), functional.relu(-response)], dim=1)
        strongest = functional.max_pool2d(both, 2, ceil_mode=True).float()  # a logarithm wants fp32, under autocast too
        return (torch.log(strongest + _RESPONSE_FLOOR) + _RESPONSE_SHIFT) * _RESPONSE_SCALE

    def forward_features(self, x: Tensor) -> Tensor:
        """Normalised images (N, 1, H, W) -> feature map (N, 3 width, H/16, W/16)."""
        x = self._structures(x)  # nothing in it requires a gradient, so training pays for its forward pass only
        for stage in self.stages:
            if self.grad_checkpointing and self.training:
                x = cast(Tensor, checkpoint(stage, x, use_reentrant=False))
            else:
                x = stage(x)
        return cast(Tensor, self.act(self.affine(x)))

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Feature map -> logits (N, 1), or the pooled features (N, 6 width) with `pre_logits`."""
        pooled = self.dropout(torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1))
        return pooled if pre_logits else cast(Tensor, self.classifier(pooled))

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))


@lru_cache(maxsize=1)
def _spots_and_lines() -> Tensor:
    """Filters (24, 1, 11, 11) without mean, absolute sum 2: a spot and seven directions of line in each width.

    Made once a process, on the processor whatever the default device: on the meta device these small steps take 0.3 s.
    """
    radius = _KERNEL // 2
    with torch.device("cpu"):
        axis = torch.arange(-radius, radius + 1, dtype=torch.float32)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    filters = []
    for width in _WIDTHS:
        centre = torch.exp(-(x**2 + y**2) / (2 * width**2))
        surround = torch.exp(-(x**2 + y**2) / (2 * (1.6 * width) ** 2))
        filters.append(centre / centre.sum() - surround / surround.sum())
        for direction in range(_DIRECTIONS):
            angle = direction * math.pi / _DIRECTIONS
            across = x * math.cos(angle) + y * math.sin(angle)
            along = y * math.cos(angle) - x * math.sin(angle)
            profile = (1 - across**2 / width**2) * torch.exp(-(across**2) / (2 * width**2))
            line = profile * torch.exp(-(along**2) / (2 * (2.5 * width) ** 2))
            filters.append(line - line.mean())
    return torch.stack([2 * kernel / kernel.abs().sum() for kernel in filters])[:, None]
