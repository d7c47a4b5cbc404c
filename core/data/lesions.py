"""Lesions of an image, as the manifest's column `lesions` holds them: read, checked and written here and nowhere else.

The cell is a JSON list. An entry is an object with any of Lesion's fields, or a box [x0, y0, x1, y1] alone, as manifests from
before there were objects have it; both may stand in one list.
"""

from __future__ import annotations

import itertools
import json
import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import pandas as pd

from core.data.tables import shown
from core.errors import BadManifest
from core.files.typed import from_plain, to_plain
from core.files.untrusted import parse_json

TYPES = ("mass", "calcification", "distortion", "asymmetry", "other")
_WANTED = (
    "expected a JSON list of [x0, y0, x1, y1] in pixels with x0 < x1 and y0 < y1, or of objects with type, pathology, birads, "
    "box, polygon, mask, size"
)

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Lesion:
    """One lesion; coordinates in pixels of the original image, origin top left.

    `type`: one of TYPES or "". `pathology`, `birads`: what the data set says of this lesion, in lower case; "" for nothing.
    `box`: (x0, y0, x1, y1). `polygon`: points (x, y); one or two mark a spot. `mask`: an image file of the whole image's view,
    lesion white; a relative path starts at the image's own folder. `size`: (width, height) of the image that box and polygon
    refer to, None where it is the image itself. `note`: what is doubtful about it.
    """

    type: str = ""
    pathology: str = ""
    birads: str = ""
    box: Box | None = None
    polygon: tuple[tuple[float, float], ...] = ()
    mask: str = ""
    size: tuple[int, int] | None = None
    note: str = ""

    @property
    def bounds(self) -> Box | None:
        """The box, or the one around the polygon (a spot is a pixel); None where only a mask says where it is, or nothing."""
        if self.box is not None or not self.polygon:
            return self.box
        xs, ys = zip(*self.polygon, strict=True)
        x0, y0 = min(xs), min(ys)
        return x0, y0, max(*xs, x0 + 1), max(*ys, y0 + 1)

    def scaled(self, width: int, height: int) -> Lesion:
        """The same in an image of this size; unchanged where `size` is not known or is this one."""
        if self.size is None or self.size == (width, height):
            return self
        across, down = width / self.size[0], height / self.size[1]
        box = None if self.box is None else (self.box[0] * across, self.box[1] * down, self.box[2] * across, self.box[3] * down)
        polygon = tuple((x * across, y * down) for x, y in self.polygon)
        return replace(self, box=box, polygon=polygon, size=(width, height))

    def clamped(self, width: int, height: int) -> Lesion:
        """The same with its box and polygon cut at the edges of an image of this size; a box outside becomes None."""
        box = self.box
        if box is not None:
            box = (max(0.0, box[0]), max(0.0, box[1]), min(float(width), box[2]), min(float(height), box[3]))
            box = box if box[0] < box[2] and box[1] < box[3] else None
        polygon = tuple((min(max(0.0, x), float(width)), min(max(0.0, y), float(height))) for x, y in self.polygon)
        return replace(self, box=box, polygon=polygon)


_FIELDS = {each.name for each in fields(Lesion)}


def lesions_of(row: Mapping[Any, Any] | pd.Series) -> list[Lesion]:
    """The row's lesions; [] when it has none, or does not say.

    Raises:
        BadManifest: `lesions` is not what this module's first lines say.
    """
    content = row.get("lesions", "")
    entries = _entries(content)
    if entries is None:
        raise BadManifest(f"lesions {shown(content)}: {_WANTED}")
    try:
        found = [_lesion(entry) for entry in entries]
    except ValueError as error:
        raise BadManifest(f"lesions {shown(content)}: {_WANTED} ({error})") from error
    return found


def lesions_text(lesions: Sequence[Lesion]) -> str:
    """The cell that `lesions_of` reads back; "" for none. Fields that say nothing are left out."""
    if not lesions:
        return ""
    plain = [{name: value for name, value in to_plain(lesion).items() if value not in ("", None, [])} for lesion in lesions]
    return json.dumps(plain, ensure_ascii=False)


def lesion_boxes(row: Mapping[Any, Any] | pd.Series, size: tuple[int, int] | None = None) -> list[Box]:
    """The row's lesion boxes (x0, y0, x1, y1) in pixels of the original image, origin top left; [] when it has none.

    Args:
        size: (width, height) of the image, where it is known: boxes that refer to another size are scaled to it.

    Raises:
        BadManifest: as `lesions_of`.
    """
    lesions = lesions_of(row)
    if size is not None:
        lesions = [lesion.scaled(*size) for lesion in lesions]
    return [bounds for lesion in lesions if (bounds := lesion.bounds) is not None]


def number_lists(content: Any, length: int) -> list[list[float]] | None:
    """The JSON list of lists of `length` finite numbers in a cell; [] for an empty cell, None for anything else."""
    entries = _entries(content)
    if entries is None or not all(_is_list(each) and len(each) == length for each in entries):
        return None
    if any(isinstance(each, bool) or not isinstance(each, numbers.Real) for each in itertools.chain(*entries)):
        return None
    try:
        result = [[float(each) for each in entry] for entry in entries]
    except OverflowError:
        return None
    return result if all(map(math.isfinite, itertools.chain(*result))) else None


def _entries(content: Any) -> list[Any] | tuple[Any, ...] | None:
    """The list in a cell; [] for an empty one, None for anything else."""
    if content is None or content == "" or (isinstance(content, float) and math.isnan(content)):
        return []
    if isinstance(content, str):
        try:
            content = parse_json(content)
        except ValueError:
            return None
    return content if _is_list(content) else None


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _lesion(entry: Any) -> Lesion:
    if _is_list(entry):
        boxes = number_lists([entry], 4)
        if boxes is None:
            raise ValueError(f"not a box: {shown(entry)}")
        x0, y0, x1, y1 = boxes[0]
        lesion = Lesion(box=(x0, y0, x1, y1))
    else:
        if not isinstance(entry, dict) or not _FIELDS & set(entry):
            raise ValueError(f"not a lesion: {shown(entry)}")
        lesion = from_plain(Lesion, entry)
    box = lesion.box
    if box is not None and not (math.isfinite(sum(box)) and box[0] < box[2] and box[1] < box[3]):
        raise ValueError(f"not a box: {shown(list(box))}")
    if not all(math.isfinite(x) and math.isfinite(y) for x, y in lesion.polygon):
        raise ValueError("a polygon has points that are no numbers")
    if lesion.size is not None and min(lesion.size) < 1:
        raise ValueError(f"not a size: {shown(list(lesion.size))}")
    return lesion
