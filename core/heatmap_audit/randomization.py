"""Whether a map depends on what was learned: the same image by the same network with its weights shuffled.

A map that stays the same then shows the image (edges, brightness), not what the model found in it. All weights are
shuffled at once, each tensor within itself: its values, and so the size of every activation, stay what they were, while
what was learned is gone. What is not learned (a fixed first layer, running statistics) stays.

Source: Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018. SSIM: Wang et al., IEEE TIP 2004;13:600.
"""

from __future__ import annotations

import copy
import hashlib
from contextlib import ExitStack

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata

from core.data.lesion_masks import Mask
from core.heatmap_audit.localisation import Map
from core.model import Classifier, model_lock
from core.model.ensemble import Ensemble


def shuffled_copy(model: Classifier, seed: int) -> Classifier:
    """The model with the values of each weight tensor in another order, drawn with `seed`; the model itself stays as it is."""
    with ExitStack() as locks:  # no heatmap's hooks are copied with it
        for each in (model, *(model.networks if isinstance(model, Ensemble) else ())):
            locks.enter_context(model_lock(each))
        other = copy.deepcopy(model)
    with torch.no_grad():
        for name, parameter in other.named_parameters():
            digest = hashlib.sha256(f"{seed}\0{name}".encode()).digest()
            order = torch.randperm(
                parameter.numel(), generator=torch.Generator().manual_seed(int.from_bytes(digest[:4], "little"))
            )
            parameter.copy_(parameter.flatten()[order.to(parameter.device)].reshape(parameter.shape))
    return other.eval()


def rank_correlation(first: Map, second: Map, inside: Mask) -> float:
    """Spearman's rank correlation of two maps (H, W) over the pixels `inside`; NaN where one is the same all over."""
    ranks = [rankdata(values[inside]) for values in (first, second)]
    deviations = [each - each.mean() for each in ranks]
    scale = float(np.sqrt((deviations[0] @ deviations[0]) * (deviations[1] @ deviations[1])))
    return float(deviations[0] @ deviations[1]) / scale if scale > 0 else float("nan")


def structural_similarity(first: Map, second: Map, inside: Mask) -> float:
    """Mean SSIM over the pixels `inside` of two maps in [0, 1], (H, W): Gaussian window, sigma 1.5, 11 × 11."""

    def blur(image: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(cv2.GaussianBlur(image, (11, 11), 1.5, borderType=cv2.BORDER_REFLECT))

    a, b = first.astype(np.float64), second.astype(np.float64)
    mean_a, mean_b = blur(a), blur(b)
    variance_a, variance_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    covariance = blur(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    similarity = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    similarity /= (mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2)
    return float(similarity[inside].mean())


def shifted(pixels: NDArray[np.uint8], by: int) -> NDArray[np.uint8]:
    """The image moved down by so many px, what comes in at the edge repeated; negative moves up."""
    rows = np.arange(pixels.shape[0]) - by
    return np.ascontiguousarray(pixels[rows.clip(0, pixels.shape[0] - 1)])
