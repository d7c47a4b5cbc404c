"""The formulas of the class activation maps: from a layer's feature maps, and their gradients, to one map (h, w)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from core.errors import BadConfig
from core.gradcam.feature_maps import as_feature_map
from core.gradcam.probing import frozen, layer_output
from core.model.classifier import Classifier

Progress = Callable[[int, int], None]
Answer = Callable[[Tensor], Tensor]  # images (N, 1, H, W) -> logits (N,): the model, or one image's part in it (InBreast)

# Masked images in one batch. On a processor small ones are quicker, their activations stay in its cache: MobileNetV2 at
# 256 px takes 22 ms of processor time an image in batches of 2, 72 ms in batches of 16. On a GPU memory is the limit.
_BATCH_CPU, _BATCH_GPU = 2, 16
_BATCH_PIXELS = 16 * 512 * 512
GRADIENT_METHODS = ("gradcam", "gradcam++", "hirescam", "layercam")


def gradient_cam(features: Tensor, gradient: Tensor, method: str) -> NDArray[np.float32]:
    """One of GRADIENT_METHODS, (h, w), of feature maps (C, h, w) and the score's gradient with respect to them.

    Grad-CAM (Selvaraju et al. 2017), Grad-CAM++ (Chattopadhay et al. 2018, equation 19), HiResCAM (Draelos & Carin 2020),
    LayerCAM (Jiang et al. 2021). The same numbers as the package grad-cam gives, before it scales them.
    """
    maps, slopes = (each.detach().float().cpu().numpy() for each in (features, gradient))
    if method == "hirescam":
        weights = slopes
    elif method == "layercam":
        weights = np.maximum(slopes, 0)
    elif method == "gradcam":
        weights = slopes.mean(axis=(1, 2), keepdims=True)
    else:
        squares = slopes**2
        denominator = 2 * squares + maps.sum(axis=(1, 2), keepdims=True) * (squares * slopes) + 1e-6
        alphas = np.where(slopes != 0, squares / denominator, 0)
        weights = (np.maximum(slopes, 0) * alphas).sum(axis=(1, 2), keepdims=True)
    return (weights * maps).sum(axis=0).astype(np.float32)


def features_and_gradient(
    model: Classifier, module: nn.Module, images: Tensor, target: str, answer: Answer
) -> tuple[Tensor, Tensor]:
    """What `module` gives for `images` (1, 1, H, W) and the gradient of the score for `target` there, both (C, h, w).

    The graph is cut at the layer: nothing before it is differentiated, and no parameter gets a gradient.

    Raises:
        BadConfig: the layer does not give one tensor that can be laid over the image, or the score does not depend on it.
    """
    outputs: list[Tensor] = []

    def cut(module: nn.Module, inputs: object, output: object) -> Tensor:
        outputs.append(layer_output(output).detach().requires_grad_(True))
        return outputs[-1].clone()  # no leaf: a later in-place ReLU may change it

    with frozen(model, [module], cut), torch.enable_grad():
        score = answer(images).sum() * (1.0 if target == "malignant" else -1.0)
        gradients = torch.autograd.grad(score, outputs[-1:], allow_unused=True) if outputs and score.requires_grad else ()
    if not gradients or gradients[0] is None:
        raise BadConfig("heatmap: the score does not depend on the chosen layer; choose another layer")
    size = (images.shape[-2], images.shape[-1])
    return as_feature_map(model, outputs[-1], size)[0], as_feature_map(model, gradients[0], size)[0]


def feature_map(model: Classifier, module: nn.Module, images: Tensor) -> Tensor:
    """What `module` gives for `images` (1, 1, H, W): (C, h, w).

    Raises:
        BadConfig: it does not give one tensor that can be laid over the image.
    """
    outputs: list[Tensor] = []

    def copy(module: nn.Module, inputs: object, output: object) -> None:
        outputs.append(layer_output(output).detach().clone())  # what comes next may change it in place

    with frozen(model, [module], copy), torch.no_grad():
        model(images)
    if not outputs:
        raise BadConfig("heatmap: the chosen layer takes no part in the forward pass; choose another layer")
    return as_feature_map(model, outputs[-1], (images.shape[-2], images.shape[-1]))[0]


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
    model: Classifier,
    images: Tensor,
    features: Tensor,
    target: str,
    channels: int,
    progress: Progress | None,
    answer: Answer,
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
        with frozen(model), torch.inference_mode():
            logits.append(answer(masked).float())
    if progress is not None:
        progress(count, count)
    scores = torch.cat(logits) * (1.0 if target == "malignant" else -1.0)
    weighted = (scores.softmax(0)[:, None, None] * chosen.float()).sum(0)
    return weighted.cpu().numpy().astype(np.float32)
