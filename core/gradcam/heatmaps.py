"""Heatmaps: model + prepared image -> Heatmap or Evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from core.errors import BadConfig
from core.gradcam.cam_formulas import (
    GRADIENT_METHODS,
    Answer,
    Progress,
    eigen_cam,
    feature_map,
    features_and_gradient,
    gradient_cam,
    score_cam,
)
from core.gradcam.cam_layers import find_cam_layer, layer_choices, layer_name
from core.gradcam.in_breast import InBreast
from core.gradcam.methods import AUTO, CLASSLESS, METHODS, TARGETS, auto_method
from core.model.classifier import Classifier, as_input
from core.model.ensemble import Ensemble

SCORE_CHANNELS = 128  # feature maps that Score-CAM tries by default

# Below this share of its own peak a map's range is rounding, not structure.
_FLAT_RANGE = 1e-3
_FLAT_PEAK = 1e-12


class HasPixels(Protocol):
    """A `Prepared`, or anything with its pixels: uint8 (H, W)."""

    @property
    def pixels(self) -> NDArray[np.uint8]: ...


@dataclass(frozen=True)
class Heatmap:
    """A map over the prepared image.

    `values` is float32 (H, W) in [0, 1], 1 where the evidence for `target` is strongest; all zero when `flat`, and
    then `reason` says why. `layer` is the dotted name of the layer it was read from, `cells` the (rows, columns) it has
    there. `peak` is what 1 stands for, in the method's own units: it compares two targets of one image, nothing else.
    """

    values: NDArray[np.float32]
    flat: bool
    method: str
    layer: str
    target: str = "malignant"
    reason: str = ""
    peak: float = 0.0
    cells: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Evidence:
    """What speaks for either class in one image, on one scale.

    `values` is float32 (H, W) in [-1, 1]: malignant above 0, benign below, in shares of the strongest evidence of
    either; where both maps have evidence, their difference. All zero when `flat`: neither map holds anything.
    """

    malignant: Heatmap
    benign: Heatmap
    values: NDArray[np.float32]

    target = "both"

    @property
    def method(self) -> str:
        """As of both maps."""
        return self.malignant.method

    @property
    def layer(self) -> str:
        """As of both maps."""
        return self.malignant.layer

    @property
    def cells(self) -> tuple[int, int]:
        """As of both maps."""
        return self.malignant.cells

    @property
    def flat(self) -> bool:
        """Whether there is nothing to show."""
        return self.malignant.flat and self.benign.flat

    @property
    def reason(self) -> str:
        """Why there is nothing to show; also where only one of the classes has nothing."""
        return "; ".join(dict.fromkeys(heat.reason for heat in (self.malignant, self.benign) if heat.reason))


def heatmap(
    model: Classifier,
    prepared: HasPixels | NDArray[np.uint8],
    *,
    method: str = AUTO,
    target: str = "malignant",
    layer: str | None = None,
    channels: int = SCORE_CHANNELS,
    progress: Progress | None = None,
) -> Heatmap:
    """The evidence for `target` in one prepared image, uint8 (H, W).

    `method` is one of METHODS, or "auto": Grad-CAM, or what the architecture says fits it better (small_cnn: HiResCAM).
    `layer` names another layer of the backbone than the architecture's usual one (`layers` lists them). The map of an ensemble
    is the mean of its members' (see `mean_map`). Score-CAM tries
    the `channels` feature maps that vary most (0: all) and calls `progress(done, total)`; what that raises ends it. Safe to
    call from several threads, under no_grad, and between training steps: modes, requires_grad and gradients are as they were
    afterwards.

    Raises:
        BadConfig: unknown method, target or layer, or one that this architecture cannot give a map for.
    """
    pixels = pixels_of(prepared)
    return _made(model, [pixels], None, 0, _Wanted(method, target, layer, channels, progress))


def heatmap_in_breast(
    model: Classifier,
    images: Sequence[HasPixels | NDArray[np.uint8]],
    views: Sequence[int],
    place: int,
    *,
    method: str = AUTO,
    target: str = "malignant",
    layer: str | None = None,
    channels: int = SCORE_CHANNELS,
    progress: Progress | None = None,
) -> Heatmap:
    """As `heatmap` for image number `place` of a breast whose images a model judges together: the evidence for the breast's
    score in this image, the others being as they are.

    Args:
        views: the kind of each image's view (core.model.view_codes).
    """
    return _made(model, [pixels_of(each) for each in images], views, place, _Wanted(method, target, layer, channels, progress))


@dataclass(frozen=True)
class _Wanted:
    """Which map is asked for, as `heatmap` takes it."""

    method: str
    target: str
    layer: str | None
    channels: int
    progress: Progress | None


def _made(
    model: Classifier, images: Sequence[NDArray[np.uint8]], views: Sequence[int] | None, place: int, wanted: _Wanted
) -> Heatmap:
    """The map of one of the images; `views` None: the model judges that one alone."""
    method, target = auto_method(model) if wanted.method == AUTO else wanted.method, wanted.target
    if method not in METHODS:
        raise BadConfig(f"heatmap method: got {method!r}; allowed: {', '.join((AUTO, *METHODS))}")
    if target not in TARGETS:
        raise BadConfig(f"heatmap target: got {target!r}; allowed: {', '.join(TARGETS)}")
    if wanted.channels < 0:
        raise BadConfig(f"heatmap channels: got {wanted.channels}; expected how many feature maps Score-CAM tries, 0 for all")
    if isinstance(model, Ensemble):
        maps = [heats[0] for heats in _of_members(model, images, views, place, replace(wanted, method=method), (target,))]
        return mean_map(maps, [1.0 if model.alike else heat.peak for heat in maps])
    module = _find_layer(model, wanted.layer)
    with torch.inference_mode(False):
        # A tensor made under the caller's inference_mode cannot take part in autograd; its clone can.
        every = as_input(np.stack(images), model.mean.device).clone()
        answer: Answer = model if views is None else InBreast(model, every, views, place)
        chosen = every[place : place + 1]
        if method in GRADIENT_METHODS:
            try:
                raw = gradient_cam(*features_and_gradient(model, module, chosen, target, answer), method)
            except RuntimeError as error:
                if "memory" in str(error):  # no matter of the layer
                    raise
                first = str(error).partition("\n")[0]
                raise BadConfig(
                    f"heatmap: {method} gives no map for {model.name} at the chosen layer ({first}); choose another layer "
                    "or method, or images of the size that it was trained on"
                ) from error
        else:
            features = feature_map(model, module, chosen)
            if method == "eigencam":
                raw = eigen_cam(features)
            else:
                raw = score_cam(model, chosen, features, target, wanted.channels, wanted.progress, answer)
    return _heatmap(raw, images[place].shape, method, layer_name(model, module), target)


def evidence(
    model: Classifier,
    prepared: HasPixels | NDArray[np.uint8],
    *,
    method: str = AUTO,
    layer: str | None = None,
    channels: int = SCORE_CHANNELS,
    progress: Progress | None = None,
) -> Evidence:
    """Malignant and benign evidence of one prepared image on one scale; arguments and errors as for `heatmap`.

    Raises:
        BadConfig: also for EigenCAM, whose map is the same for either class.
    """
    return _both(model, [pixels_of(prepared)], None, 0, _Wanted(method, "", layer, channels, progress))


def evidence_in_breast(
    model: Classifier,
    images: Sequence[HasPixels | NDArray[np.uint8]],
    views: Sequence[int],
    place: int,
    *,
    method: str = AUTO,
    layer: str | None = None,
    channels: int = SCORE_CHANNELS,
    progress: Progress | None = None,
) -> Evidence:
    """As `evidence` for one image of a breast; arguments as for `heatmap_in_breast`."""
    return _both(model, [pixels_of(each) for each in images], views, place, _Wanted(method, "", layer, channels, progress))


def _both(
    model: Classifier, images: Sequence[NDArray[np.uint8]], views: Sequence[int] | None, place: int, wanted: _Wanted
) -> Evidence:
    """The maps of both classes of one of the images."""
    method, progress = auto_method(model) if wanted.method == AUTO else wanted.method, wanted.progress
    if method in CLASSLESS:
        raise BadConfig(f"{method} gives one map whatever the class: there is no benign evidence to set against it")

    if isinstance(model, Ensemble):
        pairs = _of_members(model, images, views, place, replace(wanted, method=method), TARGETS)
        units = [1.0 if model.alike else max(heat.peak for heat in pair) for pair in pairs]
        return combine(*(mean_map(maps, units) for maps in zip(*pairs, strict=True)))
    both = [
        _made(model, images, views, place, replace(wanted, method=method, target=target, progress=_share(progress, number, 2)))
        for number, target in enumerate(TARGETS)
    ]
    return combine(*both)


def _of_members(
    model: Ensemble,
    images: Sequence[NDArray[np.uint8]],
    views: Sequence[int] | None,
    place: int,
    wanted: _Wanted,
    targets: Sequence[str],
) -> list[tuple[Heatmap, ...]]:
    """Of each member the maps for these targets, by the same method."""
    count = len(model.networks) * len(targets)
    return [
        tuple(
            _made(
                member,
                images,
                views,
                place,
                replace(wanted, target=target, progress=_share(wanted.progress, number * len(targets) + turn, count)),
            )
            for turn, target in enumerate(targets)
        )
        for number, member in enumerate(model.networks)
    ]


def _share(progress: Progress | None, number: int, parts: int) -> Progress | None:
    """Progress of part `number` of `parts` that take as long as one another."""
    return None if progress is None else lambda done, total: progress(number * total + done, parts * total)


def mean_map(maps: Sequence[Heatmap], units: Sequence[float]) -> Heatmap:
    """The mean of maps of one image, (H, W) each, by networks that judge together: before they are scaled to 1, so that a
    network that finds little counts for little.

    A map's strength is divided by its unit: 1 for networks of one architecture, whose numbers mean the same; else what is
    strongest in that network, and each counts as much as the others.
    """
    first = maps[0]
    weights = [heat.peak / unit if unit > 0 else 0.0 for heat, unit in zip(maps, units, strict=True)]
    total = np.zeros_like(first.values, dtype=np.float64)
    for heat, weight in zip(maps, weights, strict=True):
        total += weight / len(maps) * heat.values
    cells = min(heat.cells for heat in maps)
    layer = first.layer if all(heat.layer == first.layer for heat in maps) else ""
    reason = _why_flat(total.astype(np.float32), total.astype(np.float32), first.target)
    if reason:
        reason = "; ".join(dict.fromkeys(heat.reason for heat in maps if heat.reason)) or reason
        values = np.zeros_like(first.values)
        return Heatmap(values, True, first.method, layer, first.target, reason, cells=cells)
    peak = float(total.max())
    return Heatmap((total / peak).astype(np.float32), False, first.method, layer, first.target, peak=peak, cells=cells)


def combine(malignant: Heatmap, benign: Heatmap) -> Evidence:
    """Two maps of one image by one method at one layer as Evidence."""
    strongest = max(malignant.peak, benign.peak)
    if strongest <= 0.0:
        return Evidence(malignant, benign, np.zeros_like(malignant.values))
    values = malignant.values * (malignant.peak / strongest) - benign.values * (benign.peak / strongest)
    return Evidence(malignant, benign, values.astype(np.float32))


def pixels_of(image: HasPixels | NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The pixels, uint8 (H, W). Raises BadConfig: it is something else."""
    pixels = image if isinstance(image, np.ndarray) else image.pixels
    if pixels.dtype != np.uint8 or pixels.ndim != 2:
        raise BadConfig(f"expected a prepared image, uint8 (H, W), got {pixels.dtype} {pixels.shape}")
    return pixels


