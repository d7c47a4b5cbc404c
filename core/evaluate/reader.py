"""A reader to compare the model with, where the manifest has one: BI-RADS categories, or ratings in a column `reader`.

Categories are taken in the order of suspicion, 1, 2, 3, 0, 4 (4A, 4B, 4C), 5: 0 means that the reader wants to see more, which
in screening is a recall. 6 means that the cancer was known, and is left out. A column `reader` has numbers, higher is more
suspicious. A breast or a patient has the highest rating of its images.

Readings often decide who is biopsied, so that the reader is favoured: a cancer that nobody suspected is rarely found.

Sources: ACR BI-RADS Atlas, 5th edition, 2013. DeLong, DeLong, Clarke-Pearson, Biometrics 1988;44:837; Obuchowski, Biometrics
1997;53:567 (paired comparison).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from core.errors import NotEnoughData
from core.metrics import Interval, Level, Roc, at_level, clustered_wilson, compare_auc, roc
from core.metrics.intervals import plain_figure
from core.metrics.summary import why_not

COLUMNS = ("birads", "bi_rads", "bi-rads", "reader")
BIRADS: Mapping[str, float] = {"1": 1, "2": 2, "3": 3, "0": 3.5, "4": 4, "4A": 4, "4B": 4.3, "4C": 4.6, "5": 5}
_KNOWN_CANCER = "6"
_MOST_POINTS = 12


@dataclass(frozen=True)
class Point:
    """What calling malignant from `rating` on would give; `rating` is the reader's own word for it."""

    rating: str
    called: int
    sensitivity: Interval | str
    specificity: Interval | str

    def as_dict(self) -> dict[str, Any]:
        shares = {"sensitivity": plain_figure(self.sensitivity), "specificity": plain_figure(self.specificity)}
        return {"rating": self.rating, "called": self.called} | shares


@dataclass(frozen=True)
class ReaderComparison:
    """Model and reader on the `rows` of `total` images, breasts or patients that have a rating; paired by the same rows.

    `difference` is the model's AUC minus the reader's, `p` its two-sided test; `curve` is the model's on these rows. `points`
    are the reader's on the ROC plane, from calling only the most suspicious rating to calling all but the least.
    """

    column: str
    level: str
    rows: int
    total: int
    reader: Interval
    model: Interval
    difference: Interval
    p: float
    points: tuple[Point, ...]
    curve: Roc

    def as_dict(self) -> dict[str, Any]:
        kept = {name: getattr(self, name) for name in ("column", "level", "rows", "total", "p")}
        figures = {name: getattr(self, name).as_dict() for name in ("reader", "model", "difference")}
        return kept | figures | {"points": [point.as_dict() for point in self.points]}


def ratings_of(manifest: pd.DataFrame) -> tuple[str, pd.Series] | None:
    """(column, rating of each row as float, NaN without one) of the first of COLUMNS that holds ratings; None without any."""
    names = {str(name).lower(): str(name) for name in manifest.columns}
    for wanted in COLUMNS:
        if wanted not in names:
            continue
        text = manifest[names[wanted]].astype("str").str.strip().str.upper().str.removesuffix(".0")
        if wanted == "reader":
            found = pd.to_numeric(text, errors="coerce").astype("float64").where(lambda values: np.isfinite(values))
        else:
            found = text.str.removeprefix("BI-RADS").str.strip().map(BIRADS).astype("float64")
        if found.nunique() > 1:
            return names[wanted], found
    return None


def compare_reader(
    predictions: pd.DataFrame, manifest: pd.DataFrame, level: Level = "image", confidence: float = 0.95
) -> ReaderComparison | str | None:
    """The model beside the reader of the manifest; why they cannot be compared; None where the manifest has no reader.

    Args:
        predictions: path, patient_id, laterality, label, score, as in predictions/<split>.csv.
        manifest: path and the reader's column.
    """
    found = ratings_of(manifest)
    if found is None:
        return None
    column, ratings = found
    by_path = dict(zip(manifest["path"].astype("str"), ratings, strict=True))
    rated = predictions.assign(rating=[by_path.get(path, np.nan) for path in predictions["path"].astype("str")])
    try:
        model, reader = at_level(rated, level), at_level(rated.assign(score=rated["rating"]), level, "max")
    except NotEnoughData as error:
        return str(error)
    known = reader["score"].notna().to_numpy()
    labels = (model["label"] == "malignant").to_numpy()[known]
    ours, theirs = (table["score"].to_numpy(np.float64)[known] for table in (model, reader))
    groups = model["patient_id"].to_numpy()[known]
    of_class = {name: np.unique(groups[rows]).size for name, rows in (("malignant", labels), ("benign", ~labels))}
    why = why_not("auc", of_class)
    if why:
        return f"with ratings of the column {column}: {why}"
    try:
        compared = compare_auc(labels, theirs, ours, groups, confidence=confidence)
    except NotEnoughData as error:
        return str(error)
    words = _words(manifest[column], ratings)
    points = []
    for rating in sorted(np.unique(theirs)[1:], reverse=True)[:_MOST_POINTS]:
        called = theirs >= rating
        shares = [
            why_not(name, of_class) or clustered_wilson(right[rows], groups[rows], confidence=confidence)
            for name, rows, right in (("sensitivity", labels, called), ("specificity", ~labels, ~called))
        ]
        points.append(Point(words[rating], int(called.sum()), *shares))
    return ReaderComparison(
        column=column,
        level=level,
        rows=int(known.sum()),
        total=len(model),
        reader=compared.first,
        model=compared.second,
        difference=compared.difference,
        p=compared.p,
        points=tuple(points),
        curve=roc(labels, ours),
    )


def _words(column: pd.Series, ratings: pd.Series) -> dict[float, str]:
    """The reader's own words for each rating; several for one, as 4 and 4A, together."""
    text = column.astype("str").str.strip().str.upper().str.removesuffix(".0").str.removeprefix("BI-RADS").str.strip()
    known = ratings.notna()
    pairs = sorted(set(zip(ratings[known], text[known], strict=True)))
    found: dict[float, str] = {}
    for rating, word in pairs:
        found[rating] = f"{found[rating]}/{word}" if rating in found else word
    return found
