"""How well a map finds a lesion: pointing game, energy inside, overlap; and what chance and the breast's shape would find.

Sources: pointing game with 15 px tolerance: Zhang et al., IJCV 2018;126:1084. Energy-based pointing game: Wang et al.,
Score-CAM, CVPR Workshops 2020. On chest radiographs maps fall short of lesions more often than they look: Arun et al.,
Radiol Artif Intell 2021;3:e200267 (overlap, weight randomisation).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from core.data.lesion_masks import Mask

Map = NDArray[np.float32]


def localisation(values: Map, lesion: Mask, breast: Mask, tolerance: float) -> dict[str, float]:
    """The metrics of one map, each beside what chance gives.

    Args:
        values: float (H, W), at least 0, not all 0.
        lesion: bool (H, W), not empty; only what lies in the breast counts.
        breast: bool (H, W).
        tolerance: px, how far from the lesion the peak still hits.

    Returns: hit, hit_exact, energy, iou_area, iou_half in [0, 1] and each with ":chance": a pixel drawn blindly from the
    breast (hit), a map that is the same all over the breast (energy), as many pixels drawn blindly (iou).
    """
    lesion = lesion & breast
    share = lesion.sum() / breast.sum()
    near = grown(lesion, tolerance)
    peaks = values == values.max()
    half = values >= values.max() / 2
    area = _top(values, int(lesion.sum()))
    return {
        "hit": _part(peaks, near),
        "hit:chance": _part(breast, near),
        "hit_exact": _part(peaks, lesion),
        "hit_exact:chance": float(share),
        "energy": energy_inside(values, lesion),
        "energy:chance": float(share),
        "iou_area": _iou(area, lesion),
        "iou_area:chance": _chance_iou(area, lesion, breast),
        "iou_half": _iou(half, lesion),
        "iou_half:chance": _chance_iou(half, lesion, breast),
    }


def energy_inside(values: Map, mask: Mask) -> float:
    """Share of the map's sum that lies in the mask."""
    return float(values[mask].sum(dtype=np.float64) / values.sum(dtype=np.float64))


def shape_map(breast: Mask) -> Map:
    """What knows the breast's outline and nothing else: each pixel's distance from it, float32 (H, W) in [0, 1].

    The image's edge counts as outline, so it peaks in the breast's middle: the best guess of who has seen no tissue.
    """
    distance = cv2.distanceTransform(np.pad(breast.astype(np.uint8), 1), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    return np.ascontiguousarray(distance / max(float(distance.max()), 1e-6), dtype=np.float32)


def grown(mask: Mask, distance: float) -> Mask:
    """The mask and everything within `distance` px of it."""
    if distance <= 0:
        return mask
    away = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(away <= distance)


def _part(inner: Mask, outer: Mask) -> float:
    """Share of `inner` that lies in `outer`; of several equal peaks so each counts its part."""
    return float((inner & outer).sum() / inner.sum())


def _top(values: Map, count: int) -> Mask:
    """The `count` highest pixels, all that tie with the last of them, and none that is 0."""
    least = np.partition(values.ravel(), -count)[-count]
    return np.asarray((values >= least) & (values > 0))


def _iou(first: Mask, second: Mask) -> float:
    return float((first & second).sum() / (first | second).sum())


def _chance_iou(region: Mask, lesion: Mask, breast: Mask) -> float:
    """IoU of the lesion with so many pixels drawn blindly from the breast (of the expected overlap)."""
    drawn, target = min(region.sum(), breast.sum()), lesion.sum()
    overlap = drawn * target / breast.sum()
    return float(overlap / (drawn + target - overlap))
