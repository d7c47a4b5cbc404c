"""Writing whole files or nothing: a temporary file beside the target, then a rename over it."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO


@contextlib.contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[IO[bytes]]:
    """Open a temporary file for bytes that becomes `path` when the block ends, and vanishes when it raises.

    The name holds process and thread, so two writers never share one. `durable` waits until the bytes are on the disk.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        with temporary.open("wb") as stream:
            yield stream
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically and durably."""
    with replacing(path, durable=True) as stream:
        stream.write(text.encode("utf-8"))
