"""A path -> its bytes, only where they can be those of an image.

A named pipe or a device would block for ever, and a disk image would fill the memory: what is no regular file, does not
begin like an image or is too large is refused before it is loaded.
"""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from core.images.dicom.reader import looks_like_dicom
from core.images.limits import MAX_FILE_BYTES, MAX_RASTER_BYTES, describe, got
from core.images.raster import recognise
from core.images.turn import take

_HEAD = 4096  # bytes that tell the format
_LONGEST_NAME = 120  # characters of a name in a message


def content_of(path: Path | str) -> bytes:
    """The bytes of an image file. The message of a refusal does not name the file: the caller does.

    Raises:
        UnreadableImage: nothing there, no regular file, not allowed, too large, or not the beginning of an image.
    """
    with opened(path) as (stream, size):
        head = stream.read(_HEAD)
        refuse_unknown(head)
        limit = MAX_FILE_BYTES if looks_like_dicom(head) else MAX_RASTER_BYTES
        if size > limit:
            raise got(f"at most {limit / 2**30:.0f} GiB", f"{size / 2**30:.1f} GiB", "Split the file or export it again")
        take(size)
        stream.seek(0)
        return stream.read()


def head_of(path: Path | str) -> bytes:
    """The first bytes of a regular file, whatever they are: enough to tell an image format.

    Raises:
        UnreadableImage: nothing there, no regular file, or not allowed.
    """
    with opened(path) as (stream, _):
        return stream.read(_HEAD)


def refuse_unknown(head: bytes) -> None:
    """Go on only where the first bytes are those of a format that is read here.

    Raises:
        UnreadableImage: they are something else, in words.
    """
    if recognise(head) is None and not looks_like_dicom(head):
        what = describe(head)
        raise got("a DICOM, PNG, JPEG, PGM or TIFF image", what, "Export the image in one of these formats")


def printable_name(path: Path | str) -> str:
    """A file's name without its folders, on one line and not too long, whatever characters it has."""
    name = "".join(letter if letter.isprintable() else "?" for letter in Path(path).name or str(path))
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME // 2]}…{name[-_LONGEST_NAME // 2 :]}"


@contextlib.contextmanager
def opened(path: Path | str) -> Iterator[tuple[BinaryIO, int]]:
    """A regular file, open, and its size in bytes.

    Raises:
        UnreadableImage: nothing there, no regular file, not allowed; or the disk fails while it is being read.
    """
    path = Path(path)
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise got("an image file", "a folder", "Name a file inside it")
        if not stat.S_ISREG(found.st_mode):
            raise got("an image file", "a device, pipe or socket", "Name a regular file")
        with path.open("rb") as stream:
            yield stream, found.st_size
    except FileNotFoundError as error:
        raise got("an image file", "a path where there is none", "Check the path") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise got("an image file", f"one that cannot be opened ({reason})", "Check its permissions and the disk") from error
