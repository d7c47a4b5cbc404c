"""What the Evaluate page looks at, and what is computed of it: once, and shared by all sessions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar, cast

import pandas as pd
import streamlit as st

from core.evaluate import Evaluation
from core.metrics import Summary, ThresholdRule, ViewThresholds, at_level
from core.metrics.levels import UNITS, Level
from core.metrics.sweep import Sweep, sweep, threshold_grid
from core.model.card import ModelCard
from core.runs import Run
from dashboard.cache import results
from dashboard.state import preferences

T = TypeVar("T")

SPLITS = {"val": "Validation", "test": "Test"}
NEW = "external"  # chosen in place of a split: an external test set that is still to be evaluated
LEVELS = {"image": "Image", "breast": "Breast", "patient": "Patient"}


@dataclass(frozen=True)
class Context:
    """A split of a run at one level (image, breast, patient)."""

    run: Run
    found: Evaluation
    summary: Summary

    @property
    def level(self) -> Level:
        return cast("Level", self.summary.level)

    @property
    def units(self) -> str:
        """What is counted, in words."""
        return UNITS[self.level]

    @property
    def patients_known(self) -> bool:
        """Whether anybody knows whose the images are; without, the pages speak of images only."""
        if self.found.external is not None:
            return self.found.external.patients is not None
        return results.patients_known(self.run)

    @property
    def people(self) -> str:
        """What intervals take for independent, in words."""
        return "patients" if self.patients_known else "images"

    @cached_property
    def card(self) -> ModelCard:
        """model.json as it is now. Raises BadRun."""
        return self.run.model_card()

    @cached_property
    def frozen(self) -> float:
        """The threshold that the model decides with at this level now, whatever the stored metrics were made with.

        Scores of other weights are judged at the threshold that was frozen with them.
        """
        return self.now(self.summary)

    def now(self, summary: Summary) -> float:
        """The threshold at this summary's level as it is frozen now; as `frozen`."""
        found = self.card.level_thresholds.get(summary.level, "") if self.same_weights else ""  # type: ignore[call-overload]
        return summary.threshold if isinstance(found, str) else float(found)

    @cached_property
    def thresholds(self) -> ViewThresholds:
        """Those behind every decision at this level now: of images one for all or by view; else `frozen`."""
        return self.views_now if self.level == "image" else ViewThresholds(self.frozen)

    @cached_property
    def views_now(self) -> ViewThresholds:
        """The thresholds of images as they are frozen now, whatever the level; as `frozen`."""
        return self.card.image_thresholds if self.same_weights else self.found.thresholds

    @property
    def up_to_date(self) -> bool:
        """Whether the stored metrics of this level were made with what is frozen now."""
        same = self.level != "image" or self.found.thresholds.own == self.thresholds.own
        return self.summary.threshold == self.frozen and same

    @property
    def same_weights(self) -> bool:
        """Whether the model as it is made these scores."""
        return self.found.weights_sha256 == self.card.weights_sha256

    @cached_property
    def rule(self) -> ThresholdRule | None:
        """The rule behind `frozen`; None where nobody wrote it down. Raises BadRun."""
        return self.card.rule if self.same_weights else self.found.rule

    @property
    def key(self) -> str:
        """Changes when anything that can be computed of the context does."""
        found = self.found
        scored = (self.run.path, found.split, found.evaluations, found.last_evaluated, found.weights_sha256)
        frozen = (self.level, self.frozen, self.thresholds.stated(6), hash(str(self.card.calibration)))
        return ":".join(map(str, (*scored, *frozen)))

    def file(self, chart: str) -> str:
        """The name of a saved chart: run, split, level, chart."""
        return f"{self.run.name} {self.found.split} {self.level} {chart}"

    @property
    def choice(self) -> str:
        """The preference that holds the explored threshold: for one model and level, whatever the split."""
        return f"evaluate:threshold:{self.run.name}:{self.found.weights_sha256[:8]}:{self.level}"

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a unit of the level: patient_id, label, score, and `decided`: the score that the slider's threshold is
        compared with. Where views have thresholds of their own it is moved by as much as the view's lies off the common one."""

        def make() -> pd.DataFrame:
            table = at_level(self.found.predictions, self.level)
            decided = self.thresholds.shifted(table["score"], table["view"]) if self.by_view else table["score"]
            return table.assign(decided=decided)

        return once("table", self, make)

    @property
    def by_view(self) -> bool:
        """Whether views have thresholds of their own here."""
        return bool(self.thresholds.own)

    @cached_property
    def sweep(self) -> Sweep:
        """Counts and shares at every threshold of the slider."""

        def make() -> Sweep:
            table = self.table
            grid = threshold_grid(table["decided"], self.frozen)
            confidence = self.summary.confidence
            return sweep(table["label"], table["decided"], table["patient_id"], grid, confidence=confidence)

        return once("sweep", self, make)

    @property
    def threshold(self) -> float:
        """Where the slider stands: the frozen threshold until it was moved; always one of the sweep's."""
        explored = preferences.get(self.choice)
        return float(self.sweep.thresholds[self.sweep.nearest(explored)]) if isinstance(explored, int | float) else self.frozen


def once(what: str, context: Context, make: Callable[[], T]) -> T:
    """What `make` gives for this context; made once, then shared. Not to be changed by who gets it."""
    made: T = _made(what, context.key, make)
    return made


@st.cache_resource(max_entries=256, show_spinner=False)
def _made(what: str, key: str, _make: Callable[[], Any]) -> Any:
    return _make()
