"""Layer outputs as feature maps (N, C, h, w): tokens and channels-last maps laid out over the image."""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor

from core.errors import BadConfig
from core.model.classifier import Classifier


def grid_of(tokens: int, shape: tuple[int, int], prefixes: tuple[int, ...]) -> tuple[int, int, int] | None:
    """(prefix tokens, rows, columns) of so many tokens over an image of `shape` (H, W); None where there is no such grid."""
    height, width = shape
    for prefix in prefixes:
        for step in range(2, min(shape)):
            for rows in {-(-height // step), height // step}:
                for columns in {-(-width // step), width // step}:
                    if rows * columns == tokens - prefix:
                        return prefix, rows, columns
    return None


def lies_over(rows: int, columns: int, shape: tuple[int, int]) -> bool:
    """Whether a map of so many cells can be an image of `shape` (H, W), shrunk by the same factor either way."""
    step = max(shape[0] / rows, shape[1] / columns)
    return abs(shape[0] / step - rows) <= 1 and abs(shape[1] / step - columns) <= 1


def as_feature_map(model: Classifier, activation: Tensor, image_shape: tuple[int, int]) -> Tensor:
    """A layer's output as (N, C, h, w): tokens (N, T, C) lose their prefix, channels-last maps are turned.

    Raises:
        BadConfig: the output cannot be laid out over the image.
    """
    backbone = cast(Any, model.backbone)
    if activation.ndim == 4:
        if getattr(backbone, "output_fmt", "NCHW") == "NHWC":
            return activation.permute(0, 3, 1, 2)
        last = lies_over(activation.shape[1], activation.shape[2], image_shape)
        return (
            activation.permute(0, 3, 1, 2)
            if last and not lies_over(activation.shape[2], activation.shape[3], image_shape)
            else activation
        )
    if activation.ndim == 3:
        grid = _grid(model, activation.shape[1], image_shape)
        if grid is not None:
            prefix, height, width = grid
            tokens = activation[:, prefix:]
            return tokens.transpose(1, 2).reshape(tokens.shape[0], -1, height, width)
    raise BadConfig(
        f"heatmaps: {model.name} gives an output of shape {tuple(activation.shape)} at the chosen layer, which cannot be laid "
        "over the image; choose another layer or a convolutional architecture"
    )


def _grid(model: Classifier, tokens: int, image_shape: tuple[int, int]) -> tuple[int, int, int] | None:
    """(prefix tokens, rows, columns) of a layer's tokens over the image."""
    backbone = cast(Any, model.backbone)
    feat_size = getattr(getattr(backbone, "patch_embed", None), "dynamic_feat_size", None)
    if feat_size is not None:
        height, width = feat_size(image_shape)
        if tokens >= height * width:
            return tokens - height * width, height, width
    named = getattr(backbone, "num_prefix_tokens", None)
    # In some networks the class token joins late.
    prefixes = (named, 0) if isinstance(named, int) else (0, 1, 2)
    # Some networks stretch every image to the size that they were made for.
    return grid_of(tokens, image_shape, prefixes) or grid_of(tokens, own_size(model), prefixes)


def own_size(model: Classifier) -> tuple[int, int]:
    """(height, width) of the images that the architecture was made for."""
    patches = getattr(getattr(model.backbone, "patch_embed", None), "img_size", None)
    if patches is not None:
        return int(patches[0]), int(patches[1])
    size = getattr(model.backbone, "pretrained_cfg", {}).get("input_size", (3, 224, 224))
    return int(size[-2]), int(size[-1])
