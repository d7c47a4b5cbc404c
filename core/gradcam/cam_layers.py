"""The layers of a network that heatmaps can be read from, and the usual one of each family."""

from __future__ import annotations

import threading
import weakref
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from core.errors import BadConfig
from core.gradcam.feature_maps import as_feature_map, own_size
from core.gradcam.layer_search import search
from core.gradcam.probing import layer_outputs, probe_image
from core.model.classifier import Classifier
from core.model.ensemble import Ensemble

# (what the backbone must have, the layer), first match wins. Names are timm's.
_FAMILIES: tuple[tuple[tuple[str, ...], str], ...] = (
    (("conv_stem", "blocks", "conv_head", "bn2"), "bn2"),  # EfficientNet, MobileNetV2
    (("conv_stem", "blocks"), "blocks"),  # MobileNetV3: its conv_head comes after pooling
    (("conv1", "layer4"), "layer4"),  # ResNet and relatives
    (("features.norm5",), "features.norm5"),  # DenseNet
    (("patch_embed", "blocks"), "blocks.-1.norm1"),  # ViT: tokens
    (("stem", "stages"), "stages"),  # ConvNeXt
    (("stem", "s4"), "s4"),  # RegNet
)
# Share of a map's energy below 0 from which it counts as one of both signs; what SiLU and the like let through is less.
_SIGNED = 0.25
# Dotted names that were found, by model: finding one takes a pass or two.
_FOUND: weakref.WeakKeyDictionary[nn.Module, str] = weakref.WeakKeyDictionary()
_GUARD = threading.Lock()


@dataclass(frozen=True)
class LayerChoice:
    """A layer that a heatmap can be read from.

    `name` is dotted ("layer3"), `title` is for people, with the map's size ("stage 3 (14 × 9)", columns × rows);
    `usual` marks the layer that is taken unless another is named, `signed` a map with values well below 0.
    """

    name: str
    title: str
    rows: int
    columns: int
    channels: int
    usual: bool
    signed: bool


def find_cam_layer(model: Classifier) -> nn.Module:
    """The layer whose output a heatmap is read from: the last one that still knows where things are; of a single network.

    Raises:
        BadConfig: no layer of this architecture gives a feature map.
    """
    backbone = model.backbone
    own = getattr(backbone, "cam_layer_name", None)
    if own is not None:
        return _submodule(backbone, own)
    with _GUARD:
        known = _FOUND.get(model)
    if known is None:
        known = _find(model)
        with _GUARD:
            _FOUND[model] = known
    return _submodule(backbone, known) if known else backbone


def _find(model: Classifier) -> str:
    """The dotted name of the layer of a family that is known, where it gives a map as it should, else of one that is found."""
    backbone, size = model.backbone, own_size(model)
    for required, name in _FAMILIES:
        if all(_has(backbone, part) for part in required):
            try:
                layer = layer_name(model, _submodule(backbone, name))
            except (AttributeError, IndexError):  # a relative with other parts under these names
                break
            found = _maps(model, [layer], size).get(layer)
            if found is not None and min(found.shape[-2:]) > 1:
                return layer
            break
    module = search(model, size)
    if module is None:
        raise _no_map(model)
    return layer_name(model, module)


def layer_choices(model: Classifier, shape: tuple[int, int] | None = None) -> tuple[LayerChoice, ...]:
    """The layers to choose from, first to last, ending with the usual one; found by one forward pass.

    `shape` is the image's (height, width), which the maps' sizes follow; without it the architecture's own. Those are the
    stages that timm's `feature_info` names, or the parts of the network where it names none. Left out are layers after
    the usual one, those that give the same map as it, and maps of a single row or column. Of an ensemble those that all its
    members have; where their usual ones have different names, the choice "" stands for each member's own.

    Raises:
        BadConfig: no layer of this architecture gives a feature map, or it does not take images of this size.
    """
    if isinstance(model, Ensemble):
        return _common([layer_choices(member, shape) for member in (model.networks[:1] if model.alike else model.networks)])
    shape = shape or own_size(model)
    usual = find_cam_layer(model)
    name = layer_name(model, usual)
    maps = _maps(model, [*(each for each in _stage_names(model) if each != name), name], shape)
    if name not in maps:
        raise _no_map(model)
    number = 0
    choices = []
    for each, found in maps.items():
        rows, columns = found.shape[-2:]
        if each != name:
            if min(rows, columns) < 2 or found.data_ptr() == maps[name].data_ptr():
                continue
            number += 1
        words = "last map" if each == name else f"{_word(model)} {number}"
        choices.append(
            LayerChoice(
                each, f"{words} ({columns} × {rows})", rows, columns, found.shape[1], usual=each == name, signed=_signed(found)
            )
        )
        if each == name:
            break
    return tuple(choices)


