"""Throughput of a training, and its estimated time left."""

from __future__ import annotations

import time
from collections import deque

# A frozen backbone needs no backward pass; once it is unfrozen an image takes about this much longer.
_UNFROZEN_COST = 2.5
_WINDOW = 10.0  # seconds


class Throughput:
    """Images per second over the last ten seconds or so. For display only: it decides nothing."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque()
        self._images = 0
        self.restart()

    def restart(self) -> None:
        """Forget the past: after a pause, a validation, a checkpoint."""
        self._marks.clear()
        self._marks.append((time.monotonic(), self._images))

    def add(self, images: int) -> None:
        """Count some more images."""
        self._images += images
        now = time.monotonic()
        self._marks.append((now, self._images))
        while len(self._marks) > 2 and self._marks[1][0] < now - _WINDOW:
            self._marks.popleft()

    @property
    def images_per_second(self) -> float:
        """0.0 while nothing is known."""
        (start, before), (end, after) = self._marks[0], self._marks[-1]
        return (after - before) / (end - start) if end > start else 0.0


def seconds_left(
    rate: float,
    *,
    images: int,
    later_unfrozen_images: int = 0,
    later_rate: float | None = None,
    validations: int = 0,
    validation_seconds: float = 0.0,
) -> float | None:
    """Estimated seconds for `images` at `rate`, slower ones of a later phase, and validations; None without a rate.

    `later_rate`: at which the frozen network goes through images, where `rate` is that of the head alone.
    """
    if rate <= 0:
        return None
    later = later_unfrozen_images * _UNFROZEN_COST / (later_rate or rate)
    return images / rate + later + validations * validation_seconds
