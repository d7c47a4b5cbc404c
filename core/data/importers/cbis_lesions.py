"""Which file of a CBIS-DDSM lesion is the mask and which the crop, and where the mask is white.

File numbers, folder names and the tables contradict each other: the file itself decides. A mask has 8 bits and two levels and
is as large as the film, a crop has 16 bits; where that says nothing, the series description; then the pixels.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.data.lesions import Box
from core.data.read_ahead import read_ahead
from core.errors import UnreadableImage
from core.images import one_large_at_a_time, read
from core.images.headers import read_header

Progress = Callable[[int, int], None]

_NEARLY = 0.99  # share of nearly black or white pixels in a mask, also one with the ringing of a JPEG
_DARK, _BRIGHT = 0.15, 0.85


@dataclass(frozen=True)
class LesionFiles:
    """`box` and `size` (width, height) of the mask, None where it was not read; `problem`: why there is none, what is odd."""

    mask: Path | None = None
    crop: Path | None = None
    box: Box | None = None
    size: tuple[int, int] | None = None
    problem: str = ""


def sort_out(
    candidates: Sequence[Sequence[Path]], described: Callable[[Path], str], boxes: bool, progress: Progress | None
) -> tuple[list[LesionFiles], Counter[str]]:
    """Mask and crop among the files of each lesion, and how often files and their descriptions disagree.

    Args:
        described: the series description of a file, as far as a table gives it.
        boxes: whether the masks are decoded for their boxes.
    """
    disagreements: Counter[str] = Counter()

    def one(files: Sequence[Path]) -> tuple[LesionFiles, bool]:
        return _sorted(files, described, boxes)

    workers = min(4, os.cpu_count() or 1)
    found: list[LesionFiles] = []
    results = read_ahead(one, candidates, workers=workers, ahead=4 * workers, name="lesions")
    with closing(results):
        for each, odd in results:
            found.append(each)
            disagreements["masks and crops whose series description says the other"] += odd
            if progress is not None:
                progress(len(found), len(candidates))
    return found, +disagreements


def _sorted(files: Sequence[Path], described: Callable[[Path], str], boxes: bool) -> tuple[LesionFiles, bool]:
    masks: list[Path] = []
    crops: list[Path] = []
    odd = False
    problem = ""
    for path in files:
        try:
            kind, contradicts = _kind(path, described(path))
        except UnreadableImage as error:
            problem = f"{path.name}: {error}"
            continue
        odd |= contradicts
        (masks if kind == "mask" else crops).append(path)
    crop = crops[0] if crops else None
    if not masks:
        return LesionFiles(crop=crop, problem=problem or ("no mask among its files" if files else "no mask here")), odd
    problem = "several masks: the first was taken" if len(masks) > 1 else ""
    if not boxes:
        return LesionFiles(masks[0], crop, problem=problem), odd
    try:
        with one_large_at_a_time():
            white = read(masks[0]).pixels >= np.float32(0.5)
    except UnreadableImage as error:
        return LesionFiles(crop=crop, problem=f"{masks[0].name}: {error}"), odd
    rows, columns = np.flatnonzero(white.any(axis=1)), np.flatnonzero(white.any(axis=0))
    if not len(rows):
        return LesionFiles(crop=crop, problem="its mask is black"), odd
    box = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
    return LesionFiles(masks[0], crop, box, (white.shape[1], white.shape[0]), problem), odd


def _kind(path: Path, description: str) -> tuple[str, bool]:
    """mask or crop, and whether the description says the other one."""
    header = read_header(path)
    bits = header.dicom.bits_allocated if header.dicom is not None else 0
    words = description or (header.dicom.description.lower() if header.dicom is not None else "")
    said = "mask" if "mask" in words else "crop" if "crop" in words else ""
    white_and_black = bits == 8 if bits else said == "mask" if said else _two_levels(path)
    kind = "mask" if white_and_black else "crop"
    return kind, bool(said) and said != kind


def _two_levels(path: Path) -> bool:
    with one_large_at_a_time():
        pixels = read(path).pixels
    return float(((pixels < _DARK) | (pixels > _BRIGHT)).mean()) >= _NEARLY
