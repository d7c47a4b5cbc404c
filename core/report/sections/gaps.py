"""What is missing: metadata by set and site, and how far figures could move if unverified benign labels were missed cancers."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from core.data import SPLITS
from core.errors import NotEnoughData
from core.evaluate.metadata import KNOWN, PLACES
from core.metrics import at_level
from core.metrics.features import feature_title, feature_words
from core.metrics.verification import verification_bounds
from core.report.document import Block, Table, Text
from core.report.material import SPLIT_WORDS, Material
from core.report.words import UNITS, share, signed
from core.wording import counted

SITES = PLACES
_MOST_SITES = 8
_VERIFIED = ("1", "1.0", "true", "yes")


def metadata_columns(rows: pd.DataFrame) -> list[str]:
    """The columns of a manifest that say something of each image and are in it at all."""
    named = [name for name in ("laterality", "view", *KNOWN) if name in rows.columns]
    return [name for name in named if not _empty(rows[name]).all()]


def missing_metadata(rows: pd.DataFrame) -> list[str]:
    """Those of them that are not known for every image."""
    return [name for name in metadata_columns(rows) if _empty(rows[name]).any()]


def metadata_blocks(material: Material) -> list[Block]:
    """How many images lack each kind of metadata, by set and by site."""
    rows = material.rows
    columns, missing = metadata_columns(rows), missing_metadata(rows)
    if not columns:
        return [Text("The manifest has no metadata beside labels and patients, so none can be missing.")]
    if not missing:
        return [Text(f"Metadata are known for every image: {_names(columns)}.")]
    complete = [name for name in columns if name not in missing]
    whole = f" Known for every image: {_names(complete)}." if complete else ""
    said = Text(f"Metadata are missing for some images; the manifest does not say why. The model uses none of them.{whole}")
    sets = [(SPLIT_WORDS[split].capitalize(), rows[rows["split"] == split]) for split in SPLITS]
    tables = [_table("Images without metadata, by set.", missing, sets)]
    site = next((name for name in SITES if name in rows.columns and rows[name].astype("str").str.strip().nunique() > 1), None)
    if site is not None:
        values = rows[site].astype("str").str.strip()
        names = values[~_empty(rows[site])].value_counts().index.tolist()[:_MOST_SITES]
        places = [(f"{feature_title(site)} {name}", rows[values == name]) for name in sorted(names)]
        others = [name for name in missing if name != site]
        if others and places:
            tables.append(_table(f"Images without metadata, by {feature_words(site)}.", others, places))
    return [said, *tables]


def _table(caption: str, names: Sequence[str], parts: Sequence[tuple[str, pd.DataFrame]]) -> Table:
    lines = tuple(
        (feature_title(name), *(share(int(_empty(part[name]).sum()), len(part)) for _, part in parts)) for name in names
    )
    head = ("Missing", *(f"{title} ({counted(len(part), 'image')})" for title, part in parts))
    return Table(caption, head, lines, small=True)


def _empty(column: pd.Series) -> pd.Series:
    return column.isna() | column.astype("str").str.strip().str.lower().isin(("", "nan", "none"))


def _names(columns: Sequence[str]) -> str:
    return ", ".join(feature_words(name) for name in columns)


def biopsied(rows: pd.DataFrame) -> pd.Series | None:
    """The manifest's column biopsy as "yes", "no" or "" (not known), a row an image; None where it says nothing at all."""
    if "biopsy" not in rows.columns:
        return None
    text = rows["biopsy"].astype("object").where(rows["biopsy"].notna(), "").astype("str").str.strip().str.lower()
    known = ~text.isin(("", "nan"))
    if not known.any():
        return None
    return text.isin(_VERIFIED).map({True: "yes", False: "no"}).where(known, "")


def verification_blocks(material: Material) -> list[Block]:
    """Bounds of the figures if a share of the benign labels that no biopsy stands behind were missed cancers."""
    evaluation = material.shown
    said = biopsied(material.rows)
    if evaluation is None or said is None:
        return []
    sure = said == "yes"
    verified = set(material.rows.loc[sure, "path"].astype("str"))
    frame = evaluation.predictions.assign(verified=[path in verified for path in evaluation.predictions["path"]])
    level = "patient" if material.patients_known and not isinstance(evaluation.levels.get("patient"), str) else "image"
    table = at_level(frame, level)  # type: ignore[arg-type]
    keys = "patient_id" if level == "patient" else "path"
    known = frame.groupby(keys)["verified"].any()
    unverified = ~known.loc[table[keys]].to_numpy()
    count = int((unverified & (table["label"] == "benign").to_numpy()).sum())
    if not count:
        return []
    summary = evaluation.levels[level]
    try:
        threshold = summary.threshold  # type: ignore[union-attr]
        found = verification_bounds(table["label"], table["score"], unverified, threshold)
    except NotEnoughData as error:
        return [Text(f"What unverified benign labels could do to the figures cannot be told: {error}")]
    unit, words = UNITS[level], SPLIT_WORDS[evaluation.split]
    rows = tuple(
        (f"{each.share:.0%} ({each.missed})", *(_range(pair) for pair in (each.auc, each.sensitivity, each.specificity)))
        for each in found
    )
    note = (
        f"{count:,} of the {int((table['label'] == 'benign').sum()):,} benign {unit} were never biopsied. From the worst case "
        "(the missed cancers have the lowest scores) to the best (the highest). Bounds for these labels, without the chance of "
        "drawing others. How many were missed only follow-up can say."
        + (" A patient with any biopsied image counts as verified." if level == "patient" else "")
    )
    head = ("Missed cancers among the unverified", "ROC AUC", "Sensitivity", "Specificity")
    return [Table(f"If unverified benign {unit} were missed cancers, {words} set.", head, rows, note=note)]


def _range(pair: tuple[float, float]) -> str:
    return f"{signed(pair[0])} to {signed(pair[1])}"
