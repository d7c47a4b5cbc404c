"""Heatmap methods, and which of them suit an architecture: each assumes something of the layer it reads."""

from __future__ import annotations

from typing import Literal

from core.errors import BadConfig
from core.gradcam.cam_layers import LayerChoice, layer_choices
from core.model.classifier import Classifier
from core.model.ensemble import Ensemble

Method = Literal["gradcam", "gradcam++", "hirescam", "layercam", "eigencam", "scorecam"]

AUTO = "auto"  # the method that fits the architecture
TARGETS = ("malignant", "benign")
METHODS: dict[str, str] = {
    "gradcam": "Grad-CAM: feature maps weighted by their mean gradient; the usual choice",
    "gradcam++": "Grad-CAM++: weights that favour several separate places",
    "hirescam": "HiResCAM: gradient times feature, place by place; shows only what the score used",
    "layercam": "LayerCAM: positive gradients only, place by place; finer, and the one for earlier layers",
    "eigencam": "EigenCAM: the strongest pattern in the features, whatever the class",
    "scorecam": "Score-CAM: what each feature map alone does to the score; no gradients, one forward pass a map, so slow",
}
SLOW = ("scorecam",)  # seconds to minutes: whoever calls these shows progress
CLASSLESS = ("eigencam",)  # the same map for either class

_MAXIMUM = "this network pools the maximum, which reads each feature map at one place; weights averaged over all places lose it"
_SIGNED = "its weights are derived for feature maps that are not negative, and those of this layer have both signs"


def auto_method(model: Classifier) -> str:
    """The method that "auto" stands for; of an ensemble one for all members, which HiResCAM is for any network."""
    if isinstance(model, Ensemble):
        wanted = {auto_method(member) for member in model.networks}
        return wanted.pop() if len(wanted) == 1 else "hirescam"
    return str(getattr(model.backbone, "cam_method", "gradcam"))


def layers(model: Classifier) -> list[str]:
    """Dotted names of the layers one may choose, from the first to the last; see `core.gradcam.cam_layers.layer_choices`.

    Raises:
        BadConfig: no layer of this architecture gives a feature map.
    """
    return [choice.name for choice in layer_choices(model)]


def unfit_methods(model: Classifier, layer: str | None = None) -> dict[str, str]:
    """Method -> why its map would say less than it seems to. `heatmap` still computes it for whoever asks.

    Raises:
        BadConfig: no layer of this architecture gives a feature map, or not the one named.
    """
    choices = layer_choices(model)
    found = next((choice for choice in choices if (choice.usual if layer is None else choice.name == layer)), None)
    if found is None:
        raise BadConfig(f"heatmap layer: got {layer!r}; {model.name} has {', '.join(choice.name for choice in choices)}")
    return reasons_against(model, found)


def reasons_against(model: Classifier, layer: LayerChoice) -> dict[str, str]:
    """As `unfit_methods`, for a layer that `layer_choices` has described."""
    if isinstance(model, Ensemble):
        return {name: why for member in model.networks for name, why in reasons_against(member, layer).items()}
    reasons: dict[str, str] = {}
    if _pools_maximum(model):
        reasons |= {"gradcam": _MAXIMUM, "gradcam++": _MAXIMUM}
    if layer.signed:
        reasons.setdefault("gradcam++", _SIGNED)
    return reasons


def _pools_maximum(model: Classifier) -> bool:
    """As small_cnn does, and timm's networks with another pooling than the mean."""
    pooling = str(getattr(getattr(model.backbone, "global_pool", None), "pool_type", ""))
    return auto_method(model) == "hirescam" or "max" in pooling
