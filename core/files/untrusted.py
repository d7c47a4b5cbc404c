"""Reading files that somebody else may have made: regular ones only, up to a size, with bounded JSON.

A run folder may come from another person, a damaged disk or an attacker. What is opened there is never a symbolic link
(it would show or wait for any other file), a named pipe or a device (they never end), and never larger than its reader
expects. Whoever catches (OSError, ValueError) has caught everything that is raised here.
"""

from __future__ import annotations

import errno
import math
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

from pydantic_core import from_json

SMALL = 1 << 20  # bytes: status, model card, note, configuration
LARGE = 1 << 26  # bytes: evaluations and audits, which have an entry an image
DEEPEST = 50  # objects and lists inside one another: ours have 8 at most
LARGEST_INTEGER = 2**63 - 1

_PORTION = 1 << 18  # bytes read at once
_SAFELY = 0
for _name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY", "O_CLOEXEC"):  # not every system has all of them
    _SAFELY |= getattr(os, _name, 0)

_KINDS = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class TooLarge(ValueError):
    """A file that has more bytes than its reader accepts."""


def irregular(path: Path) -> str:
    """What `path` is when it is there and no regular file ("a symbolic link", "a named pipe"); "" otherwise."""
    try:
        mode = path.lstat().st_mode
    except (OSError, ValueError):
        return ""
    return "" if stat.S_ISREG(mode) else _kind(mode)


def shared(path: Path) -> str:
    """What keeps a file from being written to in place, because another file would change: as `irregular`, or a hard link.

    Files that are replaced as a whole (core.files.atomic) may have other names: those keep the old content.
    """
    try:
        found = path.lstat()
    except (OSError, ValueError):
        return ""
    return _shared(found)


def open_to_write(path: Path, *, append: bool = False) -> int:
    """A descriptor of a regular file, made where there is none, for reading and writing in place; nothing is cut off.

    Never waits, never follows a symbolic link, and never opens a file that has a second name (a hard link) for writing: what is
    written would stand in the other one, too.

    Raises:
        OSError: it is such a file (`strerror` says what), or cannot be written to.
    """
    before = shared(path)
    if before:
        raise OSError(errno.EINVAL, f"expected a regular file of its own, got {before}", str(path))
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | (os.O_APPEND if append else 0) | _SAFELY, 0o666)
    try:
        found = _shared(os.fstat(descriptor))  # put there since the check
        if found:
            raise OSError(errno.EINVAL, f"expected a regular file of its own, got {found}", str(path))
        return descriptor
    except BaseException:
        os.close(descriptor)
        raise


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading bytes; never waits, and never follows a symbolic link at the end of the path.

    Raises:
        OSError: it is missing, cannot be read, or is something else than a regular file (`strerror` says what).
    """
    descriptor = _opened(path)
    try:
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _opened(path: Path) -> int:
    try:
        mode = os.lstat(path).st_mode
    except ValueError as error:  # a NUL in the name
        raise OSError(errno.EINVAL, f"not a file name: {error}", str(path)) from error
    if not stat.S_ISREG(mode):
        raise _refused(path, mode)
    # Between the check and the opening somebody may have put a link or a pipe there.
    descriptor = os.open(path, os.O_RDONLY | _SAFELY)
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise _refused(path, mode)
        return descriptor
    except BaseException:
        os.close(descriptor)
        raise


def read_bytes(path: Path, limit: int = SMALL) -> bytes:
    """The content of a regular file of at most `limit` bytes.

    Raises:
        OSError: as `open_regular`.
        TooLarge: it has more than `limit` bytes.
    """
    descriptor = _opened(path)  # no stream: pages read hundreds of small files every other second
    try:
        parts = [os.read(descriptor, min(limit + 1, _PORTION))]
        size = len(parts[0])
        while size <= limit and (part := os.read(descriptor, min(limit + 1 - size, _PORTION))):
            parts.append(part)
            size += len(part)
    finally:
        os.close(descriptor)
    if size > limit:
        raise TooLarge(f"expected at most {limit:,} bytes, got more")
    return b"".join(parts)


def read_text(path: Path, limit: int = SMALL) -> str:
    """The content as UTF-8. Raises OSError, TooLarge, or UnicodeDecodeError (a ValueError)."""
    return read_bytes(path, limit).decode("utf-8")


def read_json(path: Path, limit: int = SMALL) -> Any:
    """The JSON value in a regular file; see `parse_json`. Raises OSError or ValueError as `read_bytes` and `parse_json`."""
    return parse_json(read_bytes(path, limit))


def parse_json(content: str | bytes) -> Any:
    """A JSON value (RFC 8259): finite numbers that fit 64 bits, at most DEEPEST levels, no half surrogates.

    Beyond these limits later code fails in ways of its own: float() overflows, recursion ends, UTF-8 cannot be written.

    Raises:
        ValueError: it is not such a value.
    """
    value = from_json(content, allow_inf_nan=False)  # refuses half surrogates and more than 200 levels
    waiting = [(value, 1)]
    while waiting:
        node, depth = waiting.pop()
        if isinstance(node, dict | list):
            if depth > DEEPEST:
                raise ValueError(f"expected at most {DEEPEST} levels of lists and objects, got more")
            waiting.extend((each, depth + 1) for each in (node.values() if isinstance(node, dict) else node))
        elif isinstance(node, float):
            if not math.isfinite(node):
                raise ValueError("expected finite numbers, got one beyond 64-bit floating point")
        elif isinstance(node, int) and abs(node) > LARGEST_INTEGER:
            raise ValueError("expected whole numbers of at most 64 bits, got a larger one")
    return value


def _kind(mode: int) -> str:
    return next((words for test, words in _KINDS if test(mode)), "a special file")


def _shared(found: os.stat_result) -> str:
    if not stat.S_ISREG(found.st_mode):
        return _kind(found.st_mode)
    return "a hard link (a file with another name elsewhere)" if found.st_nlink > 1 else ""


def _refused(path: Path, mode: int) -> OSError:
    return OSError(errno.EINVAL, f"expected a regular file, got {_kind(mode)}", str(path))
