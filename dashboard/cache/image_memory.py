"""Memory cache of what is made of images: one for all pages and sessions, bounded in bytes, least recently used out first.

What was made of an upload is dropped when its page or session releases it (see dashboard.ui.uploads).
"""

from __future__ import annotations

import dataclasses
import functools
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast

import numpy as np


class Identified(Protocol):
    """An image as the cache knows it: `key` changes with its bytes, `frame` is the one taken of several."""

    @property
    def key(self) -> str: ...

    @property
    def frame(self) -> int | None: ...


Image = TypeVar("Image", bound=Identified)
P = ParamSpec("P")
T = TypeVar("T")

BUDGET = 1536 << 20  # bytes: the largest file that may be uploaded (300 MB) needs about 1.4 GB while a slider moves
_RELEASED = 512  # released images: what a thread still makes of one of them is not stored

_lock = threading.Lock()
_entries: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()  # (kind, image key, ...) -> (value, bytes)
_making: dict[Hashable, threading.Lock] = {}
_released: OrderedDict[str, None] = OrderedDict()
_total = 0


def cached(
    arguments: Callable[P, Hashable],
) -> Callable[[Callable[Concatenate[Image, P], T]], Callable[Concatenate[Image, P], T]]:
    """Decorator for `function(image, ...)`: cached by the image's key, its frame, and what `arguments` gives for the rest."""

    def decorate(function: Callable[Concatenate[Image, P], T]) -> Callable[Concatenate[Image, P], T]:
        @functools.wraps(function)
        def wrapper(image: Image, *args: P.args, **kwargs: P.kwargs) -> T:
            parts = (image.frame, arguments(*args, **kwargs))
            return get_or_make(function.__name__, image.key, parts, lambda: function(image, *args, **kwargs))

        return cast("Callable[Concatenate[Image, P], T]", wrapper)

    return decorate


def get_or_make(kind: str, image: str, parts: Hashable, make: Callable[[], T]) -> T:
    """What `make` gives for this image (its key) and these parts; made once while it is cached, by one thread at a time."""
    key = (kind, image, parts)
    with _lock:
        if key in _entries:
            _entries.move_to_end(key)
            value: T = _entries[key][0]
            return value
        making = _making.setdefault(key, threading.Lock())
    with making:
        with _lock:
            if key in _entries:  # another thread has just made it
                _entries.move_to_end(key)
                found: T = _entries[key][0]
                return found
        try:
            value = make()
            _store(key, image, value)
            return value
        finally:
            with _lock:
                _making.pop(key, None)


def _store(key: Hashable, image: str, value: Any) -> None:
    global _total
    size = size_of(value)
    with _lock:
        if image in _released or size > BUDGET:
            return
        _entries[key] = (value, size)
        _total += size
        while _total > BUDGET:
            _, (_, freed) = _entries.popitem(last=False)
            _total -= freed


def release(image: str) -> None:
    """Drop everything made of this image, also what is being made of it now."""
    global _total
    with _lock:
        _released[image] = None
        while len(_released) > _RELEASED:
            _released.popitem(last=False)
        for key in [each for each in _entries if each[1] == image]:  # type: ignore[index]
            _total -= _entries.pop(key)[1]


def allow(image: str) -> None:
    """Cache what is made of this image again, after `release`."""
    with _lock:
        _released.pop(image, None)


def clear() -> None:
    """Drop everything."""
    global _total
    with _lock:
        _entries.clear()
        _released.clear()
        _total = 0


def total() -> int:
    """Bytes in the cache."""
    return _total


def size_of(value: Any) -> int:
    """Bytes of the arrays, bytes and texts in a value, each counted once; a view counts as the array that it keeps alive."""
    seen: set[int] = set()
    found, waiting = 0, [value]
    while waiting:
        node = waiting.pop()
        if isinstance(node, np.ndarray):
            while isinstance(node.base, np.ndarray):
                node = node.base
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, np.ndarray):
            found += node.nbytes
        elif isinstance(node, bytes | bytearray | str):
            found += sys.getsizeof(node)
        elif isinstance(node, Mapping):
            waiting.extend(node.values())
        elif isinstance(node, tuple | list | set | frozenset):
            waiting.extend(node)
        elif dataclasses.is_dataclass(node) and not isinstance(node, type):
            waiting.extend(getattr(node, each.name) for each in dataclasses.fields(node))
    return found + 1024  # the value itself: many small ones count, too
