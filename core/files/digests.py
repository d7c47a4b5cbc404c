"""SHA-256 of files: the name of a content, whatever the file is called."""

from __future__ import annotations

import hashlib
from pathlib import Path


def sha256_of(source: Path | str | bytes | None) -> str:
    """SHA-256 (hex) of a file, or of the bytes of one; "" for None and for a file that cannot be read any more."""
    if source is None:
        return ""
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    try:
        with Path(source).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return ""