def _common(choices: list[tuple[LayerChoice, ...]]) -> tuple[LayerChoice, ...]:
    """What several networks' choices have in common, described as of the first; the usual one is always there."""
    first, *others = choices
    names = [{(choice.name, choice.usual) for choice in other} for other in others]
    shared = [choice for choice in first if all((choice.name, choice.usual) in known for known in names)]
    if any(choice.usual for choice in shared):
        return tuple(shared)
    usual = next(choice for choice in first if choice.usual)
    return (*shared, replace(usual, name="", title="last map of each model"))


def layer_name(model: Classifier, layer: nn.Module) -> str:
    """The dotted name of `layer` inside the backbone ("bn2"), "" when it is not part of it."""
    return next((name for name, module in model.backbone.named_modules() if module is layer), "")


def _has(module: nn.Module, path: str) -> bool:
    for part in path.split("."):
        if not hasattr(module, part):
            return False
        module = getattr(module, part)
    return isinstance(module, nn.Module)


def _submodule(module: nn.Module, path: str) -> nn.Module:
    for part in path.split("."):
        module = cast(nn.Module, cast(Any, module)[int(part)] if part.lstrip("-").isdigit() else getattr(module, part))
    return module


def _stage_names(model: Classifier) -> list[str]:
    """Dotted names of the backbone's stages, where their last layers are known; else of its parts."""
    backbone = cast(Any, model.backbone)
    info = getattr(backbone, "feature_info", None)
    named = [str(each["module"]) for each in getattr(info, "info", info) or () if each.get("module")]
    if not named:
        parts = getattr(backbone, "stages", None)
        named = [f"stages.{index}" for index in range(len(parts))] if isinstance(parts, nn.Sequential) else []
    if not named:
        named = [name for name, _ in model.backbone.named_children()]
    modules = dict(model.backbone.named_modules())
    return [name for name in dict.fromkeys(named) if name in modules]


def _word(model: Classifier) -> str:
    return "block" if hasattr(model.backbone, "patch_embed") and hasattr(model.backbone, "blocks") else "stage"


def _maps(model: Classifier, names: list[str], shape: tuple[int, int]) -> dict[str, Tensor]:
    """What the named layers give for a probe image, as (1, C, h, w), in the order in which they come; others left out."""
    modules = {name: model.backbone.get_submodule(name) for name in names}
    name_of = {id(module): name for name, module in modules.items()}
    try:
        with torch.no_grad():
            outputs, _ = layer_outputs(model, [*modules.values()], probe_image(shape, model.mean.device))
    except RuntimeError as error:  # tokens that do not divide, a kernel larger than its map
        raise BadConfig(f"heatmaps: {model.name} does not take images of {shape[0]} x {shape[1]} pixels: {error}") from error
    found = {}
    for module, output in outputs:
        with suppress(BadConfig):
            found[name_of[id(module)]] = as_feature_map(model, output, shape)
    return found


def _signed(found: Tensor) -> bool:
    energy = found.float().square()
    return bool(energy[found < 0].sum() > _SIGNED * energy.sum())


def _no_map(model: Classifier) -> BadConfig:
    return BadConfig(f"heatmaps: no layer of {model.name} gives a feature map; choose a convolutional architecture")
