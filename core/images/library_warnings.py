"""Warnings and log lines of Pillow and pydicom, silenced while an image is read: our own messages say what is wrong.

Their warnings go to the terminal line by line, and pydicom's may quote what stands in a header, names included.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import warnings
from collections.abc import Iterator

_LIBRARIES = ("PIL", "pydicom", "pylibjpeg")
_RULE = ("ignore", None, Warning, re.compile(rf"({'|'.join(_LIBRARIES)})\b"), 0)
_lock = threading.Lock()
_readers = 0
_passed_on: dict[str, bool] = {}  # before the first reader


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Ignore the warnings and log lines of these libraries; those of other code stay.

    `warnings.catch_warnings` must not be used by several threads at once, and batches are read by several: here the
    first reader puts one rule in front of the list, and the last one takes it out.
    """
    global _readers
    with _lock:
        _readers += 1
        if _readers == 1:
            warnings.filters.insert(0, _RULE)  # type: ignore[attr-defined]
            _hold_back()
    try:
        yield
    finally:
        with _lock:
            _readers -= 1
            if _readers == 0:
                with contextlib.suppress(ValueError):  # other code has restored the list of rules meanwhile
                    warnings.filters.remove(_RULE)  # type: ignore[attr-defined]
                for name, passed_on in _passed_on.items():
                    logging.getLogger(name).propagate = passed_on


def _hold_back() -> None:
    """Keep the libraries' log lines from the handlers of the program.

    Not by their level: each change of one makes every logger of the process forget what it has found out, and then an image
    of a few kilobytes takes longer to be silenced than to be read.
    """
    for name in _LIBRARIES:
        logger = logging.getLogger(name)
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())  # else a line that nobody takes goes to the terminal
        _passed_on[name], logger.propagate = logger.propagate, False
