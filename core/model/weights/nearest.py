"""Which architecture a weights file is of: its tensors' names and shapes compared with those of networks that people use."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch

from core.model.weight_files import Stored, without_prefix
from core.model.weights import layouts

# Of each pair with equal tensors (efficientnet_b0, tf_efficientnet_b0) the layout of the file tells which.
CANDIDATES = (
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "wide_resnet50_2", "resnext50_32x4d", "seresnet50"),
    *("densenet121", "densenet161", "densenet169", "densenet201"),
    *(f"{kind}efficientnet_b{size}" for kind in ("", "tf_") for size in range(6)),
    *(f"tf_efficientnet_lite{size}" for size in range(3)),
    *("mobilenetv2_100", "mobilenetv3_large_100", "vgg16", "inception_v3"),
    *("convnext_tiny", "convnext_small", "convnext_base", "swin_tiny_patch4_window7_224"),
    *("vit_tiny_patch16_224", "vit_small_patch16_224", "vit_base_patch16_224"),
)
_NEAR = 0.5  # of the tensors: below that, no architecture is worth naming
_FITS = 0.9


@dataclass(frozen=True)
class Hint:
    """The state dicts of a file that did not fit."""

    found: tuple[Stored, ...]

    def words(self, name: str) -> str:
        """What to do about it, with the nearest architecture: takes some seconds the first time, for an error only."""
        best = max((_likeness(each, self.found) for each in CANDIDATES if each != name), default=None)
        if best is None or best[0] < _NEAR:
            return f"Set model.name to its architecture, or model.weights to a file of {name}"
        share, _, nearest, matched = best
        if share >= _FITS:
            return f"It fits {nearest} ({matched} tensors): set model.name to that, or model.weights to a file of {name}"
        return (
            f"The nearest architecture known here is {nearest} ({share:.0%} of the tensors fit). Set model.name to the file's "
            f"architecture, or model.weights to a file of {name}"
        )


@cache  # building these networks takes nearly all of the time
def _layouts_of(name: str) -> list[tuple[set[str], dict[str, tuple[int, ...]]]]:
    """A network's tensors in each layout that computes the same: all names, and the shapes of those below its head."""
    import timm

    with torch.device("meta"):
        backbone = timm.create_model(name, pretrained=False, num_classes=1, in_chans=3)
    shapes = {key: tuple(tensor.shape) for key, tensor in backbone.state_dict().items()}
    head = f"{timm.get_pretrained_cfg(name).classifier}."
    found = []
    for layout, theirs in layouts.layouts(shapes.keys()).items():
        if layouts.other_function(layout, name, backbone):
            continue
        body = {
            key: shapes[ours]
            for key, ours in theirs.items()
            if not ours.startswith(head) and not ours.endswith("num_batches_tracked")
        }
        found.append((set(theirs), body))
    return found


def _likeness(name: str, found: tuple[Stored, ...]) -> tuple[float, int, str, int]:
    """(share of the tensors that fit both ways, minus the place in the list, name, how many fit), for the best layout."""
    share, matched = 0.0, 0
    for theirs, body in _layouts_of(name):
        roots = {key.partition(".")[0] for key in body}
        for stored in found:
            state = without_prefix(stored, theirs)
            fitting = sum(key in state and state[key].shape == shape for key, shape in body.items())
            inner = sum(
                key.partition(".")[0] in roots and key not in theirs and not key.endswith("num_batches_tracked")
                for key in state
            )
            if (part := fitting / max(len(body), fitting + inner)) > share:
                share, matched = part, fitting
    return share, -CANDIDATES.index(name), name, matched
