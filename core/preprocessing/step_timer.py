"""StepTimer: runs the steps of the preprocessing, times each, and keeps a picture after each on request."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from core.images.mammogram import Pixels, Step


@dataclass(frozen=True)
class Stage:
    """The image after one step: float32 (h, w) in [0, 1]."""

    name: str
    pixels: Pixels
    step: Step


class StepTimer:
    """Runs steps, timing each; keeps a picture after each when there is a trace (`picture` gives the present one)."""

    def __init__(self, picture: Callable[[], Pixels], trace: list[Stage] | None) -> None:
        self.steps: list[Step] = []
        self._picture = picture
        self._trace = trace

    def run(
        self, name: str, action: Callable[[], dict[str, Any]], earlier: float = 0.0, warnings: tuple[str, ...] = ()
    ) -> None:
        """Run `action`, which returns the step's parameters; `earlier` are milliseconds spent on it before."""
        started = time.perf_counter()
        parameters = action()
        step = Step(name, parameters, earlier + (time.perf_counter() - started) * 1000, warnings)
        self.steps.append(step)
        if self._trace is not None:
            self._trace.append(Stage(name, self._picture(), step))
