"""Image files: path -> bytes, only where they can be those of an image.

A named pipe or a device would block for ever, and a disk image would fill the memory: what is no regular file, does not
begin like an image or is too large is refused before it is loaded.
"""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from core.images.formats import HEAD_BYTES, Format, format_of
from core.images.large_images import wait_if_large
from core.images.limits import MAX_FILE_BYTES, MAX_RASTER_BYTES, got

_LONGEST_NAME = 120  # characters of a name in a message


def content_of(path: Path | str) -> bytes:
    """The bytes of an image file. The message of a refusal does not name the file: the caller does.

    Raises:
        UnreadableImage: nothing there, no regular file, not allowed, too large, or not the beginning of an image.
    """
    with opened(path) as (stream, size):
        checked_format(stream, size)
        return read_all(stream, size)


def checked_format(stream: BinaryIO, size: int) -> Format:
    """The format of an open file of `size` bytes, which then stands at its beginning.

    Raises:
        UnreadableImage: not the beginning of an image, or too large.
    """
    kind = format_of(stream.read(HEAD_BYTES))
    limit = MAX_FILE_BYTES if kind == "DICOM" else MAX_RASTER_BYTES
    if size > limit:
        raise got(f"at most {limit / 2**30:.0f} GiB", f"{size / 2**30:.1f} GiB", "Split the file or export it again")
    stream.seek(0)
    return kind


def read_all(stream: BinaryIO, size: int) -> bytes:
    """All `size` bytes of an open file; waits if they are those of a large image."""
    wait_if_large(size)
    return stream.read()


def format_of_file(path: Path | str) -> Format:
    """The format of a file, by its first bytes.

    Raises:
        UnreadableImage: nothing there, no regular file, not allowed, or not the beginning of an image.
    """
    with opened(path) as (stream, _):
        return format_of(stream.read(HEAD_BYTES))


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
