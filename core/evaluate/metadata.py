"""What is known about each scored image besides its pixels: the manifest's columns, and what its file gives away.

They stand in predictions/<split>.csv, so that subgroups and the shortcut audit can be read, and made again, without images.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from core.data import LABELS, SPLITS

if TYPE_CHECKING:
    from core.config.schema import EvaluationConfig
    from core.data.cache import CachedImage

# Columns of a manifest that say how, where or of whom an image was made.
PLACES = ("site", "site_id", "hospital", "institution", "center", "centre", "origin", "source")
KNOWN = ("age", "density", "scanner", "machine_id", "device", "manufacturer", "vendor", "implant", *PLACES)
# Columns that say what kind of lesion it shows; the second ones describe cancers only, whatever stands at benign images.
CANCERS = ("invasive",)
LESIONS = (
    "finding",
    "abnormality",
    "abnormality_type",
    "lesion_type",
    "lesion_shape",
    "mass_shape",
    "mass_margins",
    "calc_type",
    "calc_distribution",
    *CANCERS,
)
# What an image file tells, whether or not the manifest does.
OF_FILE = ("height", "width", "bits", "inverted", "burned_in", "format", "folder")
# What the predictions file says in columns of its own, which no metadata may replace.
RESERVED = frozenset(("path", "patient_id", "laterality", "view", "label", "split", "score", "calibrated", "paths"))
GROUPS = ("view", "laterality", *KNOWN, "format", *LESIONS)
# A column with more values than this, or fewer images a value, holds names: it makes no subgroups.
_MOST_VALUES, _FEWEST_IMAGES = 30, 4
# Folders named like this are where somebody sorted the images by what the model is to find out.
_SORTED_BY = frozenset((*LABELS, *SPLITS, "benign_without_callback", "cancer", "normal", "negative", "positive", "0", "1"))


def facts_of(image: CachedImage) -> dict[str, str]:
    """What the file of a prepared image tells, as text; "" where it does not say."""
    meta = image.meta
    height, width = image.original_shape
    return {
        "height": str(height),
        "width": str(width),
        "bits": str(meta["bits_stored"]),
        "inverted": _word(image.white_air),
        "burned_in": _word(image.objects or bool(meta["burned_in"])),
        "format": str(meta["format"]),
        "scanner": f"{meta['manufacturer']} {meta['model_name']}".strip(),
        "implant": _word(meta["implant"]),
    }


def metadata(rows: pd.DataFrame, facts: dict[Any, dict[str, str]], extra: Sequence[str] = ()) -> pd.DataFrame:
    """The metadata of the rows that have facts, as text, "" where it is unknown; columns without any value are left out.

    `extra` names columns of the manifest besides the known ones. Where the manifest has a column, its word counts; the file's
    stands in only where the manifest has none.
    """
    chosen = rows.loc[list(facts)]
    table = pd.DataFrame.from_records(list(facts.values()), index=list(facts)).fillna("")
    table["folder"] = _folders(chosen)
    others = tuple(name for name in extra if name not in RESERVED)
    said = _of_manifest(chosen, (*KNOWN, *LESIONS, *others))
    table[list(said.columns)] = said
    order = [name for name in dict.fromkeys((*KNOWN, *OF_FILE, *LESIONS, *others)) if name in table.columns]
    return table[[name for name in order if (table[name] != "").any()]]


def completed(predictions: pd.DataFrame, manifest: pd.DataFrame, extra: Sequence[str] = ()) -> pd.DataFrame:
    """The stored predictions with the columns of the manifest, known ones and `extra`, that they lack.

    An earlier version, or other settings, did not write them down.
    """
    rows = manifest.set_index(manifest["path"].astype("str"))
    rows = rows[~rows.index.duplicated()].reindex(predictions["path"].astype("str"))
    wanted = [name for name in (*KNOWN, *LESIONS, *extra) if name not in (*RESERVED, *predictions.columns)]
    said = _of_manifest(rows.set_axis(predictions.index), wanted)
    return predictions.join(said[[name for name in said.columns if (said[name] != "").any()]])


def _of_manifest(rows: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Those of the columns that say something of any row, as text; what is known of cancers only, of malignant rows only."""
    table = pd.DataFrame(index=rows.index)
    for name in dict.fromkeys(names):
        cells = [_cell(value) for value in rows[name]] if name in rows.columns else []
        if any(cells):
            table[name] = cells
    for name in CANCERS:
        if name in table.columns:
            table.loc[rows["label"] != "malignant", name] = ""
    return table


def grouping(predictions: pd.DataFrame, settings: EvaluationConfig) -> pd.DataFrame:
    """The columns that make subgroups: the known ones, and those that the settings name. Only what is no list of names.

    Ages are in bands, and numbers that the settings name in thirds. Further columns that the shortcut audit took in by itself
    make none: each group is tested, and every test that nobody asked for weakens the others.
    """
    from core.metrics import age_bands
    from core.metrics.subgroups import number_bands

    found: dict[str, Any] = {}
    for name in dict.fromkeys((*GROUPS, *settings.numeric_columns, *settings.category_columns)):
        if name not in predictions.columns or (name in RESERVED and name not in GROUPS):
            continue
        if name in settings.numeric_columns:
            column = number_bands(predictions[name])
        else:
            column = age_bands(predictions[name]) if name == "age" else predictions[name]
        values = set(column) - {"", "unknown"}
        if 2 <= len(values) <= min(_MOST_VALUES, len(column) // _FEWEST_IMAGES):
            found[name] = column.to_numpy()
    return pd.DataFrame(found, index=predictions.index)


def _folders(rows: pd.DataFrame) -> list[str]:
    """The image's folder as a number of ours: names may tell who is shown.

    Parts that name the patient or the label are left out, since they tell nothing that a model could see in the pixels.
    """
    places = []
    for path, patient in zip(rows["path"].astype("str"), rows["patient_id"].astype("str"), strict=True):
        parts = PurePath(path).parent.parts
        places.append("/".join(part for part in parts if part.lower() not in _SORTED_BY and part != patient))
    _, numbers = np.unique(np.array(places, dtype=object).astype(str), return_inverse=True)
    return [str(number + 1) for number in numbers.reshape(-1)]


def _word(value: bool | None) -> str:
    return "" if value is None else "yes" if value else "no"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        # Every digit: two machines' numbers that differ in the last one are two machines.
        return "" if np.isnan(value) else str(int(value)) if value.is_integer() else repr(float(value))
    return str(value).strip()
