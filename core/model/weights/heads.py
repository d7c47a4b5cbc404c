"""The last layer of foreign networks: under the names that people give it, and with two outputs where ours has one."""

from __future__ import annotations

import re

from torch import Tensor

from core.model.classifier import Classifier

DIFFERENCE = "difference of two logits"


def names(model: Classifier) -> set[str]:
    """The names, in the backbone, of the head's parameters."""
    head = {id(parameter) for parameter in model.head.parameters()}
    return {name for name, parameter in model.backbone.named_parameters() if id(parameter) in head}


def adapt(model: Classifier, state: dict[str, Tensor]) -> str:
    """Give the head's tensors in `state` our names and one output, in place, where that keeps the scores; how, "" for nothing.

    `fc.1.weight`, a layer within a row of them (dropout before it), becomes `fc.weight`. Of two logits the second minus the
    first remains: its logistic is the softmax of the second, the class with the larger index, which is taken for malignant.
    """
    wanted = model.backbone.state_dict()
    weight = next((name for name in names(model) if name.endswith("weight") and wanted[name].ndim > 1), None)
    if weight is None:
        return ""
    layer = weight.removesuffix(".weight")
    if weight not in state:
        found = [name for name in state if re.fullmatch(re.escape(layer) + r"\.\d+\.weight", name)]
        if len(found) == 1 and state[found[0]].shape[1:] == wanted[weight].shape[1:]:
            for part in ("weight", "bias"):
                tensor = state.pop(f"{found[0].removesuffix('.weight')}.{part}", None)
                if tensor is not None:
                    state[f"{layer}.{part}"] = tensor
    if weight not in state or state[weight].shape != (2, *wanted[weight].shape[1:]):
        return ""
    for name in (weight, f"{layer}.bias"):
        if name in state and state[name].shape[0] == 2 and state[name].is_floating_point():
            state[name] = state[name][1:2] - state[name][0:1]
    return DIFFERENCE
