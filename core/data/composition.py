"""What a data set is made of: images by label and view, density, scanner, age or size, and its patients as a table."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd

from core.data.manifest import LABELS, SPLITS, is_excluded, labelled
from core.data.read_ahead import read_ahead
from core.data.tables import shown
from core.errors import UnreadableImage
from core.images.headers import read_header
from core.metrics.curves import auc

Size = tuple[int, int]  # width, height

UNLABELLED = "unlabelled"
NOT_GIVEN = "not given"
OTHERS = "others"
MOST = 12  # categories of a column; the rest are OTHERS
BY = ("split", "view", "laterality", "density", "birads", "scanner", "age", "collection", "subset", "label_source")
TELLING = 0.6  # AUC of the label from the collection alone, from which on it is worth a warning
_AGES = (0, 40, 50, 60, 70, 80, 200)


def columns_of(frame: pd.DataFrame) -> list[str]:
    """The columns by which this manifest can be counted: those of BY that say anything."""
    there = [name for name in BY if name in frame.columns]
    return [name for name in there if (frame[name].notna().any() if name == "age" else (frame[name] != "").any())]


def label_from_collection(frame: pd.DataFrame) -> str:
    """A warning where the collection alone tells the label, else "": a model may learn scanners and compression instead."""
    known = labelled(frame)
    if "collection" not in known.columns or known["collection"].nunique() < 2:
        return ""
    truth = (known["label"] == "malignant").to_numpy()
    if not truth.any() or truth.all():
        return ""
    shares = pd.Series(truth, index=known.index).groupby(known["collection"]).mean()
    area = auc(truth, known["collection"].map(shares).to_numpy(dtype=np.float64))
    if area < TELLING:
        return ""
    listed = ", ".join(
        f"{share:.0%} in {shown(str(name)) if name else 'rows that name none'}" for name, share in shares.items()
    )
    return (
        f"the collection alone tells the label (AUC {area:.2f}; malignant: {listed}): a model may learn scanners and "
        "compression in place of disease. Test it within each collection"
    )


def labels_by(frame: pd.DataFrame, column: str, sizes: Sequence[Size | None] | None = None) -> pd.DataFrame:
    """Images by category (index, in order) and label (columns benign, malignant and, where there are any, unlabelled).

    Args:
        column: one of `columns_of`, or `size`.
        sizes: (width, height) of each row's image, for `size`; None where it cannot be read.
    """
    if column == "size":
        values = _sizes(sizes or [None] * len(frame), frame.index)
    elif column == "age":
        values = _ages(frame["age"])
    else:
        values = frame[column].astype("str").replace("", NOT_GIVEN)
    label = frame["label"].astype("str").replace("", UNLABELLED)
    table = pd.crosstab(values, label)
    names = [*LABELS, *([UNLABELLED] if UNLABELLED in table.columns else [])]
    table = table.reindex(columns=names, fill_value=0)
    table.index.name, table.columns.name = column, None
    return _shortened(table.loc[_order(table, column)])


def patient_table(frame: pd.DataFrame) -> pd.DataFrame:
    """A row a patient: patient_id, images, sides, views, label (worst), split, age (of the first image), excluded (images)."""
    rows = frame.assign(
        _malignant=frame["label"] == "malignant",
        _benign=frame["label"] == "benign",
        _away=is_excluded(frame),
        _age=frame["age"] if "age" in frame.columns else np.nan,
    )
    groups = rows.groupby("patient_id", sort=True)
    table = groups.agg(
        images=("path", "size"), age=("_age", "first"), excluded=("_away", "sum"), m=("_malignant", "any"), b=("_benign", "any")
    )
    for name, column in (("sides", "laterality"), ("views", "view"), ("split", "split")):
        there = rows[["patient_id", column]].drop_duplicates()
        there = there[there[column] != ""].sort_values(["patient_id", column])
        joined = there.groupby("patient_id")[column].agg(", ".join)
        table[name] = joined.reindex(table.index).fillna("")
    table["label"] = np.where(table["m"], "malignant", np.where(table["b"], "benign", UNLABELLED))
    return table.reset_index()[["patient_id", "images", "sides", "views", "label", "split", "age", "excluded"]]


def image_sizes(paths: Sequence[str], progress: Callable[[int, int], None] | None = None) -> list[Size | None]:
    """(width, height) of each image by its header, in order; None where that cannot be read or does not say.

    `progress(done, total)` is called in this thread; what it raises ends the work.
    """
    found: list[Size | None] = []
    with closing(read_ahead(_size, paths, workers=4, ahead=64, name="sizes")) as results:
        for size in results:
            found.append(size)
            if progress is not None:
                progress(len(found), len(paths))
    return found


def _size(path: str) -> Size | None:
    try:
        return read_header(Path(path)).size
    except UnreadableImage:
        return None


def _ages(ages: pd.Series) -> pd.Series:
    """Decades, as text; the first and the last are open."""
    words = [f"{low}-{high - 1}" for low, high in itertools.pairwise(_AGES)]
    words[0], words[-1] = f"under {_AGES[1]}", f"{_AGES[-2]} and over"
    cut = pd.cut(ages, _AGES, right=False, labels=words)
    return cut.astype("str").where(cut.notna(), NOT_GIVEN)


def _sizes(sizes: Sequence[Size | None], index: pd.Index) -> pd.Series:
    return pd.Series(["not readable" if size is None else f"{size[0]} × {size[1]}" for size in sizes], index=index, dtype="str")


def _order(table: pd.DataFrame, column: str) -> list[str]:
    names = [str(name) for name in table.index]
    if column == "split":
        return [name for name in (*SPLITS, NOT_GIVEN) if name in names]
    if column == "age":
        ages = [f"under {_AGES[1]}", *sorted(name for name in names if name[0].isdigit()), NOT_GIVEN]
        return [name for name in ages if name in names]
    if column in ("density", "birads", "laterality"):
        return sorted(names, key=lambda name: (name == NOT_GIVEN, name))
    counts = table.sum(axis=1)
    return sorted(names, key=lambda name: (name == NOT_GIVEN, -int(counts[name]), name))


def _shortened(table: pd.DataFrame) -> pd.DataFrame:
    if len(table) <= MOST:
        return table
    rest = table.iloc[MOST - 1 :].sum().rename(f"{OTHERS} ({len(table) - MOST + 1})")
    return pd.concat([table.iloc[: MOST - 1], rest.to_frame().T])
