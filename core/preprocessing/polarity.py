"""Polarity: whether an image is stored inverted (white background), from its pixels alone; raster files carry no tag.

Air is the flattest large thing in a mammogram and reaches the image's margin. Each flat region there votes with its
area: darker than the rest of the image, it looks like air as it should be; brighter, like air stored inverted. So
implants, redacted patches, film frames and scanner strips are outvoted instead of setting the scale.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.images.mammogram import Pixels
from core.preprocessing.flat_regions import flat_regions, normalised_copy

_SAME = 0.08  # of the grey range: levels closer than this belong to the same thing
_CLEAR = 0.25  # of the grey range: a difference that counts as a full vote
_EVIDENCE = 0.05  # of the image: votes that suffice for a sure verdict
_UNSURE = 0.25


@dataclass(frozen=True)
class Polarity:
    """The verdict, and its margin: -1 (surely as it should be) .. 1 (surely inverted)."""

    inverted: bool
    margin: float

    @property
    def unsure(self) -> bool:
        """Whether the picture gave too little evidence either way."""
        return abs(self.margin) < _UNSURE


def detect_polarity(image: Pixels) -> Polarity:
    """Judge an image, float32 (h, w) in [0, 1], best a downscaled one. Without any background it is kept as it is."""
    levels = normalised_copy(image)
    if levels is None:
        return Polarity(False, 0.0)
    dark = bright = 0.0
    for region in flat_regions(levels):
        level = float(np.median(region.values))
        # The rest: everything that is not air like this. Air often comes in several pieces of the same level.
        others = levels[np.abs(levels - level) > _SAME]
        difference = float(np.median(others)) - level if others.size else 0.0
        vote = region.share * min(1.0, abs(difference) / _CLEAR)
        dark, bright = (dark + vote, bright) if difference > 0 else (dark, bright + vote)
    margin = (bright - dark) / max(bright + dark, _EVIDENCE)
    return Polarity(margin > 0, margin)
