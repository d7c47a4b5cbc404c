"""Reproducible safetensors files: the library writes the notes of a file's header in another order each time."""

from __future__ import annotations

import json

from core.files.untrusted import parse_json

_ALIGNMENT = 8  # bytes: the tensors begin at a multiple of it, after spaces


def in_order(content: bytes) -> tuple[bytes, memoryview]:
    """The bytes of a safetensors file as (header with its notes sorted, tensors); one after the other they are a file again."""
    start = 8 + int.from_bytes(content[:8], "little")
    header = parse_json(content[8:start])
    if "__metadata__" in header:
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text, memoryview(content)[start:]
