"""What a manifest says of an image, found by the image's path or by its content."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path

import pandas as pd

from core.data.breasts import Breasts, breasts_of
from core.errors import BadManifest
from core.files.digests import sha256_of

OUT_OF_FOLD = "out_of_fold"  # of the manifest of an ensemble: numbers, from 1, of the models that the image was validation for
_COLUMNS = ("patient_id", "laterality", "view", "exam_id")


def training_rows(manifest: pd.DataFrame) -> pd.DataFrame:
    """The rows that a model was trained on. Of an ensemble whose members together held out every image there is no row of the
    split train: each image of validation was trained on by those that do not score it."""
    rows = manifest[manifest["split"] == "train"]
    if len(rows) or OUT_OF_FOLD not in manifest.columns:
        return rows
    return manifest[manifest[OUT_OF_FOLD].astype("str") != ""]


class KnownImages:
    """Whose the images of a manifest are and what they show: patient, side, view (CC, MLO, ...) and examination, "" where the
    manifest does not say."""

    def __init__(self, rows: pd.DataFrame) -> None:
        """`rows`: of a manifest, with content_hash where it is known (SHA-256 of the file)."""
        self._frame, self._paths = rows, rows["path"].astype("str").tolist()
        self._rows = rows[[name for name in _COLUMNS if name in rows.columns]].astype("str").to_dict("records")
        self._judges = rows[OUT_OF_FOLD].astype("str").tolist() if OUT_OF_FOLD in rows.columns else None
        self._by_path = {_key(path): place for place, path in enumerate(rows["path"].astype("str"))}
        hashes = rows["content_hash"].astype("str") if "content_hash" in rows.columns else [""] * len(rows)
        self._by_content = {digest: place for place, digest in enumerate(hashes) if digest}

    def row(self, source: Path | str | bytes | None, content_hash: str = "") -> dict[str, str] | None:
        """What is known of a file, or of the bytes of one; None for an image that is not in the manifest.

        Args:
            content_hash: the SHA-256 of the file, where the caller has it: it is then not read for it.
        """
        place = self._place(source, content_hash)
        return None if place is None else {str(name): value for name, value in self._rows[place].items()}

    def judges(self, source: Path | str | bytes | None, content_hash: str = "") -> tuple[int, ...]:
        """Numbers, from 0, of the models of an ensemble that did not train on the image, arguments as for `row`; () where all
        may score it: the manifest does not list it, or says nothing of the kind.

        Raises:
            BadManifest: the cell is no list of numbers.
        """
        if self._judges is None:
            return ()
        place = self._place(source, content_hash)
        cell = "" if place is None else self._judges[place]
        try:
            numbers = tuple(int(number) - 1 for number in cell.split())
        except ValueError:
            numbers = (-1,)
        if any(number < 0 for number in numbers):
            raise BadManifest(f"column {OUT_OF_FOLD}: expected numbers of models from 1, as in '1 3', got {cell[:40]!r}")
        return numbers

    def _place(self, source: Path | str | bytes | None, content_hash: str) -> int | None:
        place = self._by_path.get(_key(source)) if isinstance(source, Path | str) else None
        if place is None and self._by_content:
            place = self._by_content.get(content_hash or sha256_of(source))
        return place

    def breast(self, path: Path | str) -> list[Path]:
        """All images of the breast that this one is of, as core.data.breasts has them; itself alone where it is not listed."""
        place = self._by_path.get(_key(path))
        if place is None:
            return [Path(path)]
        own = self._breasts.members[self._breasts.owners[place]]
        return [Path(self._paths[row]) for row in own[own >= 0]]

    @cached_property
    def _breasts(self) -> Breasts:
        return breasts_of(self._frame)

    def view(self, source: Path | str | bytes | None, content_hash: str = "") -> str | None:
        """The view alone, as `row`."""
        found = self.row(source, content_hash)
        return None if found is None else found["view"]


def _key(path: Path | str) -> str:
    return os.path.normcase(os.path.normpath(Path(path).absolute()))
