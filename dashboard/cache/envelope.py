"""Several images with a header in one message, as the pages' components and the live previews send them to the browser."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any


def envelope(header: dict[str, Any], blobs: Sequence[bytes]) -> bytes:
    """Header and blobs in one message: Streamlit sends bytes as they are, and bytes inside a dict not at all."""
    text = json.dumps({**header, "sizes": [len(blob) for blob in blobs], "types": [_mime(blob) for blob in blobs]}).encode()
    return struct.pack("<I", len(text)) + text + b"".join(blobs)


def _mime(blob: bytes) -> str:
    return "image/png" if blob.startswith(b"\x89PNG") else "image/jpeg"
