"""What the Evaluate page looks at, and what is computed of it: once, and shared by all sessions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import streamlit as st

from dashboard import services

if TYPE_CHECKING:
    import pandas as pd

    from core.evaluate import Evaluation
    from core.metrics import Summary
    from core.metrics.sweep import Sweep
    from core.training import Run

T = TypeVar("T")

SPLITS = {"val": "Validation", "test": "Test"}
LEVELS = {"image": "Image", "breast": "Breast", "patient": "Patient"}
UNITS = {"image": "images", "breast": "breasts", "patient": "patients"}


@dataclass(frozen=True)
class Scene:
    """A split of a run at one level (image, breast, patient)."""

    run: Run
    found: Evaluation
    summary: Summary

    @property
    def level(self) -> str:
        return self.summary.level

    @property
    def units(self) -> str:
        """What is counted, in words."""
        return UNITS[self.level]

    @property
    def frozen(self) -> float:
        """The threshold that the model decides with at this level."""
        return self.summary.threshold

    @property
    def key(self) -> str:
        """Changes when anything that can be computed of the scene does."""
        found = self.found
        parts = (self.run.path, found.split, found.opened, found.last_opened, found.weights_sha256, self.level, self.frozen)
        return ":".join(map(str, parts))

    @property
    def choice(self) -> str:
        """Under this name the explored threshold is kept: for one model and level, whatever the split."""
        return f"evaluate:threshold:{self.run.name}:{self.found.weights_sha256[:8]}:{self.level}"

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a unit of the level: patient_id, label, score."""
        from core.metrics import at_level

        return once("table", self, lambda: at_level(self.found.predictions, self.level))  # type: ignore[arg-type]

    @cached_property
    def sweep(self) -> Sweep:
        """Counts and shares at every threshold of the slider."""
        from core.metrics.sweep import sweep, threshold_grid

        def make() -> Sweep:
            table = self.table
            grid = threshold_grid(table["score"], self.frozen)
            confidence = self.summary.confidence
            return sweep(table["label"], table["score"], table["patient_id"], grid, confidence=confidence)

        return once("sweep", self, make)

    @property
    def threshold(self) -> float:
        """Where the slider stands: the frozen threshold until it was moved; always one of the sweep's."""
        kept = services.recall(self.choice)
        return float(self.sweep.thresholds[self.sweep.nearest(kept)]) if isinstance(kept, int | float) else self.frozen


def once(what: str, scene: Scene, make: Callable[[], T]) -> T:
    """What `make` gives for this scene; made once, then shared. Not to be changed by who gets it."""
    made: T = _made(what, scene.key, make)
    return made


@st.cache_resource(max_entries=256, show_spinner=False)
def _made(what: str, key: str, _make: Callable[[], Any]) -> Any:
    return _make()
