"""The fingerprint of an image's picture: local features that survive what copying does to a file.

Local contrast is normalised, so that brightness, contrast, gamma and CLAHE change little. Features are SIFT's (Lowe, IJCV
2004) at fixed orientation: a copy is rotated by a few degrees at most. Opposite gradients count alike, so that an inverted copy
has the same descriptors. Nothing depends on where the breast is: a copy may be cropped, or drawn upon.

Each feature has two codes of 26 bits: on which side of as many directions its descriptor lies. A copy's features keep many
codes, and two pictures share hardly any. The directions were learned from power-law noise, whose spectrum is a mammogram's
(Burgess, Med Phys 2001), and each is even or odd under mirroring: the codes of a mirrored image are its own with some bits
turned round.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from core.images.mammogram import Pixels

SIDE = 224  # px of the square in which features are looked for, whatever the image's proportions
MOST = 300  # features of an image
LENGTH = 64  # of a descriptor: 4 x 4 cells, 4 directions each
FLIPS = ((False, False), (True, False), (False, True), (True, True))  # (left to right, upside down)
BITS, CODES = 26, 2  # of a code, and codes of a feature
FORMAT = 2  # raise it when fingerprints change

DIRECTIONS = Path(__file__).with_name("bits.npy")  # float32 (48, 65); written by benchmarks/descriptor_bits.py

_NEIGHBOURHOOD = 8.0  # px, of local contrast
_FLOOR = 0.1  # of the image's own contrast: noise in air stays small
_STEPS = 32.0  # grey levels of the normalised picture a unit of local contrast
_FAINTEST, _EDGE = 0.01, 20.0  # SIFT's contrastThreshold and edgeThreshold
_SCALE = 512.0  # of a descriptor's numbers, as stored
_PLACE = 128.0  # of a pixel, as stored
_SMALLEST = 96  # px of the shorter side
_MIRRORED = [0, 3, 2, 1]  # directions (0, 45, 90, 135 degrees) seen in a mirror
_SHARED = 4  # directions, the strongest, that are in both codes
_LEVELS = 65535
_FEWEST_LEVELS = 32

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Fingerprint:
    """`pixels`: equal for two images with the same pixels up to a scale of their grey levels. `points` uint16 (n, 2), x and y
    in 1/128 px of the square; `descriptors` uint8 (n, 64). `codes` uint32 (n, 2).
    """

    pixels: str
    points: NDArray[np.uint16]
    descriptors: NDArray[np.uint8]
    codes: NDArray[np.uint32]


def fingerprint_of(pixels: Pixels) -> Fingerprint:
    """The fingerprint of an image's pixels, float32 (H, W) in [0, 1]. An image without structure, or of less than 96 px a side,
    has no features: enlarged, any two outlines have the same steps.
    """
    few = min(pixels.shape) < _SMALLEST
    points, descriptors = _nothing() if few else _features(_normalised(pixels))
    return Fingerprint(
        pixel_hash(pixels),
        np.rint(points * _PLACE).astype(np.uint16),
        np.rint(descriptors * _SCALE).clip(0, 255).astype(np.uint8),
        _codes(descriptors),
    )


def describe(pixels: Pixels) -> Floats:
    """The descriptors of an image's features, float32 (n, 64), each of length 1."""
    return _features(_normalised(pixels))[1]


def pixel_hash(pixels: Pixels) -> str:
    """A hash of the order of the grey levels: containers scale them otherwise, and the same pixels keep theirs.

    A picture of few levels has none, "": of two drawings of one shape, only the order of the levels would count.
    """
    levels = np.rint(pixels * np.float32(_LEVELS)).clip(0, _LEVELS).astype(np.uint16)
    used = np.bincount(levels.ravel(), minlength=_LEVELS + 1) > 0
    if int(used.sum()) < _FEWEST_LEVELS:
        return ""
    ranks = (np.cumsum(used) - 1).astype(np.uint16)
    digest = hashlib.sha256(f"{levels.shape}".encode())
    digest.update(np.ascontiguousarray(ranks[levels]).data)
    return digest.hexdigest()


def points_of(stored: NDArray[np.uint16]) -> Floats:
    """Stored points in pixels of the square, float32 (n, 2)."""
    return stored.astype(np.float32) / np.float32(_PLACE)


