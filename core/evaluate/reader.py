"""A reader to compare the model with, where the manifest has one: BI-RADS categories, or ratings in a column `reader`.

Categories are read, and ordered by suspicion, as core.evaluate.birads says. A column `reader` has numbers, higher is more
suspicious. A breast or a patient has the highest rating of its images, and the model's score of it is the mean of the same
images: only images, breasts and patients with a rating for every image are compared, the others are counted with the reason.

Readings decide who is biopsied, and so what the label is: a cancer that nobody suspected is rarely found, and what was
suspected is. The label is no judge that is independent of the reader, who is favoured (verification and incorporation bias).

Sources: ACR BI-RADS Atlas, 5th edition, 2013. DeLong, DeLong, Clarke-Pearson, Biometrics 1988;44:837; Obuchowski, Biometrics
1997;53:567 (paired comparison). Begg, Greenes, Biometrics 1983;39:207; Rutjes et al., CMAJ 2006;174:469 (the biases).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from core.errors import NotEnoughData
from core.evaluate.birads import EMPTY, KNOWN_CANCER, KNOWN_CANCER_REASON, ORDER, category
from core.metrics import Interval, Level, Roc, at_level, clustered_wilson, compare_auc, roc
from core.metrics.bootstrap import Patients
from core.metrics.intervals import SIGNIFICANT
from core.metrics.levels import UNITS
from core.metrics.summary import why_not

COLUMNS = ("birads", "bi_rads", "bi-rads", "reader")
NUMBERS = "reader"  # the column of numbers; the others hold BI-RADS
_MOST_POINTS = 12
NO_RATING, IN_PART, UNREAD = "no rating", "a rating for a part of the images only", "a rating that cannot be read"
BY_CONSTRUCTION = (
    "BI-RADS 0, 4 and 5 lead to the work-up and biopsy that give the label, 1 and 2 to none, so that the label rests in part "
    "on the reading itself (incorporation and verification bias)"
)
_IF_IT_DECIDED = (
    "if these ratings decided who was biopsied, the label rests in part on the reading itself (incorporation and verification "
    "bias), which favours the reader"
)


@dataclass(frozen=True)
class Ratings:
    """A reader's column: `values` (n,) float64, NaN without a rating, `words` (n,) each rating as a category or number, and
    `reasons` (n,) why there is no rating ("" where there is one).
    """

    column: str
    values: pd.Series
    words: pd.Series
    reasons: pd.Series


@dataclass(frozen=True)
class LeftOut:
    """Images, breasts or patients that are not compared, and why; `malignant` of the `units` are malignant."""

    reason: str
    units: int
    malignant: int


@dataclass(frozen=True)
class UnreadValue:
    """What stands in the reader's column of `images` images and is no rating, as it is written there, and why."""

    value: str
    images: int
    reason: str


@dataclass(frozen=True)
class Point:
    """What calling malignant from `rating` on would give. `short` names it in a chart, `words` says what is called malignant:
    `BI-RADS 0 (incomplete), 4, 5`.
    """

    rating: str
    short: str
    words: str
    called: int
    sensitivity: Interval | str
    specificity: Interval | str


