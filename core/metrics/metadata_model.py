"""A label predicted from metadata: columns to numbers, and a model of them.

Neither the order of the rows nor that of the columns may decide anything. Sums in another order differ in the last bit, and
where many images share a prediction one bit moves a whole group of them over the edge of a fifth. So columns are taken by name,
and rows in the order of their values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.metrics.checks import Labels, Scores
from core.metrics.subgroups import STRATA, categories, known_values, numbers_of

# Rarer values share one column; more values than that are names, not categories.
_MIN_IMAGES = 10
_MAX_VALUES = 50
_KNOTS = 4

Design = NDArray[np.float64]
Encoder = Callable[[pd.Series], Design]
Kind = Literal["logistic", "boosting"]


class Learner:
    """Predicts the label of `metadata`'s rows from some of its columns, learned from the rows of `taught`.

    With `fold` (n,) both are the same rows, and each is predicted by a model that saw the other folds. `encoders` has the
    columns that can tell something, by name; `left_out` names the others.
    """

    def __init__(
        self,
        taught: pd.DataFrame,
        labels: Labels,
        metadata: pd.DataFrame,
        fold: NDArray[np.int64] | None,
        seed: int,
        numbers: frozenset[str],
    ) -> None:
        self.labels, self.fold, self.seed = labels, fold, seed
        found = {
            name: _encoder(taught[name], name in numbers)
            if name in taught.columns and np.unique(known_values(metadata[name]).astype(str)).size > 1
            else None
            for name in sorted(map(str, metadata.columns))
        }
        self.encoders = {name: encode for name, encode in found.items() if encode is not None}
        self.left_out = tuple(name for name, encode in found.items() if encode is None)
        self._taught = {name: encode(taught[name]) for name, encode in self.encoders.items()}
        self._asked = {name: encode(metadata[name]) for name, encode in self.encoders.items()}

    def predict(self, names: Sequence[str], kind: Kind) -> Scores:
        """Scores (n,) from the columns `names`, whose order does not matter."""
        chosen = sorted(names)
        taught, asked = (np.column_stack([designs[name] for name in chosen]) for designs in (self._taught, self._asked))
        if self.fold is None:
            return _fitted(taught, self.labels, asked, kind, self.seed)
        predicted = np.zeros(len(asked))
        for number in range(int(self.fold.max()) + 1):
            inside = self.fold == number
            predicted[inside] = _fitted(taught[~inside], self.labels[~inside], asked[inside], kind, self.seed)
        return predicted


def names_everything(counts: NDArray[np.int64]) -> bool:
    """Whether values that stand `counts` times each are names rather than categories."""
    return counts.size > _MAX_VALUES and bool(np.median(counts) < _MIN_IMAGES)


def _encoder(column: pd.Series, numeric: bool) -> Encoder | None:
    """What turns a column into numbers for a regression, as learned from this one; None when it cannot tell anything."""
    numbers = numbers_of(column) if numeric else None
    if numbers is not None and np.unique(numbers[np.isfinite(numbers)]).size > STRATA:
        return _number_encoder(numbers)
    names, counts = np.unique(categories(column).astype(str), return_counts=True)
    if names.size < 2 or names_everything(counts):
        return None
    common = names[counts >= _MIN_IMAGES] if (counts >= _MIN_IMAGES).any() else names
    return lambda other: np.column_stack([categories(other) == name for name in common]).astype(np.float64)


def _number_encoder(numbers: Scores) -> Encoder:
    known = np.sort(numbers[np.isfinite(numbers)])
    middle, knots = float(np.median(known)), np.unique(np.quantile(known, np.linspace(0, 1, _KNOTS + 2)[1:-1]))
    filled = np.sort(np.where(np.isfinite(numbers), numbers, middle))
    mean, spread, has_gaps = filled.mean(), filled.std() or 1.0, known.size < numbers.size

    def encode(column: pd.Series) -> Design:
        found = numbers_of(column)
        values = np.full(len(column), np.nan) if found is None else found
        present = np.isfinite(values)
        values = np.where(present, values, middle)
        gaps = [~present] if has_gaps else []
        return np.column_stack([(values - mean) / spread, values[:, None] > knots, *gaps]).astype(np.float64)

    return encode


def _fitted(design: Design, labels: Labels, asked: Design, kind: Kind, seed: int) -> Scores:
    """Scores of the rows of `asked` by a model of the labels of `design`'s."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression

    if kind == "logistic":
        estimator: Any = LogisticRegression(C=1.0, max_iter=1000, tol=1e-6)
    else:
        estimator = HistGradientBoostingClassifier(max_iter=60, max_depth=3, early_stopping=False, random_state=seed)
    order = np.lexsort((labels, *design.T[::-1]))
    # Images that look the same to the model are asked about once: a last bit must not decide between them.
    different, back = np.unique(asked, axis=0, return_inverse=True)
    predicted = estimator.fit(design[order], labels[order]).predict_proba(different)[:, 1]
    return np.round(predicted, 9)[back.reshape(-1)].astype(np.float64)