def descriptors_of(stored: NDArray[np.uint8]) -> Floats:
    """Stored descriptors, float32 (n, 64), each of length 1."""
    found = stored.astype(np.float32)
    return found / (np.linalg.norm(found, axis=1, keepdims=True) + np.float32(1e-6))


def flipped_points(points: Floats, flip: int) -> Floats:
    """Points of the square as they lie in the mirrored square; `flip` is an index of FLIPS."""
    across, down = FLIPS[flip]
    last = np.float32(SIDE - 1)
    return np.stack([last - points[:, 0] if across else points[:, 0], last - points[:, 1] if down else points[:, 1]], axis=1)


def flipped_descriptors(descriptors: Floats, flip: int) -> Floats:
    """What the descriptors, float32 (n, 64), would be in the mirrored square."""
    across, down = FLIPS[flip]
    cells = descriptors.reshape(-1, 4, 4, 4)
    if across:
        cells = cells[:, :, ::-1][..., _MIRRORED]
    if down:
        cells = cells[:, ::-1][..., _MIRRORED]
    return np.ascontiguousarray(cells).reshape(-1, LENGTH)


@functools.cache
def flip_masks() -> NDArray[np.uint32]:
    """The bits that are turned round in the codes of a mirrored image, uint32 (4, 2) by FLIPS."""
    directions = _directions()[0]
    odd = np.stack([(flipped_descriptors(directions, flip) * directions).sum(axis=1) < 0 for flip in range(len(FLIPS))])
    return _packed(odd)


def _normalised(pixels: Pixels) -> NDArray[np.uint8]:
    """The picture as a square with its local contrast made even, uint8."""
    smaller = min(pixels.shape) >= SIDE
    square = cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    detail = square - cv2.GaussianBlur(square, (0, 0), _NEIGHBOURHOOD)
    contrast = np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), _NEIGHBOURHOOD))
    floor = _FLOOR * float(np.sqrt(np.mean(detail * detail))) + 1e-7
    even = detail / (contrast + np.float32(floor))
    return np.clip(even * _STEPS + 128, 0, 255).astype(np.uint8)


def _features(picture: NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """Places (n, 2) in pixels, and descriptors (n, 64) of length 1, of the most salient features."""
    sift = cv2.SIFT.create(nfeatures=0, contrastThreshold=_FAINTEST, edgeThreshold=_EDGE)
    chosen: dict[tuple[int, int, int], cv2.KeyPoint] = {}
    for keypoint in sorted(sift.detect(picture, None), key=lambda point: -point.response):
        keypoint.angle = 0.0
        place = (round(keypoint.pt[0]), round(keypoint.pt[1]), keypoint.octave)
        chosen.setdefault(place, keypoint)  # one a place: SIFT repeats it for each orientation
        if len(chosen) == MOST:
            break
    if not chosen:
        return _nothing()
    keypoints, raw = sift.compute(picture, list(chosen.values()))
    directions = raw.reshape(-1, 4, 4, 8)
    unsigned = np.sqrt(directions[..., :4] + directions[..., 4:]).reshape(-1, LENGTH)
    points = np.array([keypoint.pt for keypoint in keypoints], np.float32).clip(0, SIDE)
    return points, unsigned / (np.linalg.norm(unsigned, axis=1, keepdims=True) + np.float32(1e-6))


def _nothing() -> tuple[Floats, Floats]:
    return np.zeros((0, 2), np.float32), np.zeros((0, LENGTH), np.float32)


@functools.cache
def _directions() -> tuple[Floats, Floats]:
    """The directions, float32 (48, 64), and their thresholds, (48,)."""
    learned = np.load(DIRECTIONS, allow_pickle=False)
    return learned[:, :LENGTH], learned[:, LENGTH]


def _codes(descriptors: Floats) -> NDArray[np.uint32]:
    directions, thresholds = _directions()
    return _packed(descriptors @ directions.T > thresholds)


def _packed(bits: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """Two codes, uint32 (n, 2), of 48 bits (n, 48), the strongest direction first."""
    powers = np.uint32(1) << np.arange(BITS, dtype=np.uint32)
    second = np.concatenate([bits[:, :_SHARED], bits[:, BITS:]], axis=1)
    return np.stack([bits[:, :BITS] @ powers, second @ powers], axis=1).astype(np.uint32)
