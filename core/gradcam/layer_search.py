"""The last layer that still knows where things are, of an architecture that nobody has described: found by trying.

A layer qualifies when its output lies over the image (as a map, or as tokens in the order of its patches), the logit depends
on it there, and, of tokens, a change in one part of the image changes that part of them most. So are left out what comes
after pooling, the patch tokens that only a class token was read beside of, windows and mask units in an order of their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.errors import BadConfig
from core.gradcam.feature_maps import as_feature_map, lies_over

if TYPE_CHECKING:
    from core.model.classifier import Classifier

# (row, column) of a quarter that was changed, and what modules gave then, by id.
Quarters = list[tuple[int, int, dict[int, Tensor]]]
_PATCH = 16  # px; the probe image is made of squares of this size, so that early and late layers find something in it
# Parts of blocks: what they give is added to what went round them.
_INSIDE = re.compile(r"attn|attention|mlp|drop|layerscale|identity", re.IGNORECASE)
# Times the change elsewhere, that a change has to make in its own place. Networks with random weights: 1.4 and more where
# tokens lie in their order, at most 1.2 where they do not (Hiera's mask units).
_NEARER = 1.3


def probe_image(shape: tuple[int, int], device: torch.device) -> Tensor:
    """An image (1, 1, H, W) of random squares, the same every time."""
    squares = tuple(max(1, -(-side // _PATCH)) for side in shape)
    image = torch.rand((1, 1, *squares), generator=torch.Generator().manual_seed(0))
    return functional.interpolate(image, size=shape).to(device)


def search(model: Classifier, shape: tuple[int, int]) -> nn.Module | None:
    """The last such layer for images of `shape` (H, W); None where there is none."""
    image = probe_image(shape, model.mean.device)
    modules = _candidates(model)
    with torch.enable_grad():
        found, logit = _outputs(model, modules, image.requires_grad_(True))
        found = [each for each in found if each[1].requires_grad]  # tables of positions do not follow from the image
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
            outputs, _ = _outputs(model, modules, changed)
            found.append((rows, columns, {id(module): output for module, output in outputs}))
    return found


def _candidates(model: Classifier) -> list[nn.Module]:
    inside = [name for name, module in model.backbone.named_modules() if name and _INSIDE.search(type(module).__name__)]
    return [
        module
        for name, module in model.backbone.named_modules()
        if name and not any(name == part or name.startswith(part + ".") for part in inside)
    ]


def _outputs(model: Classifier, modules: list[nn.Module], image: Tensor) -> tuple[list[tuple[nn.Module, Tensor]], Tensor]:
    """(module, output) in the order in which they are done, a module that is used twice where it comes last; the logit."""
    found: dict[int, tuple[nn.Module, Tensor]] = {}

    def remember(module: nn.Module, _: Any, output: Any) -> None:
        found.pop(id(module), None)
        if isinstance(output, Tensor) and output.ndim in (3, 4) and output.shape[0] == 1:
            found[id(module)] = (module, output)

    with _hooked(model, modules, remember):
        logit = model(image).sum()
    return list(found.values()), logit


@contextmanager
def _hooked(model: Classifier, modules: list[nn.Module], hook: Any) -> Iterator[None]:
    """Within the block, in eval mode and alone with the model; it is as it was afterwards."""
    from core.model.classifier import model_lock

    with model_lock(model):  # hooks hear of every thread's passes
        modes = [(module, module.training) for module in model.modules()]
        handles = [module.register_forward_hook(hook) for module in modules]
        try:
            model.eval()
            yield
        finally:
            for handle in handles:
                handle.remove()
            for module, training in modes:
                module.training = training


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
