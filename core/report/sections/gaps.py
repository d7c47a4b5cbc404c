"""What is missing: metadata by set and site, and how far metrics could move if unverified benign labels were missed cancers."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from core.data import SPLITS
from core.errors import NotEnoughData
from core.evaluate.metadata import KNOWN, PLACES
from core.evaluate.verified import Verification, verification_of
from core.metrics import Level, Summary, at_level
from core.metrics.features import feature_title, feature_words
from core.metrics.levels import UNITS
from core.metrics.verification import verification_bounds
from core.report.document import Block, Table, Text
from core.report.material import SPLIT_WORDS, Material
from core.report.words import share, signed
from core.wording import counted

SITES = PLACES
_MOST_SITES = 8
_MOST_SPELLINGS = 20
_LONGEST = 60  # characters of a cell


def metadata_columns(rows: pd.DataFrame, audited: Sequence[str] = ()) -> list[str]:
    """The columns of a manifest that say something of each image and are in it at all, and further ones that were `audited`."""
    named = [name for name in dict.fromkeys(("laterality", "view", *KNOWN, *audited)) if name in rows.columns]
    return [name for name in named if not _empty(rows[name]).all()]


def missing_metadata(rows: pd.DataFrame, audited: Sequence[str] = ()) -> list[str]:
    """Those of them that are not known for every image."""
    return [name for name in metadata_columns(rows, audited) if _empty(rows[name]).any()]


def metadata_blocks(material: Material) -> list[Block]:
    """How many images lack each kind of metadata, by set and by site."""
    rows = material.rows
    audited = audited_columns(material)
    columns, missing = metadata_columns(rows, audited), missing_metadata(rows, audited)
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


def audited_columns(material: Material) -> list[str]:
    """Further columns of the manifest that the shortcut audit took in, where missing values are imputed."""
    return [] if material.shown is None else [each.name for each in material.shown.further if each.read]


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


def verification_blocks(material: Material) -> list[Block]:
    """How the column biopsy was read, and bounds of the metrics if a share of benign labels that nobody verified, or that
    nobody says were verified, were missed cancers.
    """
    evaluation = material.shown
    if evaluation is None:
        return []
    by_patient = material.patients_known and isinstance(evaluation.levels.get("patient"), Summary)
    level: Level = "patient" if by_patient else "image"
    found, summary = verification_of(evaluation.predictions, material.rows, level), evaluation.levels[level]
    if found is None or not isinstance(summary, Summary):
        return []
    table = at_level(evaluation.predictions, level)
    states = found.states.loc[table["patient_id" if level == "patient" else "path"]].to_numpy()
    threshold = evaluation.thresholds.of_rows(table) if level == "image" else summary.threshold
    unit, words = UNITS[level], SPLIT_WORDS[evaluation.split]
    blocks: list[Block] = [Text(_counts(found, unit)), _spellings(found, words)]
    unstated = found.count("not stated")
    for count, unverified, caption, said in (
        (
            found.count("no"),
            states == "no",
            f"If unverified benign {unit} were missed cancers, {words} set.",
            "are stated never to have been biopsied",
        ),
        (
            unstated and found.count("no") + unstated,
            states != "yes",
            f"If benign {unit} that are not known to be verified were missed cancers, {words} set.",
            "are stated never to have been biopsied, or not stated: how many of these were verified is not known",
        ),
    ):
        if not count:
            continue
        try:
            bounds = verification_bounds(table["label"], table["score"], unverified, threshold)
        except NotEnoughData as error:
            blocks.append(Text(f"{caption.removesuffix('.')}: cannot be computed. {error}"))
            continue
        rows = tuple(
            (f"{each.share:.0%} ({each.missed})", *(_range(pair) for pair in (each.auc, each.sensitivity, each.specificity)))
            for each in bounds
        )
        note = (
            f"{count:,} of the {int(found.benign.sum()):,} benign {unit} {said}. From the worst case (the missed cancers have "
            "the lowest scores) to the best (the highest). Bounds for these labels, without the chance of drawing others. How "
            "many were missed only follow-up can say."
        )
        head = ("Missed cancers among them", "ROC AUC", "Sensitivity", "Specificity")
        blocks.append(Table(caption, head, rows, note=note))
    return blocks


def _counts(found: Verification, unit: str) -> str:
    """How many benign units are verified, stated not to be, or neither, and what that means."""
    whole = int(found.benign.sum())
    parts = [
        f"{share(found.count(state), whole)} {words}"  # type: ignore[arg-type]
        for state, words in (
            ("yes", "verified by biopsy"),
            ("no", "stated never to have been biopsied"),
            ("not stated", "not stated"),
        )
    ]
    which = (
        " A breast counts as verified when an image of it is, a patient when each of her breasts is."
        if found.level == "patient"
        else ""
    )
    only = (
        " No cell of the column says that there was no biopsy: it lists biopsied images only, and an empty cell may mean "
        "either, so that nothing is taken for unverified on its account."
        if found.lists_only_biopsies
        else " An empty cell says nothing: it is not taken for unverified."
    )
    return f"Verification of the {whole:,} benign {unit}, by the manifest's column biopsy: {', '.join(parts)}.{which}{only}"


def _spellings(found: Verification, words: str) -> Table:
    rows = tuple(
        (f"“{each.written[:_LONGEST]}”" if each.written else "empty", each.read_as, f"{each.benign:,}", f"{each.malignant:,}")
        for each in found.spellings[:_MOST_SPELLINGS]
    )
    rest = len(found.spellings) - _MOST_SPELLINGS
    more = f" {rest} rarer spellings are not shown." if rest > 0 else ""
    note = f"What is not understood counts as not stated.{more}"
    head = ("Cell", "Read as", "Benign images", "Malignant images")
    return Table(f"How the cells of the column biopsy were read, {words} set.", head, rows, note=note, small=True)


def _range(pair: tuple[float, float]) -> str:
    return f"{signed(pair[0])} to {signed(pair[1])}"
