"""Fast CPU backward pass for bf16 depthwise convolutions.

oneDNN has quick kernels for most depthwise convolutions in bf16, but not for two of their gradients: that of the images
where the stride is above 1 (twenty times slower than with stride 1), and that of kernels above 3 x 3 (ten times slower).
In MobileNetV2 and EfficientNet-B0 these few layers take a third to a half of a whole training step. Both gradients can be
put together from the quick ones.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from timm.layers import Conv2dSame
from timm.layers.padding import pad_same
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

_QUICK = 3  # side of the largest kernel whose own gradient is quick


class _Geometry(NamedTuple):
    """(vertical, horizontal) each, as torch.nn.Conv2d has them."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]


def patch_depthwise_bf16_backward(model: nn.Module) -> int:
    """Let the model's depthwise convolutions compute their bf16 gradients on a processor the fast way; returns how many.

    Names, weights and results stay as they are, gradients but for rounding. In fp32, on a GPU and without gradients
    nothing changes at all.
    """
    found = [module for module in model.modules() if _is_concerned(module)]
    for module in found:
        module.__class__ = _QuickSame if isinstance(module, Conv2dSame) else _QuickDepthwise
    return len(found)


def _is_concerned(module: nn.Module) -> bool:
    """Other subclasses, which may reshape their weights, are left alone."""
    return (
        type(module) in (nn.Conv2d, Conv2dSame)
        and module.groups == module.in_channels == module.out_channels
        and module.groups > 1
        and module.bias is None
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
        and (max(module.stride) > 1 or max(module.kernel_size) > _QUICK)
    )


class _QuickDepthwise(nn.Conv2d):
    """A Conv2d of as many groups as channels, without bias."""

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to (N, C, H', W'), as Conv2d."""
        quick = (
            images.device.type == "cpu"
            and torch.is_grad_enabled()
            and torch.is_autocast_enabled("cpu")
            and torch.get_autocast_dtype("cpu") == torch.bfloat16
        )
        if not quick:
            return super().forward(images)
        geometry = _Geometry(*(tuple(getattr(self, name)) for name in _Geometry._fields))
        result: Tensor = _Depthwise.apply(images.bfloat16(), self.weight.bfloat16(), geometry)
        return result


class _QuickSame(_QuickDepthwise):
    """timm's Conv2dSame, which pads as TensorFlow does: the surplus at the right and at the bottom."""

    def forward(self, images: Tensor) -> Tensor:
        sides = [int(side) for side in self.weight.shape[-2:]]
        return super().forward(pad_same(images, sides, list(self.stride), list(self.dilation)))


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, geometry: _Geometry) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.geometry = geometry
        return functional.conv2d(images, weight, None, *geometry, groups=weight.shape[0])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        images, weight = ctx.saved_tensors
        wanted_images, wanted_weight, _ = ctx.needs_input_grad
        of_images = _of_images(gradient, images, weight, ctx.geometry) if wanted_images else None
        of_weight = _of_weight(gradient, images, weight, ctx.geometry) if wanted_weight else None
        return of_images, of_weight, None


def _of_images(gradient: Tensor, images: Tensor, weight: Tensor, geometry: _Geometry) -> Tensor:
    """What a stride leaves out is as if it had been computed with stride 1 and had no gradient."""
    stride, padding, dilation = geometry
    if max(stride) > 1:
        size = [
            side + 2 * pad - reach * (kernel - 1)
            for side, pad, reach, kernel in zip(images.shape[2:], padding, dilation, weight.shape[2:], strict=True)
        ]
        shape = (*gradient.shape[:2], *size)
        spread = torch.empty(shape, dtype=gradient.dtype, memory_format=torch.channels_last).zero_()
        spread[:, :, :: stride[0], :: stride[1]] = gradient
        gradient, geometry = spread, geometry._replace(stride=(1, 1))
    return _gradients(gradient, images, weight, geometry, (True, False))[0]


def _of_weight(gradient: Tensor, images: Tensor, weight: Tensor, geometry: _Geometry) -> Tensor:
    """A large kernel is several small ones side by side, each of which sees the images a little further on."""
    stride, padding, dilation = geometry
    sides = weight.shape[2:]
    if max(sides) <= _QUICK:
        return _gradients(gradient, images, weight, geometry, (False, True))[1]
    pieces = [-(-side // _QUICK) for side in sides]
    # Rows and columns of the padded images that one small kernel sees in all its places, and how far the last one goes.
    seen = [(out - 1) * s + (_QUICK - 1) * d + 1 for out, s, d in zip(gradient.shape[2:], stride, dilation, strict=True)]
    ends = [span + _QUICK * d * (count - 1) for span, d, count in zip(seen, dilation, pieces, strict=True)]
    (top, left), (height, width) = padding, images.shape[2:]
    padded = functional.pad(images, (left, ends[1] - width - left, top, ends[0] - height - top))
    small = weight.new_zeros(weight.shape[0], 1, _QUICK, _QUICK)
    rows = []
    for row in range(pieces[0]):
        first = row * _QUICK * dilation[0]
        band = padded[:, :, first : first + seen[0]]
        starts = [column * _QUICK * dilation[1] for column in range(pieces[1])]
        parts = [band[..., start : start + seen[1]].contiguous(memory_format=torch.channels_last) for start in starts]
        inner = geometry._replace(padding=(0, 0))
        rows.append(torch.cat([_gradients(gradient, part, small, inner, (False, True))[1] for part in parts], dim=3))
    return torch.cat(rows, dim=2)[:, :, : sides[0], : sides[1]]


def _gradients(
    gradient: Tensor, images: Tensor, weight: Tensor, geometry: _Geometry, wanted: tuple[bool, bool]
) -> tuple[Tensor, Tensor]:
    """Those of images and weight, as torch computes them; what is not wanted is None."""
    of_images, of_weight, _ = torch.ops.aten.convolution_backward(
        gradient, images, weight, None, *geometry, False, (0, 0), weight.shape[0], (*wanted, False)
    )
    return of_images, of_weight
