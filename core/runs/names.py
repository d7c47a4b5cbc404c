"""Names of runs: valid folder names on every system."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from core.errors import BadRun

_LONGEST = 80
# Windows opens these as devices, with any extension.
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{digit}" for port in ("com", "lpt") for digit in range(1, 10))}


def clean_name(name: str) -> str:
    """`name` as a folder name: letters (of any script), digits, `.`, `_`, `-`; anything else becomes `-`.

    Raises:
        BadRun: nothing is left of it, or Windows could not hold it.
    """
    text = re.sub(r"[^\w.]+", "-", unicodedata.normalize("NFC", name), flags=re.UNICODE)
    text = re.sub(r"-{2,}", "-", text)[:_LONGEST].strip("-. ")
    if not text or (text.startswith("_") and not text.strip("_")):
        raise BadRun(f"the name {name!r}: expected letters or digits, for example b0-clahe2")
    if text.split(".")[0].lower() in _DEVICES:
        raise BadRun(f"the name {name!r}: Windows keeps {text.split('.')[0]} for itself; choose another name")
    return text


def display_name(folder: Path) -> str:
    """The folder's name; bytes that are not UTF-8 (an archive from another system) are shown as `\\xff`."""
    return os.fsencode(folder.name).decode("utf-8", "backslashreplace")


def default_names(model: str, day: date) -> Iterator[str]:
    """2026-11-23-small_cnn-1, 2026-11-23-small_cnn-2, ..."""
    number = 1
    stem = clean_name(f"{day.isoformat()}-{model}")
    while True:
        yield f"{stem}-{number}"
        number += 1
