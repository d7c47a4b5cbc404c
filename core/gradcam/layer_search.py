"""Search for the last spatial layer of an unknown architecture.

A layer qualifies when its output lies over the image (as a map, or as tokens in the order of its patches), the logit depends
on it there, and, of tokens, a change in one part of the image changes that part of them most. So are left out what comes
after pooling, the patch tokens that only a class token was read beside of, windows and mask units in an order of their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn

from core.errors import BadConfig
from core.gradcam.feature_maps import as_feature_map, lies_over
from core.gradcam.probing import layer_outputs, probe_image
from core.model.classifier import Classifier

# (row, column) of a quarter that was changed, and what modules gave then, by id.
Quarters = list[tuple[int, int, dict[int, Tensor]]]
# Parts of blocks: what they give is added to what went round them.
_INSIDE = re.compile(r"attn|attention|mlp|drop|layerscale|identity", re.IGNORECASE)
# Times the change elsewhere, that a change has to make in its own place. Networks with random weights: 1.4 and more where
# tokens lie in their order, at most 1.2 where they do not (Hiera's mask units).
_NEARER = 1.3


def search(model: Classifier, shape: tuple[int, int]) -> nn.Module | None:
    """The last such layer for images of `shape` (H, W); None where there is none."""
    image = probe_image(shape, model.mean.device)
    modules = _candidates(model)
    with torch.enable_grad():
        found, logit = layer_outputs(model, modules, image.requires_grad_(True))
        # Tables of positions do not follow from the image.
        found = [each for each in found if each[1].requires_grad and each[1].ndim in (3, 4) and len(each[1]) == 1]
        tensors = [output for _, output in found]
        grads = torch.autograd.grad(logit, tensors, allow_unused=True) if tensors and logit.requires_grad else ()
    quarters = cache(lambda: _changed_quarters(model, modules, image.detach(), shape))  # two passes, for tokens only
    for (module, output), grad in reversed([*zip(found, grads, strict=True)]):
        if grad is not None and _qualifies(model, module, output.detach(), grad, shape, quarters):
            return module
    return None


def _changed_quarters(model: Classifier, modules: list[nn.Module], image: Tensor, shape: tuple[int, int]) -> Quarters:
    found = []
    with torch.no_grad():
        for rows, columns in ((0, 1), (1, 0)):  # upper right, lower left
            changed = image.clone()
            part = changed[..., _half(shape[0], rows), _half(shape[1], columns)]
            part.copy_(1 - part)
            outputs, _ = layer_outputs(model, modules, changed)
            found.append((rows, columns, {id(module): output for module, output in outputs}))
    return found


def _candidates(model: Classifier) -> list[nn.Module]:
    inside = [name for name, module in model.backbone.named_modules() if name and _INSIDE.search(type(module).__name__)]
    return [
        module
        for name, module in model.backbone.named_modules()
        if name and not any(name == part or name.startswith(part + ".") for part in inside)
    ]


def _qualifies(
    model: Classifier,
    module: nn.Module,
    output: Tensor,
    grad: Tensor,
    shape: tuple[int, int],
    quarters: Callable[[], Quarters],
) -> bool:
    try:
        before, slopes = as_feature_map(model, output, shape), as_feature_map(model, grad, shape)
        rows, columns = before.shape[-2:]
        if min(rows, columns) < 2 or not lies_over(rows, columns, shape) or not bool(slopes.any()):
            return False
        if output.ndim == 4:  # maps of convolutions lie as the image does; of tokens only their number is known
            return True
        after = [(down, across, as_feature_map(model, outputs[id(module)], shape)) for down, across, outputs in quarters()]
    except (BadConfig, KeyError):
        return False
    return all(_stays_in_place(before, changed, down, across) for down, across, changed in after)


def _stays_in_place(before: Tensor, after: Tensor, rows: int, columns: int) -> bool:
    """Whether the map changed most in the quarter of the image that was changed."""
    change = (after - before).abs().sum(1)[0]
    height, width = change.shape
    own = change[_half(height, rows), _half(width, columns)]
    elsewhere = (change.sum() - own.sum()) / max(1, change.numel() - own.numel())
    return bool(own.mean() > _NEARER * elsewhere)


def _half(length: int, number: int) -> slice:
    return slice(0, length // 2) if number == 0 else slice(length - length // 2, length)
