"""The model beside a reader, where the manifest has one."""

from __future__ import annotations

from core.evaluate.reader import ReaderComparison, compare_reader
from core.metrics import LEVELS, Summary
from core.metrics.levels import UNITS
from core.report.document import Block, Section, Table, Text, Warn
from core.report.material import SPLIT_WORDS, Material
from core.report.words import LEVEL_TITLES, stated
from core.wording import p_value

_MOST_UNREAD = 20
_LONGEST = 60  # characters of a value


def reader(material: Material) -> Section:
    """The paired comparison at every level, and the reader's points on the ROC plane."""
    title, evaluation = "Model and reader", material.shown
    if evaluation is None:
        return Section("reader", title, (Text("Nothing is compared before a split has been evaluated."),))
    words, blocks, compared = SPLIT_WORDS[evaluation.split], [], []
    for level in LEVELS:
        if level != "image" and not (material.patients_known and isinstance(evaluation.levels.get(level), Summary)):
            continue
        found = compare_reader(evaluation.predictions, material.rows, level, confidence=evaluation.summary.confidence)
        if found is None:
            return Section("reader", title, (Text("The manifest has no reader's assessment (columns birads or reader)."),))
        if isinstance(found, str):
            blocks.append(Text(f"{LEVEL_TITLES[level]}, not reported: {found.rstrip('.')}."))
        else:
            compared.append(found)
    tables: list[Block] = []
    if compared:
        tables = [
            *_sentences(compared),
            _comparison(compared, f"{words} set, {evaluation.summary.confidence:.0%} intervals", material.patients_known),
            *_unread(compared[0]),
            _points(compared[-1], f"{words} {UNITS[compared[-1].level]}, {evaluation.summary.confidence:.0%} intervals"),
        ]
    return Section("reader", title, (*tables, *blocks))


def _sentences(compared: list[ReaderComparison]) -> list[Block]:
    """By level, what the test shows and on which rows; then why the reader is favoured."""
    said = [f"{LEVEL_TITLES[each.level]}: {each.verdict[:1].lower()}{each.verdict[1:]}, {each.paired_on}." for each in compared]
    return [*map(Text, said), Warn(f"{compared[0].caution[:1].upper()}{compared[0].caution[1:]}.")]


def _unread(found: ReaderComparison) -> list[Block]:
    """What stands in the reader's column and is no rating."""
    if not found.unread:
        return []
    rows = tuple((f"“{each.value[:_LONGEST]}”", f"{each.images:,}", each.reason) for each in found.unread[:_MOST_UNREAD])
    more = f" The {_MOST_UNREAD} most frequent of {len(found.unread):,} values." if len(found.unread) > _MOST_UNREAD else ""
    caption = f"Values of the column {found.column} that were not taken for a rating.{more}"
    return [Table(caption, ("Value", "Images", "Reason"), rows, words=frozenset({2}), small=True)]


def _comparison(compared: list[ReaderComparison], words: str, known: bool) -> Table:
    rows = tuple(
        (
            LEVEL_TITLES[each.level],
            f"{each.rows:,} of {each.total:,}",
            *map(stated, (each.reader, each.model, each.difference)),
            p_value(each.p),
        )
        for each in compared
    )
    note = (
        f"Reader: column {compared[0].column} of the manifest; of several images the most suspicious rating. Difference: model "
        + (
            "minus reader in a paired test, clustered by patient, on images, breasts and patients with a rating for "
            "every image: "
            "both have the same images behind every score. The tests of several levels are not adjusted for one another. "
            if known
            else "minus reader in a paired test of the images with a rating. "
        )
        + "Those without complete ratings are left out, and may be others in kind. A difference that is not shown is no "
        "equivalence."
    )
    head = ("Level", "Compared", "Reader, ROC AUC", "Model, ROC AUC", "Difference", "p")
    return Table(f"Model and reader on the {words}.", head, rows, note=note)


def _points(found: ReaderComparison, words: str) -> Table:
    rows = tuple(
        (point.words, f"{point.called:,}", stated(point.sensitivity), stated(point.specificity)) for point in found.points
    )
    note = "The reader's points on the ROC plane. Of several images the most suspicious rating counts."
    if found.categories:
        note += (
            " BI-RADS 0 (incomplete: more images are wanted, a recall) stands between 3 and 4, 4 without a letter with 4A; 6 "
            "(the cancer was known) is no assessment."
        )
    head = ("Called malignant", "Number called", "Sensitivity", "Specificity")
    return Table(f"The reader's operating points, {words}.", head, rows, note=note)
