"""What a manifest says of an image, found by the image's path or by its content."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path

import pandas as pd

from core.data.breasts import Breasts, breasts_of
from core.files.digests import sha256_of

_COLUMNS = ("patient_id", "laterality", "view", "exam_id")


class KnownImages:
    """Whose the images of a manifest are and what they show: patient, side, view (CC, MLO, ...) and examination, "" where the
    manifest does not say."""

    def __init__(self, rows: pd.DataFrame) -> None:
        """`rows`: of a manifest, with content_hash where it is known (SHA-256 of the file)."""
        self._frame, self._paths = rows, rows["path"].astype("str").tolist()
        self._rows = rows[[name for name in _COLUMNS if name in rows.columns]].astype("str").to_dict("records")
        self._by_path = {_key(path): place for place, path in enumerate(rows["path"].astype("str"))}
        hashes = rows["content_hash"].astype("str") if "content_hash" in rows.columns else [""] * len(rows)
        self._by_content = {digest: place for place, digest in enumerate(hashes) if digest}

    def row(self, source: Path | str | bytes | None, content_hash: str = "") -> dict[str, str] | None:
        """What is known of a file, or of the bytes of one; None for an image that is not in the manifest.

        Args:
            content_hash: the SHA-256 of the file, where the caller has it: it is then not read for it.
        """
        place = self._by_path.get(_key(source)) if isinstance(source, Path | str) else None
        if place is None and self._by_content:
            place = self._by_content.get(content_hash or sha256_of(source))
        return None if place is None else {str(name): value for name, value in self._rows[place].items()}

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