def _heatmap(raw: NDArray[np.float32], shape: tuple[int, ...], method: str, layer: str, target: str) -> Heatmap:
    """A map as computed, (rows, columns) of its layer, over the image and from 0 to 1; flat with its reason where it is."""
    height, width = shape[0], shape[1]
    cells = (raw.shape[0], raw.shape[1])
    positive = np.maximum(raw, 0.0)
    reason = _why_flat(raw, positive, target)
    if reason:
        return Heatmap(np.zeros((height, width), np.float32), True, method, layer, target, reason, cells=cells)
    # Scaled twice: interpolation does not reach the peak.
    values = _scaled(np.asarray(cv2.resize(_scaled(positive), (width, height)), np.float32))
    peak = float(positive.max() - positive.min())
    return Heatmap(np.ascontiguousarray(np.clip(values, 0.0, 1.0)), False, method, layer, target, peak=peak, cells=cells)


def _scaled(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """From 0 to 1, as the package grad-cam scales maps."""
    shifted = values - values.min()
    return np.asarray(shifted / (1e-7 + shifted.max()), np.float32)


def _why_flat(raw: NDArray[np.float32], positive: NDArray[np.float32], target: str) -> str:
    """Empty for a map that says something, else why it does not."""
    if not np.isfinite(raw).all():
        return "the map holds values that are no numbers"
    peak = float(positive.max())
    if peak <= _FLAT_PEAK:
        return f"nothing at this layer speaks for {target}"
    if peak - float(positive.min()) <= _FLAT_RANGE * peak:
        return "the map is the same everywhere"
    return ""


def _find_layer(model: Classifier, name: str | None) -> nn.Module:
    if not name:
        return find_cam_layer(model)
    try:
        return model.backbone.get_submodule(name)
    except AttributeError as error:
        known = ", ".join(choice.name for choice in layer_choices(model))
        raise BadConfig(f"heatmap layer: {model.name} has no {name!r}; it has {known}") from error
