"""What every metric asks of its labels and scores, checked in one place."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import NotEnoughData
from core.wording import counted

Labels = NDArray[np.bool_]
Scores = NDArray[np.float64]


def checked(y: ArrayLike, s: ArrayLike, *, both_classes: bool = False) -> tuple[Labels, Scores]:
    """Labels as bool (n,) and scores as float64 (n,).

    Args:
        y: 1, True or "malignant" for malignant; 0, False or "benign" for benign.
        s: finite scores, higher is more malignant.
        both_classes: whether the metric needs at least one label of each class.

    Raises:
        NotEnoughData: nothing to score, lengths that differ, other labels, NaN or infinite scores, one class only.
    """
    labels = _labels(np.asarray(y))
    scores = np.asarray(s, dtype=np.float64)
    if labels.ndim != 1 or labels.shape != scores.shape:
        raise NotEnoughData(
            f"Expected one score a label, each in one row; got labels of shape {labels.shape} and scores of {scores.shape}."
        )
    if labels.size == 0:
        raise NotEnoughData("Expected at least one scored image, got none. Choose a split that has images.")
    bad = int(np.count_nonzero(~np.isfinite(scores)))
    if bad:
        raise NotEnoughData(
            f"Expected finite scores, got {bad} of {scores.size} that are NaN or infinite. "
            "The model has diverged: train again with a lower learning rate or in fp32."
        )
    if both_classes and (labels.all() or not labels.any()):
        only = "malignant" if labels.all() else "benign"
        raise NotEnoughData(
            f"Expected benign and malignant images, got {counted(labels.size, 'image')}, all of them {only}. "
            "Choose a split with both classes."
        )
    return labels, scores


def _labels(y: NDArray[Any]) -> Labels:
    if y.dtype == np.bool_:
        return y
    if y.dtype.kind in "iuf":
        if not np.isin(y, (0, 1)).all():
            raise NotEnoughData(f"Expected labels 0 (benign) and 1 (malignant), got {sorted(set(y.tolist()))[:5]}.")
        return np.asarray(y == 1)
    unknown = sorted({str(value) for value in y.tolist()} - {"benign", "malignant"})
    if unknown:
        raise NotEnoughData(f"Expected the labels benign and malignant, got {unknown[:5]}.")
    return np.array([value == "malignant" for value in y.tolist()], dtype=np.bool_).reshape(y.shape)
