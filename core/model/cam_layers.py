"""Where each family of networks keeps its last feature map, and how to read it as (N, C, H, W)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from core.errors import BadConfig

if TYPE_CHECKING:
    from core.model.classifier import Classifier

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


def find_cam_layer(model: Classifier) -> nn.Module:
    """See `Classifier.cam_layer`.

    Raises:
        BadConfig: no layer of this architecture gives a feature map.
    """
    backbone = model.backbone
    own = getattr(backbone, "cam_layer_name", None)
    if own is not None:
        return _submodule(backbone, own)
    for required, name in _FAMILIES:
        if all(_has(backbone, part) for part in required):
            return _submodule(backbone, name)
    return _last_map(model)


def layer_name(model: Classifier, layer: nn.Module) -> str:
    """The dotted name of `layer` inside the backbone ("bn2"), "" when it is not part of it."""
    return next((name for name, module in model.backbone.named_modules() if module is layer), "")


def as_feature_map(model: Classifier, activation: Tensor, image_shape: tuple[int, int]) -> Tensor:
    """A layer's output as (N, C, h, w): tokens (N, T, C) lose their prefix, channels-last maps are turned.

    Raises:
        BadConfig: the output cannot be laid out over the image.
    """
    backbone = cast(Any, model.backbone)
    if activation.ndim == 4:
        return activation.permute(0, 3, 1, 2) if getattr(backbone, "output_fmt", "NCHW") == "NHWC" else activation
    patches = getattr(backbone, "patch_embed", None)
    if activation.ndim == 3 and patches is not None:
        height, width = patches.dynamic_feat_size(image_shape)
        prefix = activation.shape[1] - height * width
        if prefix >= 0:
            tokens = activation[:, prefix:]
            return tokens.transpose(1, 2).reshape(tokens.shape[0], -1, height, width)
    raise BadConfig(
        f"heatmaps: {model.name} gives an output of shape {tuple(activation.shape)} at the chosen layer, which cannot be laid "
        "over the image; choose another layer or a convolutional architecture"
    )


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


def _last_map(model: Classifier) -> nn.Module:
    """For architectures we do not know: the module that last gives a map with more than one cell."""
    found: list[nn.Module] = []

    def remember(module: nn.Module, _: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == 4:
            cells = as_feature_map(model, output, size).shape[-2:]
            if min(cells) > 1:
                found.append(module)

    config = getattr(model.backbone, "pretrained_cfg", {})
    size = tuple(config.get("input_size", (3, 224, 224))[-2:])
    modes = {module: module.training for module in model.modules()}
    handles = [module.register_forward_hook(remember) for module in model.backbone.modules()]
    try:
        model.eval()
        with torch.no_grad():
            model(torch.zeros(1, 1, *size, device=model.mean.device))
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes.items():
            module.training = training
    if not found:
        raise BadConfig(f"heatmaps: no layer of {model.name} gives a feature map; choose a convolutional architecture")
    return found[-1]
