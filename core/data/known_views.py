"""What a manifest says of an image's view, found by the image's path or by its content."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pandas as pd


class KnownViews:
    """The views of a manifest's images: CC, MLO, ..., "" where the manifest does not say."""

    def __init__(self, rows: pd.DataFrame) -> None:
        """`rows`: columns path and view, and content_hash where it is known (SHA-256 of the file)."""
        views = rows["view"].astype("str").tolist()
        self._by_path = dict(zip(map(_key, rows["path"].astype("str")), views, strict=True))
        hashes = rows["content_hash"].astype("str") if "content_hash" in rows.columns else [""] * len(rows)
        self._by_content = {digest: view for digest, view in zip(hashes, views, strict=True) if digest}

    def find(self, source: Path | str | bytes | None, content_hash: str = "") -> str | None:
        """The view of a file, or of the bytes of one; None for an image that is not in the manifest.

        Args:
            content_hash: the SHA-256 of the file, where the caller has it: it is then not read for it.
        """
        if isinstance(source, Path | str) and (view := self._by_path.get(_key(source))) is not None:
            return view
        if not self._by_content:
            return None
        return self._by_content.get(content_hash or _digest(source))


def _key(path: Path | str) -> str:
    return os.path.normcase(os.path.normpath(Path(path).absolute()))


def _digest(source: Path | str | bytes | None) -> str:
    if source is None:
        return ""
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    try:
        with Path(source).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:  # it was read a moment ago, and is gone: then its header says what is known
        return ""
