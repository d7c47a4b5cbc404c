"""What happens to copies of an image: each function takes uint8 (H, W) and a random generator, and gives such a picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Alteration = Callable[[Picture, Generator], Picture]


def jpeg(picture: Picture, random: Generator) -> Picture:
    """Through JPEG at quality 50-95."""
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(50, 96))])
    return _grey(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE))


def resized(picture: Picture, random: Generator) -> Picture:
    """To 0.5-2 times its sides."""
    return _scaled(picture, float(np.exp(random.uniform(np.log(0.5), np.log(2)))))


def halved(picture: Picture, random: Generator) -> Picture:
    """To half its sides."""
    return _scaled(picture, 0.5)


def stretched(picture: Picture, random: Generator) -> Picture:
    """To 0.6-1 of its width, at its height."""
    return _grey(cv2.resize(picture, None, fx=float(random.uniform(0.6, 1)), fy=1, interpolation=cv2.INTER_AREA))


def mirrored(picture: Picture, random: Generator) -> Picture:
    """Left to right."""
    return np.ascontiguousarray(picture[:, ::-1])


def upside_down(picture: Picture, random: Generator) -> Picture:
    """Top to bottom."""
    return np.ascontiguousarray(picture[::-1])


def inverted(picture: Picture, random: Generator) -> Picture:
    """White for black."""
    return _grey(255 - picture)


def clahe(picture: Picture, random: Generator) -> Picture:
    """CLAHE with a clip limit of 1.5-6."""
    return _grey(cv2.createCLAHE(float(random.uniform(1.5, 6)), (8, 8)).apply(picture))


def brightness_and_contrast(picture: Picture, random: Generator) -> Picture:
    """Grey levels times 0.6-1.4, plus up to 40 either way, cut off at black and white."""
    return _grey(picture * random.uniform(0.6, 1.4) + random.uniform(-40, 40))


def gamma(picture: Picture, random: Generator) -> Picture:
    """A gamma of 0.5-2."""
    return _grey(255 * (picture / 255) ** float(np.exp(random.uniform(np.log(0.5), np.log(2)))))


def cropped(picture: Picture, random: Generator) -> Picture:
    """Up to 10 % off each side."""
    return _without(picture, random.uniform(0, 0.1, 4))


def cropped_most(picture: Picture, random: Generator) -> Picture:
    """10 % off every side."""
    return _without(picture, np.full(4, 0.1))


def rotated(picture: Picture, random: Generator) -> Picture:
    """By 1-5 degrees either way, with black corners or corners like the upper edge."""
    height, width = picture.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), float(random.uniform(1, 5) * random.choice([-1, 1])), 1.0)
    corner = int(random.choice([0, int(np.median(picture[0]))]))
    return _grey(cv2.warpAffine(picture, turn, (width, height), borderValue=corner))


def labelled(picture: Picture, random: Generator) -> Picture:
    """With two burned-in texts, and in half of the cases a white patch."""
    drawn = picture.copy()
    height, width = drawn.shape
    for text in random.choice(["R CC", "L MLO", "12-03-2011", "AB 1234", "HOSPITAL"], 2):
        at = (int(random.uniform(0, 0.7) * width), int(random.uniform(0.05, 0.98) * height))
        size = width / 640 * float(random.uniform(0.7, 1.6))
        cv2.putText(drawn, str(text), at, cv2.FONT_HERSHEY_SIMPLEX, size, 255, max(1, width // 300))
    if random.random() < 0.5:
        x, y = int(random.uniform(0, 0.8) * width), int(random.uniform(0, 0.8) * height)
        cv2.rectangle(drawn, (x, y), (x + width // 8, y + height // 12), 255, -1)
    return drawn


ALTERATIONS: dict[str, Alteration] = {
    "jpeg": jpeg,
    "resized": resized,
    "halved": halved,
    "stretched": stretched,
    "mirrored": mirrored,
    "upside down": upside_down,
    "inverted": inverted,
    "clahe": clahe,
    "brightness and contrast": brightness_and_contrast,
    "gamma": gamma,
    "cropped": cropped,
    "cropped most": cropped_most,
    "rotated": rotated,
    "labelled": labelled,
}
_ALONE = ("halved", "stretched", "upside down", "cropped most")
_COMBINED = [name for name in ALTERATIONS if name not in _ALONE]


def combined(number: int) -> Alteration:
    """That many alterations drawn from all kinds, in a drawn order."""

    def alter(picture: Picture, random: Generator) -> Picture:
        for name in random.permutation(_COMBINED)[:number]:
            picture = ALTERATIONS[str(name)](picture, random)
        return picture

    return alter


ALTERATIONS |= {"two combined": combined(2), "three combined": combined(3), "four combined": combined(4)}


def _grey(picture: Any) -> Picture:
    return np.clip(picture, 0, 255).astype(np.uint8)


def _scaled(picture: Picture, factor: float) -> Picture:
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return _grey(cv2.resize(picture, None, fx=factor, fy=factor, interpolation=how))


def _without(picture: Picture, shares: NDArray[np.float64]) -> Picture:
    height, width = picture.shape
    top, bottom, left, right = (int(share * side) for share, side in zip(shares, (height, height, width, width), strict=True))
    return np.ascontiguousarray(picture[top : height - bottom, left : width - right])
