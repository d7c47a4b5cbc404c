"""Contact sheets of a whole data set, to be looked at: what was found in each image, beside what the model gets.

MAMMOLAB_SHEETS_MANIFEST names a manifest, MAMMOLAB_SHEETS_OUT the folder for sheet-001.png ... and verdicts.csv.
MAMMOLAB_SHEETS_RECIPE may hold a recipe as JSON, e.g. {"pectoral": true}.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from core.config import Recipe
from core.data.manifest import read_manifest
from core.errors import BadConfig, UnreadableImage
from core.images import read
from core.images.mammogram import Mammogram
from core.preprocessing import Analysis, Prepared, analyse, map_boxes, prepare

_SIDE = 160  # px, one picture of a tile
_TEXT = 26  # px below the two pictures
_COLUMNS, _ROWS = 6, 11
_GREEN, _RED, _BLUE, _YELLOW = (60, 200, 60), (60, 60, 255), (255, 160, 60), (0, 220, 255)

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class _Tile:
    picture: Picture
    verdict: dict[str, Any]


def run() -> None:
    """Write the sheets and the verdicts, and print their counts."""
    manifest, out = (os.environ.get(f"MAMMOLAB_SHEETS_{name}", "") for name in ("MANIFEST", "OUT"))
    if not manifest or not out:
        raise BadConfig("set MAMMOLAB_SHEETS_MANIFEST to a manifest and MAMMOLAB_SHEETS_OUT to a folder for the sheets")
    recipe = Recipe(**json.loads(os.environ.get("MAMMOLAB_SHEETS_RECIPE", "{}")))
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{str(key): value for key, value in row.items()} for row in read_manifest(manifest).to_dict("records")]
    verdicts: list[dict[str, Any]] = []
    made = _tiles(rows, recipe)
    while tiles := list(islice(made, _COLUMNS * _ROWS)):
        _write(folder / f"sheet-{1 + len(verdicts) // (_COLUMNS * _ROWS):03d}.png", [tile.picture for tile in tiles])
        verdicts.extend(tile.verdict for tile in tiles)
    with (folder / "verdicts.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(verdicts[0]))
        writer.writeheader()
        writer.writerows(verdicts)
    flagged = sum(bool(verdict["warnings"]) for verdict in verdicts)
    lesions, cut = (sum(int(verdict[name] or 0) for verdict in verdicts) for name in ("lesions", "lesions_cut"))
    print(f"{len(verdicts)} images, {flagged} flagged; {lesions} lesions, {cut} not wholly inside the crop: {folder}")


def _tiles(rows: list[dict[str, Any]], recipe: Recipe) -> Iterator[_Tile]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(lambda row: _tile(row, recipe), rows)


def _tile(row: dict[str, Any], recipe: Recipe) -> _Tile:
    path = Path(row["path"])
    verdict: dict[str, Any] = {"name": path.name, "laterality": row["laterality"], "view": row["view"]}
    verdict |= dict.fromkeys(("inverted", "polarity_margin", "side", "side_margin", "lesions", "lesions_cut", "gap"), "")
    try:
        mammogram = read(path, window=recipe.voi_index)
    except UnreadableImage as error:
        return _Tile(np.zeros((_SIDE + _TEXT, 2 * _SIDE, 3), np.uint8), verdict | {"warnings": str(error)})
    analysis = analyse(mammogram, recipe)
    prepared = prepare(mammogram, recipe, analysis=analysis)
    boxes = [tuple(box) for box in json.loads(row.get("lesions") or "[]")]
    gaps = _gaps(boxes, prepared)
    verdict |= {
        "inverted": analysis.inverted,
        "polarity_margin": round(analysis.polarity.margin, 2),
        "side": analysis.chest_wall.side,
        "side_margin": round(analysis.chest_wall.margin, 2),
        "lesions": len(boxes),
        "lesions_cut": sum(gap < 0 for gap in gaps),
        "gap": round(min(gaps), 1) if gaps else "",
        "warnings": "; ".join(prepared.warnings),
    }
    return _Tile(_drawn(mammogram, analysis, prepared, boxes, verdict), verdict)


def _gaps(boxes: list[tuple[float, ...]], prepared: Prepared) -> list[float]:
    """Smallest distance of each lesion's box to the crop's border in original pixels; below 0: cut."""
    ((x0, y0, x1, y1),) = map_boxes([_box(prepared.breast)], np.asarray(np.linalg.inv(prepared.matrix), dtype=np.float64))
    return [min(left - x0, top - y0, x1 - right, y1 - bottom) for left, top, right, bottom in boxes]


def _drawn(
    mammogram: Mammogram, analysis: Analysis, prepared: Prepared, boxes: list[tuple[float, ...]], verdict: dict[str, Any]
) -> Picture:
    """The image as stored with outline, crop box, chest wall and lesions; beside it what the model sees; words below."""
    height, width = analysis.shape
    scale = _SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(mammogram.pixels, size, interpolation=cv2.INTER_AREA)
    left = cv2.cvtColor((small * 255).astype(np.uint8), cv2.COLOR_GRAY2BGR)
    outline = cv2.resize(analysis.breast.mask, size, interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(outline, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(left, contours, -1, _GREEN, 1)
    for box, colour in [(analysis.box, _BLUE), *((_box(box), _YELLOW) for box in boxes)]:
        x0, y0, x1, y1 = (round(edge * scale) for edge in box)
        cv2.rectangle(left, (x0, y0), (x1 - 1, y1 - 1), colour, 1)
    edge = 0 if analysis.chest_wall.side == "left" else size[0] - 3
    left[:, edge : edge + 3] = _RED
    # Averaging shrinks without moiré; a recipe smaller than the tile is enlarged.
    fitted = min(_SIDE / side for side in prepared.pixels.shape)
    right = cv2.resize(prepared.pixels, None, fx=fitted, fy=fitted, interpolation=cv2.INTER_AREA)
    tile = np.full((_SIDE + _TEXT, 2 * _SIDE, 3), 40, np.uint8)
    tile[: left.shape[0], : left.shape[1]] = left
    tile[: right.shape[0], _SIDE : _SIDE + right.shape[1]] = right[..., None]
    words = f"{verdict['name'][-18:]} {verdict['laterality']} {verdict['view']}{' INV' if analysis.inverted else ''}"
    for line, text in enumerate((words, verdict["warnings"][:58])):
        place = (2, _SIDE + 11 + 12 * line)
        cv2.putText(tile, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.33, _YELLOW if line else (255, 255, 255), 1, cv2.LINE_AA)
    return tile


def _box(box: tuple[float, ...]) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = box
    return (x0, y0, x1, y1)


def _write(path: Path, pictures: list[Picture]) -> None:
    height, width, _ = pictures[0].shape
    sheet = np.zeros((_ROWS * height, _COLUMNS * width, 3), np.uint8)
    for number, picture in enumerate(pictures):
        y, x = number // _COLUMNS * height, number % _COLUMNS * width
        sheet[y : y + height, x : x + width] = picture
    encoded = cv2.imencode(".png", sheet)[1]
    path.write_bytes(encoded.tobytes())
