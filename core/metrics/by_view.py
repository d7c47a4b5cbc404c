"""A threshold for each view: CC and MLO images at their own, all others at the common one.

At one threshold, views whose scores lie apart share the errors unevenly. With `ThresholdRule.per_view` the same rule chooses on
the validation images of each view. A view with fewer than MIN_VIEW_PATIENTS patients of a class keeps the common threshold,
which is chosen on all validation images: for a sensitivity of 90 %, the threshold of fewer than ten patients would be the score
of a single image.

These are thresholds of images. The scores stay as they are: a breast or patient has the mean score of its images, of all views
together, and that level's own threshold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from core.metrics.bootstrap import Patients
from core.metrics.checks import Scores
from core.metrics.subgroups import categories
from core.metrics.thresholds import ThresholdRule

VIEWS = ("CC", "MLO")
MIN_VIEW_PATIENTS = 10
_DIGITS = 9  # of differences of scores and thresholds, both of six: they stay exact


@dataclass(frozen=True)
class ViewThresholds:
    """Thresholds of images: `common`, and where the rule gives each view its own, `views`.

    A value of `views` is the view's threshold, or in words why its images are judged at the common one. Without `views` there
    is one threshold for all.
    """

    common: float
    views: Mapping[str, float | str] = field(default_factory=dict)

    @property
    def per_view(self) -> bool:
        """Whether the rule gives each view its own, be it that some view had too few patients."""
        return bool(self.views)

    @property
    def own(self) -> dict[str, float]:
        """The views that have their own threshold."""
        return {view: float(value) for view, value in self.views.items() if isinstance(value, int | float)}

    def of(self, view: str) -> float:
        """The threshold of an image of this view, "" for an unknown one."""
        return self.own.get(view.strip().upper(), self.common)

    def at(self, views: ArrayLike) -> Scores:
        """The threshold of each image, float64 (n,), for its view (n,)."""
        own, names = self.own, categories(pd.Series(np.asarray(views, dtype=object)))
        return np.array([own.get(name.upper(), self.common) for name in names], dtype=np.float64)

    def of_rows(self, frame: pd.DataFrame) -> float | Scores:
        """The threshold for the images of a table with a column `view`: one for all, or one a row (n,)."""
        return self.at(frame["view"]) if self.own else self.common

    def shifted(self, scores: ArrayLike, views: ArrayLike) -> Scores:
        """Scores (n,) less their view's threshold, plus the common one.

        At the common threshold they give every image the decision that its own score has at its own threshold; at another one,
        the decisions when all thresholds are moved by the same distance.
        """
        found = np.asarray(scores, dtype=np.float64)
        return np.round(found - (self.at(views) - self.common), _DIGITS) if self.own else found

    def basis(self, view: str) -> str:
        """In words, which threshold an image of this view is judged at; "" where there is one for all."""
        if not self.per_view:
            return ""
        name = view.strip().upper()
        found = self.views.get(name)
        if isinstance(found, float | int):
            return f"that of {name} images"
        if isinstance(found, str):
            return f"the common one, for {name}: {found}"
        return f"the common one: {name} has none of its own" if name else "the common one: the view is not known"

    @property
    def words(self) -> str:
        """All of them: "CC 0.281, MLO 0.352, other views 0.300"; "" where there is one for all."""
        return self.stated() if self.per_view else ""

    def stated(self, decimals: int = 3) -> str:
        """All of them as `words` has them; the number alone where there is one for all."""
        own = [f"{view} {value:.{decimals}f}" for view, value in self.own.items()]
        if not self.per_view:
            return f"{self.common:.{decimals}f}"
        return ", ".join([*own, f"{'other' if own else 'all'} views {self.common:.{decimals}f}"])

    @property
    def notes(self) -> dict[str, str]:
        """Why a view has no threshold of its own, by view."""
        return {view: value for view, value in self.views.items() if isinstance(value, str)}

    @property
    def notes_words(self) -> str:
        """The same in one text; "" where every view has its own."""
        return "; ".join(f"{view} images are judged at the common threshold: {why}" for view, why in self.notes.items())


def choose_by_group(validation: pd.DataFrame, column: str, names: Iterable[str], rule: ThresholdRule) -> dict[str, float | str]:
    """For each of `names`, the threshold that the rule chooses on the images with this value of `column`; or why none.

    Args:
        validation: columns patient_id, label, score and `column`, a row an image.
    """
    if column not in validation.columns:
        return dict.fromkeys(names, f"the validation predictions have no column {column}")
    values = categories(validation[column])
    if rule.kind == "cost" and rule.prevalence is None:  # one prevalence, that of the whole set, whatever the value
        share = float((validation["label"] == "malignant").mean())
        rule = replace(rule, prevalence=share) if 0 < share < 1 else rule
    found: dict[str, float | str] = {}
    for name in names:
        rows = validation[values == name]
        counts = Patients.of(rows["patient_id"]).of_class((rows["label"] == "malignant").to_numpy())
        images = "images" if column != "view" else f"{name} images"
        lacking = [_having(count, f"{label} {images}") for label, count in counts.items() if count < MIN_VIEW_PATIENTS]
        if lacking:
            found[name] = f"{' and '.join(lacking)} on validation, at least {MIN_VIEW_PATIENTS} needed"
        else:
            found[name] = rule.choose(rows["label"], rows["score"])
    return found


def _having(count: int, images: str) -> str:
    return f"{f'only {count}' if count else 'no'} {'patients have' if count > 1 else 'patient has'} {images}"
