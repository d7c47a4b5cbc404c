"""Features of the gate: what the network's head sees of an image, and simple statistics of the picture itself.

The network was trained to separate malignant from benign, and may be blind to much of what makes a photograph a photograph; a
small one more than a large one. The statistics of the picture are the same for every network: where tissue lies, how smooth its
outline is, how bright it is and where, and how coarse its texture.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.model import Classifier, model_lock
from core.model.ensemble import Ensemble

Statistics = NDArray[np.float32]

COUNT = 41  # statistics of a picture
_BLACK = 5  # of 255: darker is background
_OUTLINE = (128, 64)  # rows and columns of the copy on which outline and brightness are measured
_TEXTURE = (256, 160)  # the same for texture
_OCTAVES = 4
_SMALLEST = 0.01  # added to a spread before its logarithm is taken


def forward(model: Classifier, images: Tensor) -> tuple[Tensor, Tensor | None]:
    """Images float (N, 1, H, W) as `Classifier.forward` takes them -> its logits (N,), and what its head saw, (N, features).

    One forward pass. The features are None for a network whose head is no layer of its own; of an ensemble those of its members
    stand side by side. Hold `model_lock` meanwhile.
    """
    if isinstance(model, Ensemble):
        answers = []
        for member in model.networks:
            with model_lock(member):
                answers.append(forward(member, images))
        known = [features for _, features in answers if features is not None]
        return model.mean_logits([logits for logits, _ in answers]), torch.cat(known, dim=1) if known else None
    seen: list[Tensor] = []

    def note(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if inputs and isinstance(inputs[0], Tensor):
            seen.append(inputs[0].detach())

    head = model.head
    if not isinstance(head, nn.Module) or isinstance(head, nn.Identity):
        return model(images), None
    hook = head.register_forward_pre_hook(note)
    try:
        logits = model(images)
    finally:
        hook.remove()
    if len(seen) != 1 or seen[0].shape[:1] != logits.shape:
        return logits, None
    return logits, _flat(seen[0])


def _flat(features: Tensor) -> Tensor:
    """(N, F), (N, F, h, w) or (N, tokens, F) -> (N, F)."""
    if features.ndim == 4:
        return features.mean(dim=(2, 3))
    return features.mean(dim=1) if features.ndim == 3 else features.flatten(1)


def statistics_of(pixels: NDArray[np.uint8], box: tuple[int, int, int, int]) -> Statistics:
    """Statistics of a prepared picture, uint8 (H, W), float32 (COUNT,); `box` (x0, y0, x1, y1) is its part without padding."""
    x0, y0, x1, y1 = box
    picture = np.ascontiguousarray(pixels[y0:y1, x0:x1])
    if not picture.size:
        picture = np.zeros((1, 1), np.uint8)
    small = _copy(picture, _OUTLINE)
    tissue = small > _BLACK / 255
    found = [*_occupied(tissue), *_levels(small, tissue), *_texture(_copy(picture, _TEXTURE)), *_pattern(small, tissue)]
    return np.array(found, dtype=np.float32)


def _copy(picture: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.float32]:
    resized = cv2.resize(picture, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)
    return np.asarray(resized, np.float32) / np.float32(255)


def _occupied(tissue: NDArray[np.bool_]) -> list[float]:
    """Share that is not black: of all, of 4 x 2 fields, of the top and the bottom rows; and how ragged the outline is."""
    rows, columns = tissue.shape
    fields = tissue.reshape(4, rows // 4, 2, columns // 2).mean(axis=(1, 3))
    width = tissue.mean(axis=1)
    ends = rows // 16
    ragged = np.abs(np.diff(width)).mean(), np.abs(np.diff(width, 2)).max()
    return [float(tissue.mean()), *fields.ravel().tolist(), width[:ends].mean(), width[-ends:].mean(), *map(float, ragged)]


def _levels(small: NDArray[np.float32], tissue: NDArray[np.bool_]) -> list[float]:
    """Quantiles and spread of the brightness of what is not black."""
    values = small[tissue] if tissue.any() else np.zeros(1, np.float32)
    return [*np.quantile(values, (0.05, 0.25, 0.5, 0.75, 0.95)).tolist(), float(values.std())]


def _texture(picture: NDArray[np.float32]) -> list[float]:
    """Logarithm of the contrast in each octave, of the two finest with how much of it is in few places (kurtosis)."""
    inside = cv2.erode((picture > _BLACK / 255).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    found: list[float] = []
    for octave in range(_OCTAVES):
        coarser = cv2.GaussianBlur(picture, (0, 0), 1.5 * 2**octave)
        detail = (picture - coarser)[inside] if np.count_nonzero(inside) > 10 else np.zeros(1, np.float32)
        found.append(float(np.log(_SMALLEST / 100 + detail.std())))
        if octave < 2:
            squares = np.square(detail)  # np.power(detail, 4) takes 200 times as long
            power = float(squares.mean())
            found.append(float(np.log(_SMALLEST + np.square(squares).mean() / max(power**2, 1e-9))))
        picture = coarser
    return found


def _pattern(small: NDArray[np.float32], tissue: NDArray[np.bool_]) -> list[float]:
    """Brightness of 4 x 4 fields, in shares of the mean brightness of what is not black."""
    rows, columns = small.shape
    mean = float(small[tissue].mean()) if tissue.any() else 0.0
    fields = (small * tissue).reshape(4, rows // 4, 4, columns // 4).mean(axis=(1, 3))
    return (fields / max(mean, 1e-3)).ravel().tolist()


def features_of(model: Classifier, images: Tensor) -> NDArray[np.float32] | None:
    """What the head of a model in eval mode sees of images, float32 (N, features); None where that is not to be had."""
    with torch.inference_mode():
        _, features = forward(model, images)
    return None if features is None else features.float().cpu().numpy()
