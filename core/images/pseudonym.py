"""Keyed pseudonyms of patient identifiers: images of one patient stay together and nobody is named.

HMAC-SHA256 with a random key that never leaves this machine: equal identifiers give equal pseudonyms here, in every
run, and cannot be guessed back by trying identifiers without the key.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import os
import secrets
import time
from pathlib import Path

from core.errors import LabError
from core.files.paths import home
from core.images.placeholder import is_placeholder

KEY_FILE = "pseudonym.key"
_KEY_BYTES = 32


def pseudonym(identifier: str) -> str:
    """Twelve letters and digits that stand for a patient identifier; "" for none.

    Padding spaces and NULs that DICOM adds do not count. ANONYMOUS, REMOVED and the like are none: all patients of a set would
    become one.

    Raises:
        LabError: the key file cannot be read or written.
    """
    plain = identifier.strip(" \t\r\n\0")
    if is_placeholder(plain):
        return ""
    digest = hmac.new(_key(home()), plain.encode("utf-8", "surrogateescape"), hashlib.sha256).digest()
    return base64.b32encode(digest).decode("ascii")[:12]


@functools.lru_cache(maxsize=8)
def _key(folder: Path) -> bytes:
    path = folder / KEY_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            # O_EXCL: of two processes that start at once, one writes the key and the other reads it.
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return _read_key(path)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            key = secrets.token_bytes(_KEY_BYTES)
            file.write(key.hex() + "\n")
        return key
    except OSError as error:
        raise LabError(
            f"the key for patient pseudonyms cannot be stored in {folder} ({error.strerror or error}). "
            "Set MAMMOLAB_HOME to a folder you can write to."
        ) from error


def _read_key(path: Path) -> bytes:
    for _ in range(50):
        try:
            key = bytes.fromhex(path.read_text(encoding="ascii", errors="replace").strip())
        except ValueError:
            key = b""
        if len(key) == _KEY_BYTES:
            return key
        time.sleep(0.02)  # another process may be writing it at this moment
    raise LabError(
        f"{path} is damaged: expected {2 * _KEY_BYTES} hex digits. Restore it from a backup; "
        "deleting it makes a new key, and with it new pseudonyms for every patient."
    )
