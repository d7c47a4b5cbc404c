"""Whether two candidates show one picture: their features must lie on one another under one affine map.

Images of one breast from two exposures, of its two views, or of both breasts are no copies: tissue moves between exposures, and
what can be matched does not fit one map.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from core.data.copies.fingerprint import SIDE, Floats, flipped_descriptors, flipped_points

_FAR = 0.3  # of the picture: a crop and a rotation move nothing further
_NEAR = 1.5  # px: so close do features of a copy come to their place; tissue that was compressed again comes less close
_MATCHES = 0.6  # of the features that are each other's nearest lie near enough in a copy (at least 0.79)
_FITTING = 0.5  # of those fit the map: in copies at least 0.54 (eight changes at once), in others at most 0.43
_FEWEST = 20  # features that fit: in copies at least 31, but in pictures with hardly any
# Of a cell's matches, so many fit in a copy, on an average of the cells, each by the root of its number of matches: at least
# 0.5 in copies. A text burned into two pictures fits in its own cells alone: at most 0.42.
_CELLS = 0.47
_GRID = 7
# Rotated by one angle, two pictures have the same edges and black corners. Off the rim, in both, at least 7 features fit in
# copies, and 0.6 of those that match; in such pictures 1, and 0.04.
_RIM, _FEWEST_INSIDE, _INSIDE = 0.1, 5, 0.4
_ROWS, _COLUMNS = 3, 2  # of cells that fit: a text fills one row or two
_LARGEST, _SMALLEST, _UNEVEN, _TURN = 1.7, 0.6, 1.6, 15.0  # the map's scales, their ratio, and its rotation in degrees
_ITERATIONS = 500


def same_picture(first: tuple[Floats, Floats], second: tuple[Floats, Floats], flip: int) -> bool:
    """Whether two images, each its points (n, 2) and descriptors (n, 64), show one picture; the first mirrored as `flip` says.

    Never raises; where there are too few features to tell, they do not.
    """
    points, descriptors = flipped_points(first[0], flip), flipped_descriptors(first[1], flip)
    if min(len(points), len(second[0])) < _FEWEST:
        return False
    likeness = descriptors @ second[1].T
    partner, back = likeness.argmax(axis=1), likeness.argmax(axis=0)
    mutual = np.flatnonzero(back[partner] == np.arange(len(points)))
    source, target = points[mutual], second[0][partner[mutual]]
    near = (np.abs(source - target) < _FAR * SIDE).all(axis=1)
    if near.sum() < max(_FEWEST, _MATCHES * len(mutual)):
        return False
    source, target = source[near], target[near]
    # OpenCV's own generator gives the same samples each time.
    matrix, fits = cv2.estimateAffine2D(source, target, ransacReprojThreshold=_NEAR, maxIters=_ITERATIONS, confidence=0.99)
    if matrix is None or not _plausible(matrix):
        return False
    fitting = fits.ravel() > 0
    enough = bool(fitting.sum() >= max(_FEWEST, _FITTING * len(target)))
    return enough and _all_over(target, fitting) and _inside(_off_the_rim(source) & _off_the_rim(target), fitting)


def _all_over(points: Floats, fitting: NDArray[np.bool_]) -> bool:
    """Whether matches fit wherever there are some, and not in one place only."""
    cells = (points * (_GRID / (SIDE + 1))).astype(np.int64)
    number = cells[:, 1] * _GRID + cells[:, 0]
    matches = np.bincount(number, minlength=_GRID**2)
    fit = np.bincount(number[fitting], minlength=_GRID**2)
    matched = matches > 0
    share = float(np.average(fit[matched] / matches[matched], weights=np.sqrt(matches[matched])))
    good = (2 * fit > matches).reshape(_GRID, _GRID)
    spread = good.any(axis=1).sum() >= _ROWS and good.any(axis=0).sum() >= _COLUMNS
    return bool(spread and share >= _CELLS)


def _inside(inside: NDArray[np.bool_], fitting: NDArray[np.bool_]) -> bool:
    return bool((fitting & inside).sum() >= max(_FEWEST_INSIDE, _INSIDE * inside.sum()))


def _off_the_rim(points: Floats) -> NDArray[np.bool_]:
    return np.asarray(((points > _RIM * SIDE) & (points < (1 - _RIM) * SIDE)).all(axis=1), dtype=np.bool_)


def _plausible(matrix: NDArray[np.float64]) -> bool:
    linear = matrix[:, :2]
    scales = np.linalg.svd(linear, compute_uv=False)
    turn = abs(np.degrees(np.arctan2(linear[1, 0] - linear[0, 1], linear[0, 0] + linear[1, 1])))
    kept = bool(np.linalg.det(linear) > 0)
    return kept and bool(scales[0] < _LARGEST and scales[1] > _SMALLEST and scales[0] < _UNEVEN * scales[1] and turn < _TURN)
