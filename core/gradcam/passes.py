"""Passes through a model that leave no trace on it, and the maps that need no gradient: EigenCAM and Score-CAM."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from core.errors import BadConfig
from core.gradcam.feature_maps import as_feature_map
from core.model.classifier import Classifier, model_lock

Progress = Callable[[int, int], None]

# Masked images in one batch. On a processor small ones are quicker, their activations stay in its cache: MobileNetV2 at
# 256 px takes 22 ms of processor time an image in batches of 2, 72 ms in batches of 16. On a GPU memory is the limit.
_BATCH_CPU, _BATCH_GPU = 2, 16
_BATCH_PIXELS = 16 * 512 * 512


def feature_map(model: Classifier, module: nn.Module, images: Tensor) -> Tensor:
    """What `module` gives for `images` (1, 1, H, W): (C, h, w).

    Raises:
        BadConfig: it does not give one tensor that can be laid over the image.
    """
    found: list[Tensor] = []

    def keep(module: nn.Module, inputs: Any, output: Any) -> None:
        # A copy: what comes next may change it in place.
        found.append(one_tensor(output).detach().clone())

    with model_lock(model), untouched(model), torch.no_grad():
        handle = module.register_forward_hook(keep)
        try:
            model(images)
        finally:
            handle.remove()
    if not found:
        raise BadConfig("heatmap: the chosen layer takes no part in the forward pass; choose another layer")
    return as_feature_map(model, found[-1], (images.shape[-2], images.shape[-1]))[0]


def one_tensor(output: Any) -> Tensor:
    """A layer's output, when it is one tensor.

    Raises:
        BadConfig: it is something else.
    """
    if not isinstance(output, Tensor):
        raise BadConfig("heatmap: the chosen layer does not give one tensor; choose another layer")
    return output


def eigen_cam(features: Tensor) -> NDArray[np.float32]:
    """EigenCAM (Muhammad & Yeasin 2020): the projection of the features (C, h, w) on their first principal component, (h, w).

    Its sign is a matter of chance, so it is turned to its peak. By the eigenvector of the smaller Gram matrix: the
    decomposition of the whole matrix takes the square of the cells, gigabytes at an early layer.
    """
    from scipy.linalg import eigh

    count, height, width = features.shape
    cells = features.reshape(count, -1).T.double().cpu().numpy()
    if not np.isfinite(cells).all():
        return np.full((height, width), np.nan, np.float32)
    cells = cells - cells.mean(axis=0)
    by_channel = count <= len(cells)
    gram = cells.T @ cells if by_channel else cells @ cells.T
    last = len(gram) - 1
    values, vectors = eigh(gram, subset_by_index=[last, last])
    projection = cells @ vectors[:, 0] if by_channel else vectors[:, 0] * np.sqrt(max(float(values[0]), 0.0))
    if -projection.min() > projection.max():
        projection = -projection
    return projection.reshape(height, width).astype(np.float32)


def score_cam(
    model: Classifier, images: Tensor, features: Tensor, target: str, channels: int, progress: Progress | None
) -> NDArray[np.float32]:
    """Score-CAM (Wang et al. 2020) of `images` (1, 1, H, W): features (C, h, w) weighted by what each of them, as a mask
    over the image, does to the score; (h, w).

    Only the `channels` maps that vary most over the image are tried (as Faster-Score-CAM does), 0 for all; the others
    weigh nothing. The model is free for others between two batches. What `progress(done, total)` raises ends it.
    """
    spread = features.flatten(1).var(dim=1)
    count = min(channels, len(features)) if channels else len(features)
    chosen = features[spread.argsort(descending=True, stable=True)[:count]]
    size = (images.shape[-2], images.shape[-1])
    most = _BATCH_CPU if images.device.type == "cpu" else _BATCH_GPU
    batch = max(1, min(most, _BATCH_PIXELS // (size[0] * size[1])))
    logits: list[Tensor] = []
    for start in range(0, count, batch):
        if progress is not None:
            progress(start, count)
        masks = functional.interpolate(chosen[start : start + batch, None].float(), size, mode="bilinear", align_corners=True)
        lowest, highest = masks.amin((2, 3), keepdim=True), masks.amax((2, 3), keepdim=True)
        masked = images * ((masks - lowest) / (highest - lowest + 1e-8))
        with model_lock(model), untouched(model), torch.inference_mode():
            logits.append(model(masked).float())
    if progress is not None:
        progress(count, count)
    scores = torch.cat(logits) * (1.0 if target == "malignant" else -1.0)
    weighted = (scores.softmax(0)[:, None, None] * chosen.float()).sum(0)
    return weighted.cpu().numpy().astype(np.float32)


@contextlib.contextmanager
def untouched(model: Classifier) -> Iterator[None]:
    """Eval mode, nothing requiring a gradient, no checkpointing inside; everything as it was afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    parameters = [(parameter, parameter.requires_grad, parameter.grad) for parameter in model.parameters()]
    # Recomputation would run the hooks a second time.
    recomputing = [module for module, _ in modes if getattr(module, "grad_checkpointing", False)]
    try:
        model.eval()
        for parameter, _, _ in parameters:
            parameter.requires_grad_(False)
        for module in recomputing:
            cast(Any, module).grad_checkpointing = False
        yield
    finally:
        for parameter, required, gradient in parameters:
            parameter.requires_grad_(required)
            parameter.grad = gradient
        for module in recomputing:
            cast(Any, module).grad_checkpointing = True
        for module, training in modes:
            module.training = training
