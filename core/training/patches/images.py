"""Patches of prepared images: with a lesion, beside one, and of other tissue, drawn again in every epoch.

As in the first stage of Shen et al., Sci Rep 2019;9:12495, with two changes: a patch lies anywhere that holds the lesion, and
the patches beside it, which show part of it or none, count as tissue.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from core.config import AugmentationConfig
from core.data import augment
from core.data.cache import PreparedCache
from core.data.lesion_masks import PlacedLesion, breast_mask
from core.data.read_ahead import read_ahead

CLASSES = ("tissue", "benign", "malignant")
UNKNOWN = len(CLASSES)  # target of a lesion of which nobody says whether it is benign or malignant

_STREAM, _ORDER_STREAM = 0x70617463, 0x70617464  # keep these draws apart from those of whole images
_LESIONS = 3  # of an image in one epoch at most, so that an image with many does not fill it
_ATTEMPTS = 30  # to place a patch beside the lesions; a small or crowded breast may have no room
_PART = 0.1  # of a lesion that a patch of tissue may show
_BREAST = 0.5  # of a patch that has to show breast

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Patch:
    """A square of an image: its number, the upper left corner (x, y), and what it shows, an index of CLASSES or UNKNOWN."""

    image: int
    corner: tuple[int, int]
    target: int


@dataclass(frozen=True, eq=False)
class PatchImages:
    """The images that patches are cut from: `paths`, the `lesions` of each in prepared pixels, the side of a patch `size`."""

    paths: Sequence[str]
    lesions: Sequence[Sequence[PlacedLesion]]
    cache: PreparedCache
    size: int

    def __len__(self) -> int:
        return len(self.paths)

    def of_epoch(self, seed: int, epoch: int) -> list[Patch]:
        """The patches of an epoch in their order: for each lesion one with it, one beside it and one of other tissue, where
        there is room for these. A function of seed and epoch."""
        found = [patch for image in range(len(self)) for patch in self._of_image(image, seed, epoch)]
        order = np.random.default_rng(np.random.SeedSequence((seed, epoch, _ORDER_STREAM))).permutation(len(found))
        return [found[place] for place in order]

    def batches(
        self,
        patches: Sequence[Patch],
        *,
        batch_size: int,
        start: int,
        augmentation: AugmentationConfig | None,
        seed: int,
        epoch: int,
        workers: int = 1,
    ) -> Generator[tuple[torch.Tensor, torch.Tensor], None, None]:
        """(images float32 (N, 1, size, size) in [0, 1], targets int64 (N,)) of these patches, from batch `start` (0-based) on.

        `augmentation` None changes nothing.
        """
        tasks = [
            range(first, min(first + batch_size, len(patches))) for first in range(start * batch_size, len(patches), batch_size)
        ]

        def load(places: range) -> tuple[torch.Tensor, torch.Tensor]:
            images = np.empty((len(places), 1, self.size, self.size), np.float32)
            for row, place in enumerate(places):
                change = _NOTHING if augmentation is None else augment.draw(augmentation, seed, epoch, place, _STREAM)
                self._cut(patches[place], change, images[row, 0])
            targets = np.array([patches[place].target for place in places], np.int64)
            return torch.from_numpy(images), torch.from_numpy(targets)

        return read_ahead(load, tasks, workers=workers, ahead=3, name="patches")

    def _cut(self, patch: Patch, change: augment.Change, out: NDArray[np.float32]) -> None:
        pixels = self.cache.read_pixels(self.paths[patch.image])
        x, y = patch.corner
        augment.crop(pixels, change, (x + self.size / 2, y + self.size / 2), self.size, out)

    def _of_image(self, image: int, seed: int, epoch: int) -> list[Patch]:
        lesions = self.lesions[image]
        draw = np.random.default_rng(np.random.SeedSequence((seed, epoch, image, _STREAM)))
        chosen = [lesions[place] for place in draw.permutation(len(lesions))[:_LESIONS]]
        breast = breast_mask(self.cache.read_pixels(self.paths[image]), self.cache.recipe)
        boxes = [lesion.box for lesion in lesions]
        patches = []
        for lesion in chosen:
            target = CLASSES.index(lesion.label) if lesion.label else UNKNOWN
            patches.append(Patch(image, self._around(lesion.box, breast.shape, draw), target))
            beside = self._tissue(breast, boxes, draw, lesion.box)
            elsewhere = self._tissue(breast, boxes, draw)
            patches += [Patch(image, corner, 0) for corner in (beside, elsewhere) if corner is not None]
        return patches

    def _around(self, box: Box, shape: tuple[int, ...], draw: np.random.Generator) -> tuple[int, int]:
        """A corner such that the patch holds the box, or where that is larger, shows nothing but it; both along each axis."""
        corner = []
        for low, high, side in ((box[0], box[2], shape[1]), (box[1], box[3], shape[0])):
            first, last = sorted((low, high - self.size))
            corner.append(int(np.clip(draw.integers(first, last + 1), 0, side - self.size)))
        return corner[0], corner[1]

    def _tissue(
        self, breast: NDArray[np.bool_], boxes: Sequence[Box], draw: np.random.Generator, near: Box | None = None
    ) -> tuple[int, int] | None:
        """A corner of a patch of breast with next to nothing of any lesion, `near` a box where one is given; None: no room."""
        height, width = breast.shape
        for _ in range(_ATTEMPTS):
            if near is None:
                corner = (int(draw.integers(0, width - self.size + 1)), int(draw.integers(0, height - self.size + 1)))
            else:
                corner = self._beside(near, (height, width), draw)
            seen = breast[corner[1] : corner[1] + self.size, corner[0] : corner[0] + self.size]
            if seen.mean() >= _BREAST and all(_shown(box, corner, self.size) <= _PART for box in boxes):
                return corner
        return None

    def _beside(self, box: Box, shape: tuple[int, int], draw: np.random.Generator) -> tuple[int, int]:
        """A corner from which the patch's middle is half to one and a half of its side away from the box's edge."""
        angle, distance = draw.uniform(0, 2 * np.pi), draw.uniform(0.4, 1.0)
        x = (box[0] + box[2]) / 2 + np.cos(angle) * ((box[2] - box[0]) / 2 + distance * self.size)
        y = (box[1] + box[3]) / 2 + np.sin(angle) * ((box[3] - box[1]) / 2 + distance * self.size)
        left, top = (
            int(np.clip(middle - self.size / 2, 0, side - self.size)) for middle, side in ((x, shape[1]), (y, shape[0]))
        )
        return left, top


_NOTHING = augment.Change(flip=False, angle=0.0, scale=1.0, brightness=0.0, contrast=1.0)


def _shown(box: Box, corner: tuple[int, int], size: int) -> float:
    """Share of a box that a patch shows."""
    width = min(box[2], corner[0] + size) - max(box[0], corner[0])
    height = min(box[3], corner[1] + size) - max(box[1], corner[1])
    return max(0, width) * max(0, height) / max(1, (box[2] - box[0]) * (box[3] - box[1]))
