"""Lesion outlines of the images that pages show: from the row of a known manifest, drawn alike everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import streamlit as st

from core.data.lesion_places import Outline, lesion_outlines, with_lesions
from core.errors import LabError
from core.preprocessing.geometry import map_points
from core.preprocessing.prepared import Matrix
from dashboard.access.paths import is_allowed, require_allowed
from dashboard.cache.image_memory import cached
from dashboard.cache.images import ImageRef, image_ref
from dashboard.state import datasets
from dashboard.state.file_stamps import of_files, stamp

Polygon = tuple[tuple[float, float], ...]

_COLUMNS = ("path", "lesions", "lesion_circles", "lesion_masks")


class Lesions(NamedTuple):
    """What a manifest draws on an image: `outlines` in pixels of the original, `problem` why there are none after all."""

    outlines: tuple[Outline, ...] = ()
    problem: str = ""

    @property
    def known(self) -> bool:
        """Whether the manifest says where a lesion is, be it readable or not."""
        return bool(self.outlines or self.problem)


NO_LESIONS = Lesions()


@st.cache_resource(max_entries=16, show_spinner=False, hash_funcs=of_files())
def _rows(manifest: Path) -> dict[str, dict[str, Any]]:
    """The rows that say where a lesion is, by path; only what says it."""
    frame = datasets.manifest_frame(manifest)
    found = frame.loc[with_lesions(frame), [name for name in _COLUMNS if name in frame.columns]]
    return {str(row["path"]): row for row in found.to_dict(orient="records")}


def row_of(path: Path) -> Mapping[str, Any] | None:
    """The row of this file in the current manifest, else in another one that is not long, where it says where a lesion is."""
    current = datasets.current_manifest()
    others = [each for each in datasets.find_manifests() if each != current and each.stat().st_size <= datasets.LONG_MANIFEST]
    for manifest in [*([current] if current is not None else []), *others]:
        try:
            row = _rows(manifest).get(str(path))
        except LabError:  # it cannot be read: the Data page says why
            continue
        if row is not None:
            return row
    return None


def of_image(image: ImageRef, original: tuple[int, int]) -> Lesions:
    """The lesions of a file that a known manifest has; none of an upload. `original`: its (height, width)."""
    row = None if isinstance(image.source, bytes) else row_of(image.source)
    return NO_LESIONS if row is None else of_row(image, row, original)


def of_path(path: Path, original: tuple[int, int]) -> Lesions:
    """As `of_image`, of a file by its path; none of one that visitors may not name."""
    row = row_of(path)
    return of_row(image_ref(path), row, original) if row is not None and is_allowed(path) else NO_LESIONS


def of_row(image: ImageRef, row: Mapping[str, Any], original: tuple[int, int]) -> Lesions:
    """The lesions that this row names in its image, of (height, width)."""
    says = tuple(str(row.get(name, "")) for name in _COLUMNS)
    return _found(image, says, original)


def _masks(says: tuple[str, ...]) -> int:
    """Changes when the folder with masks does: a mask may come later than the manifest."""
    return stamp(Path(says[0]).parent) if "mask" in says[1] or says[3] else 0


@cached(lambda says, original: (says, original, _masks(says)))
def _found(image: ImageRef, says: tuple[str, ...], original: tuple[int, int]) -> Lesions:
    try:
        return Lesions(tuple(lesion_outlines(dict(zip(_COLUMNS, says, strict=True)), original, require_allowed)))
    except LabError as error:
        return Lesions(problem=f"The lesions of this image cannot be drawn: {error}")


def mapped(lesions: Lesions, matrix: Matrix) -> tuple[Polygon, ...]:
    """The outlines in other coordinates, by a matrix (3, 3) from the original's."""
    return tuple(
        tuple((float(x), float(y)) for x, y in map_points(outline.points, matrix))  # type: ignore[arg-type]
        for outline in lesions.outlines
    )


def spot(outlines: Iterable[Polygon], size: tuple[int, int]) -> tuple[float, float] | None:
    """The middle of the first outline that the picture of (width, height) shows, in shares of these; None without one."""
    for points in outlines:
        xs, ys = zip(*points, strict=True)
        x, y = (min(xs) + max(xs)) / 2 / size[0], (min(ys) + max(ys)) / 2 / size[1]
        if 0 <= x < 1 and 0 <= y < 1:
            return x, y
    return None
