"""Batch normalisation on a batch of one image, as the last of an epoch may be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def single_image_batch_norm(model: nn.Module, images: Tensor) -> Iterator[None]:
    """Within the block, `model` can be trained on `images` (N, ...), also where N is 1.

    A batch normalisation that sees one value a channel, where maps have shrunk to one cell, has no deviation to divide by, and
    torch refuses. It then takes its running statistics, as in evaluation, and leaves them alone. Other batches, and layers that
    see more than one value, compute as ever.
    """
    if images.shape[0] != 1:
        yield
        return
    switched: list[nn.Module] = []

    def before(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if module.training and inputs[0].numel() == inputs[0].shape[1]:
            module.training = False
            switched.append(module)

    def after(module: nn.Module, _inputs: Any, _output: Any) -> None:
        if module in switched:
            switched.remove(module)
            module.training = True

    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    handles = [module.register_forward_pre_hook(before) for module in norms]
    handles += [module.register_forward_hook(after) for module in norms]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for module in switched:
            module.training = True


def has_batch_norm(model: nn.Module) -> bool:
    """Whether the model has layers that take statistics over a batch."""
    return any(isinstance(module, _BatchNorm) for module in model.modules())
