"""Masks of lesions among images: by what their names say and where their image is, or by having two grey levels only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath

_WORDS = r"masks?|rois?|seg|segm|segmentations?|ground[_\-. ]?truth|gt|annotations?|contours?|overlays?|outlines?|heatmaps?"
_MASK = re.compile(rf"(?:^|(?<=[_\-. ()\[\]]))(?:{_WORDS})(?:[_\-. ]?[0-9]+)?(?=$|[_\-. ()\[\]])", re.IGNORECASE)
_EDGES = "_-. ()[]"


def says_mask(inside: PurePath) -> bool:
    """Whether the file's name, or a folder's that it is in, has a word for a mask: P1_mask.png, ROI/P1.png."""
    return any(_MASK.search(part) for part in (*inside.parent.parts, inside.stem))


def with_their_image(paths: Sequence[PurePath]) -> list[bool]:
    """For each path whether it says that it is a mask, and an image that it is of is among the others."""
    images = {_plain(path.stem) for path in paths if not says_mask(path)}
    return [says_mask(path) and any(name in images for name in _owners(path.stem)) for path in paths]


def _owners(stem: str) -> set[str]:
    without = _plain(_MASK.sub("", stem))
    return {without, _plain(re.sub(r"[_\-. ]+[0-9]+$", "", without))} - {""}


def _plain(stem: str) -> str:
    return re.sub(r"[_\-. ]+", "_", stem.strip(_EDGES)).casefold()
