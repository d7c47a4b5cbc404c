"""Deletion and insertion: how the score moves while what a map marks is blurred away, or shown in a blurred image.

Only pixels of the breast are ranked and changed, so a map is not credited for deleting black. What is deleted becomes the
breast's own blur (computed within the breast: its outline stays), not black: a black hole is something a network has never
seen. Beside the map stand a random map, as coarse as a heatmap, and the breast's shape. Among pixels that a map holds equal
(often most of them: 0) the random map decides, in patches; pixel by pixel would sprinkle the image with false fine structure.

Source: Petsiuk, Das, Saenko, RISE, BMVC 2018.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from core.data.lesion_masks import Mask
from core.heatmap_audit.localisation import Map

Pixels = NDArray[np.uint8]
Scorer = Callable[[Pixels], Sequence[float]]

_COARSE = 16  # cells along each side of a random map: about a heatmap's at 256 px
_BATCH_IMAGES, _BATCH_PIXELS = 8, 4_000_000  # what a processor's cache likes, and what memory allows


def perturbation_curves(
    pixels: Pixels,
    breast: Mask,
    maps: Mapping[str, Map],
    score: Scorer,
    *,
    among_equal: Map,
    steps: int,
    blur: float,
) -> dict[tuple[str, str], NDArray[np.float64]]:
    """Scores (steps + 1,) by (kind, name of the map), kind deletion or insertion, at shares 0, 1 / steps, ... 1 of the breast.

    Args:
        pixels: uint8 (H, W), prepared.
        maps: float (H, W) each, by name.
        score: uint8 (N, H, W) -> N scores.
        among_equal: float (H, W), ranks the pixels that a map holds equal.
        blur: standard deviation of the blur, px.
    """
    blurred = blurred_breast(pixels, breast, blur)
    images: list[Pixels] = []
    for values in maps.values():
        ranked = ranking(values, breast, among_equal)
        for start, end in ((pixels, blurred), (blurred, pixels)):
            images.extend(_on_the_way(start, end, ranked, steps))
    ends = np.array(_scored(score, [pixels, blurred, *images]))
    original, removed, between = float(ends[0]), float(ends[1]), ends[2:].reshape(len(maps), 2, steps - 1)
    curves = {}
    for number, name in enumerate(maps):
        curves["deletion", name] = np.concatenate([[original], between[number, 0], [removed]])
        curves["insertion", name] = np.concatenate([[removed], between[number, 1], [original]])
    return curves


def area_under(curve: NDArray[np.float64]) -> float:
    """Area under scores at equal steps from 0 to 1, by trapezoids."""
    return float(np.trapezoid(curve, dx=1 / (len(curve) - 1)))


def blurred_breast(pixels: Pixels, breast: Mask, sigma: float) -> Pixels:
    """The image with its breast blurred by itself alone, the rest as it was."""
    inside = breast.astype(np.float32)
    # Nothing lies beyond the image: no border is made up for it.
    weight = cv2.GaussianBlur(inside, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    sums = cv2.GaussianBlur(pixels.astype(np.float32) * inside, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    mean = np.divide(sums, weight, out=np.zeros_like(sums), where=weight > 1e-6)
    return np.where(breast, np.floor(mean + 0.5).clip(0, 255).astype(np.uint8), pixels)


def ranking(values: Map, breast: Mask, among_equal: Map) -> NDArray[np.int64]:
    """Flat indices of the breast's pixels, the highest first, equal ones by `among_equal`."""
    where = np.flatnonzero(breast)
    return where[np.lexsort((-among_equal.ravel()[where], -values.ravel()[where]))]


def random_map(shape: tuple[int, int], name: str, seed: int) -> Map:
    """A map (H, W) in [0, 1] as coarse and as smooth as a heatmap, the same for the same name and seed."""
    digest = hashlib.sha256(f"{seed}\0{name}".encode()).digest()
    cells = np.random.default_rng(int.from_bytes(digest[:8], "little")).random((_COARSE, _COARSE), dtype=np.float32)
    return np.asarray(cv2.resize(cells, shape[::-1], interpolation=cv2.INTER_LINEAR))


def _on_the_way(start: Pixels, end: Pixels, ranked: NDArray[np.int64], steps: int) -> list[Pixels]:
    """`start` with the first 1 / steps, 2 / steps, ... of the ranked pixels taken from `end`, both ends left out."""
    images = []
    current = start.copy().ravel()
    edges = np.linspace(0, ranked.size, steps + 1).round().astype(np.int64)
    for first, last in pairwise(edges[:-1]):
        changed = ranked[first:last]
        current[changed] = end.ravel()[changed]
        images.append(current.reshape(start.shape).copy())
    return images


def _scored(score: Scorer, images: list[Pixels]) -> list[float]:
    size = max(1, min(_BATCH_IMAGES, _BATCH_PIXELS // images[0].size))
    return [value for first in range(0, len(images), size) for value in score(np.stack(images[first : first + size]))]