@dataclass(frozen=True)
class ReaderComparison:
    """Model and reader on those `rows` of `total` images, breasts or patients that have a rating for every image.

    `difference` is the model's AUC minus the reader's, `p` its two-sided test; `curve` is the model's on these rows. `points`
    are the reader's on the ROC plane, from calling only the most suspicious rating to calling all but the least. `left_out`
    are the other rows, by reason; `unread` what could not be read in the column, `others` further columns of readings that the
    manifest has and that are not compared.
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
    left_out: tuple[LeftOut, ...] = ()
    unread: tuple[UnreadValue, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """What the paired test shows, and what of it is there by construction."""
        if self.p < SIGNIFICANT and self.difference.value > 0:
            return "The model ranks them better"
        if self.p >= SIGNIFICANT:
            return "No difference is shown, which is no equivalence"
        return "The reader ranks them better, " + ("partly by construction" if self.categories else "perhaps by construction")

    @property
    def categories(self) -> bool:
        """Whether the ratings are BI-RADS categories."""
        return self.column.lower() != NUMBERS

    @property
    def caution(self) -> str:
        """Why the comparison favours the reader."""
        return f"{BY_CONSTRUCTION}, which favours the reader" if self.categories else _IF_IT_DECIDED

    @property
    def paired_on(self) -> str:
        """`paired on 40 of 60 patients with a rating for every image; left out: 20 (3 malignant) with no rating`."""
        units = UNITS[self.level]
        which = "a rating" if self.level == "image" else "a rating for every image"
        gone = [f"{each.units:,} ({each.malignant:,} malignant) with {each.reason}" for each in self.left_out]
        return (
            f"paired on {self.rows:,} of {self.total:,} {units} with {which}"
            + (f"; left out: {', '.join(gone)}" if gone else "")
            + (f"; not compared: the column {', '.join(self.others)}" if self.others else "")
        )


def ratings_of(manifest: pd.DataFrame) -> Ratings | None:
    """The first of COLUMNS that holds at least two different ratings, else the first that holds anything; None without any."""
    filled = _filled(manifest)
    return next((each for each in filled if each.values.nunique() > 1), filled[0] if filled else None)


def _filled(manifest: pd.DataFrame) -> list[Ratings]:
    """Those of COLUMNS that hold anything."""
    names = {str(name).lower(): str(name) for name in manifest.columns}
    found = [_ratings(names[wanted], manifest[names[wanted]]) for wanted in COLUMNS if wanted in names]
    return [each for each in found if not (each.reasons == NO_RATING).all()]


def _ratings(name: str, column: pd.Series) -> Ratings:
    read = {text: (_number if name.lower() == NUMBERS else _category)(text) for text in column.astype("str").unique()}
    parts = [read[text] for text in column.astype("str")]
    values, words, reasons = zip(*parts, strict=True) if parts else ((), (), ())
    series = (
        pd.Series(each, index=column.index, dtype=kind)
        for each, kind in ((values, "float64"), (words, "str"), (reasons, "str"))
    )
    return Ratings(name, *series)


def _category(text: str) -> tuple[float, str, str]:
    """(rating, category, "") or (NaN, "", why there is none)."""
    try:
        found = category(text)
    except ValueError as error:
        return np.nan, "", str(error)
    if found == KNOWN_CANCER:
        return np.nan, "", KNOWN_CANCER_REASON
    return (ORDER[found], found, "") if found else (np.nan, "", NO_RATING)


def _number(text: str) -> tuple[float, str, str]:
    if text.strip().lower() in EMPTY:
        return np.nan, "", NO_RATING
    value = float(pd.to_numeric(text.strip(), errors="coerce"))
    return (value, f"{value:g}", "") if np.isfinite(value) else (np.nan, "", "no finite number")


def compare_reader(
    predictions: pd.DataFrame, manifest: pd.DataFrame, level: Level = "image", *, confidence: float
) -> ReaderComparison | str | None:
    """The model beside the reader of the manifest; why they cannot be compared; None where the manifest has no reader.

    Args:
        predictions: path, patient_id, laterality, label, score, as in predictions/<split>.csv.
        manifest: path and the reader's column.
    """
    found = ratings_of(manifest)
    if found is None:
        return None
    places = {path: place for place, path in enumerate(manifest["path"].astype("str"))}
    rows = [places.get(path, -1) for path in predictions["path"].astype("str")]
    reasons = [found.reasons.iloc[row] if row >= 0 else NO_RATING for row in rows]
    rated = predictions.assign(
        rating=[found.values.iloc[row] if row >= 0 else np.nan for row in rows],
        reason=reasons,
        written=[str(manifest[found.column].iloc[row]) if row >= 0 else "" for row in rows],
    )
    unread = _unread(rated)
    try:
        left_out, total = _left_out(rated, level)
        complete = rated[rated["rating"].notna().groupby(_units(rated, level)).transform("all")]
        model, reader = at_level(complete, level), at_level(complete.assign(score=complete["rating"]), level, "max")
    except NotEnoughData as error:
        return str(error)
    labels, groups = (model["label"] == "malignant").to_numpy(), model["patient_id"].to_numpy()
    ours, theirs = (table["score"].to_numpy(np.float64) for table in (model, reader))
    of_class = Patients.of(groups).of_class(labels)
    why = why_not("auc", of_class) or ("every rating is the same" if np.unique(theirs).size < 2 else "")
    if not why:
        try:
            compared = compare_auc(labels, theirs, ours, groups, confidence=confidence)
        except NotEnoughData as error:
            why = str(error)
    if why:
        return f"with ratings of the column {found.column} for every image: {why}{_unread_words(unread)}"
    return ReaderComparison(
        column=found.column,
        level=level,
        rows=len(model),
        total=total,
        reader=compared.first,
        model=compared.second,
        difference=compared.difference,
        p=compared.p,
        points=_points(found, labels, theirs, groups, of_class, confidence),
        curve=roc(labels, ours),
        left_out=left_out,
        unread=unread,
        others=tuple(each.column for each in _filled(manifest) if each.column != found.column),
    )


def _units(rated: pd.DataFrame, level: Level) -> pd.Series:
    """Which image, breast or patient each row belongs to, from 0."""
    if level == "image":
        return pd.Series(np.arange(len(rated)), index=rated.index)
    return rated.groupby(["patient_id", "laterality"] if level == "breast" else ["patient_id"], sort=True).ngroup()


def _left_out(rated: pd.DataFrame, level: Level) -> tuple[tuple[LeftOut, ...], int]:
    """Units that lack a rating for any image, by reason, and how many units there are. Raises as `at_level`."""
    total = len(at_level(rated, level))
    counts: Counter[str] = Counter()
    malignant: Counter[str] = Counter()
    for _, part in rated.groupby(_units(rated, level), sort=True):
        missing = set(part["reason"]) - {""}
        if not missing:
            continue
        if KNOWN_CANCER_REASON in missing:
            reason = "BI-RADS 6 (known cancer)"
        elif missing != {NO_RATING}:
            reason = UNREAD
        else:
            reason = NO_RATING if (part["reason"] == NO_RATING).all() else IN_PART
        counts[reason] += 1
        malignant[reason] += bool((part["label"] == "malignant").any())
    return tuple(LeftOut(reason, count, malignant[reason]) for reason, count in counts.most_common()), total


def _unread(rated: pd.DataFrame) -> tuple[UnreadValue, ...]:
    """Each value that stands for no rating although it is not empty, the most frequent first."""
    some = rated[~rated["reason"].isin(("", NO_RATING))]
    counts = Counter(zip(some["written"], some["reason"], strict=True))
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(UnreadValue(value, count, reason) for (value, reason), count in ranked)


def _unread_words(unread: Sequence[UnreadValue]) -> str:
    if not unread:
        return ""
    named = "; ".join(
        f"{each.value[:60]!r} ({each.images:,} image{'' if each.images == 1 else 's'}: {each.reason})" for each in unread[:5]
    )
    return f". Not read as a rating: {named}" + (f"; and {len(unread) - 5} more values" if len(unread) > 5 else "")


def _points(
    found: Ratings,
    labels: np.ndarray,
    theirs: np.ndarray,
    groups: np.ndarray,
    of_class: dict[str, int],
    confidence: float,
) -> tuple[Point, ...]:
    """The reader's points, with what is called malignant at each in the reader's own categories."""
    pairs = sorted({(value, word) for value, word in zip(found.values, found.words, strict=True) if value in set(theirs)})
    birads = found.column.lower() != NUMBERS
    points = []
    for rating in sorted(np.unique(theirs)[1:], reverse=True)[:_MOST_POINTS]:
        called = theirs >= rating
        shares = [
            why_not(name, of_class) or clustered_wilson(right[rows], groups[rows], confidence=confidence)
            for name, rows, right in (("sensitivity", labels, called), ("specificity", ~labels, ~called))
        ]
        every = ["0 (incomplete)" if word == "0" else word for value, word in pairs if value >= rating]
        first = "/".join(word for value, word in pairs if value == rating)
        words = f"BI-RADS {', '.join(every)}" if birads else f"ratings of {first} and higher"
        points.append(
            Point(first, f"from {'0 (recall)' if first == '0' and birads else first}", words, int(called.sum()), *shares)
        )
    return tuple(points)
