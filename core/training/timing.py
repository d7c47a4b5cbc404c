"""How often a training reports and saves. The clock decides only that: it never touches the arithmetic."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class LoopTiming:
    """Seconds. Tests, and nobody else, choose others than these."""

    between_images: float = 0.5  # progress of their preparation
    between_steps: float = 0.25  # reported at most this often
    between_checkpoints: float = 30.0  # a kill costs at most about this much work
    between_light_checkpoints: float = 2.0  # the same while epochs of the head alone take less time than a checkpoint
    gate_after_stop: float = 20.0  # a stop does not wait longer than this for the gate, which an evaluation fits as well
    pause_poll: float = 0.2


class Throttle:
    """Lets something through at most once in `seconds`; the first time at once."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._last = float("-inf")

    def restart(self) -> None:
        """The next time is `seconds` from now."""
        self._last = time.monotonic()

    def due(self, *, force: bool = False) -> bool:
        """Whether it is time again, or `force`; if so, the next time is `seconds` from now."""
        now = time.monotonic()
        if not force and now - self._last < self.seconds:
            return False
        self._last = now
        return True
