"""Forward passes through a model that leave no trace on it, with hooks that listen to its layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.errors import BadConfig
from core.model.classifier import Classifier, model_lock

Hook = Callable[[nn.Module, Any, Any], Any]
_PATCH = 16  # px; the probe image is made of squares of this size, so that early and late layers find something in it


@contextmanager
def frozen(model: Classifier, modules: Sequence[nn.Module] = (), hook: Hook | None = None) -> Iterator[None]:
    """A block in which this thread has the model for itself, in eval mode, with no parameter requiring a gradient, no gradient
    checkpointing, and `hook` as forward hook on `modules`. Afterwards everything is as it was.
    """
    with model_lock(model):  # hooks hear of every thread's passes
        modes = [(module, module.training) for module in model.modules()]
        parameters = [(parameter, parameter.requires_grad, parameter.grad) for parameter in model.parameters()]
        # Recomputation would run the hooks a second time.
        recomputing = [module for module, _ in modes if getattr(module, "grad_checkpointing", False)]
        handles = [module.register_forward_hook(hook) for module in modules] if hook else []
        try:
            model.eval()
            for parameter, _, _ in parameters:
                parameter.requires_grad_(False)
            for module in recomputing:
                cast(Any, module).grad_checkpointing = False
            yield
        finally:
            for handle in handles:
                handle.remove()
            for parameter, required, gradient in parameters:
                parameter.requires_grad_(required)
                parameter.grad = gradient
            for module in recomputing:
                cast(Any, module).grad_checkpointing = True
            for module, training in modes:
                module.training = training


def layer_outputs(
    model: Classifier, modules: Sequence[nn.Module], image: Tensor
) -> tuple[list[tuple[nn.Module, Tensor]], Tensor]:
    """(module, output) for each module that gives one tensor, in the order of the forward pass, and the logit.

    A module that is used twice stands where it comes last.
    """
    found: dict[int, tuple[nn.Module, Tensor]] = {}

    def remember(module: nn.Module, inputs: Any, output: Any) -> None:
        found.pop(id(module), None)
        if isinstance(output, Tensor):
            found[id(module)] = (module, output)

    with frozen(model, modules, remember):
        logit = model(image).sum()
    return list(found.values()), logit


def layer_output(output: object) -> Tensor:
    """A layer's output, when it is one tensor. Raises BadConfig: it is something else."""
    if not isinstance(output, Tensor):
        raise BadConfig("heatmap: the chosen layer does not give one tensor; choose another layer")
    return output


def probe_image(shape: tuple[int, int], device: torch.device) -> Tensor:
    """An image (1, 1, H, W) of random squares, the same every time."""
    squares = tuple(max(1, -(-side // _PATCH)) for side in shape)
    image = torch.rand((1, 1, *squares), generator=torch.Generator().manual_seed(0))
    return functional.interpolate(image, size=shape).to(device)
