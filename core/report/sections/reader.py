"""The model beside a reader, where the manifest has one."""

from __future__ import annotations

from core.evaluate.reader import ReaderComparison, compare_reader
from core.metrics import LEVELS, Summary
from core.report.document import Block, Section, Table, Text
from core.report.material import SPLIT_WORDS, Material
from core.report.words import LEVEL_TITLES, UNITS, told


def reader(material: Material) -> Section:
    """The paired comparison at every level, and the reader's points on the ROC plane."""
    title, evaluation = "Model and reader", material.shown
    if evaluation is None:
        return Section("reader", title, (Text("Nothing is compared before a split has been evaluated."),))
    words, blocks, compared = SPLIT_WORDS[evaluation.split], [], []
    for level in LEVELS:
        if level != "image" and not (material.patients_known and isinstance(evaluation.levels.get(level), Summary)):
            continue
        found = compare_reader(evaluation.predictions, material.rows, level, evaluation.summary.confidence)
        if found is None:
            return Section("reader", title, (Text("The manifest has no reader's assessment (columns birads or reader)."),))
        if isinstance(found, str):
            blocks.append(Text(f"{LEVEL_TITLES[level]}, not told: {found}."))
        else:
            compared.append(found)
    tables: list[Block] = [_comparison(compared, words), _points(compared[-1], words)] if compared else []
    return Section("reader", title, (*tables, *blocks))


def _comparison(compared: list[ReaderComparison], words: str) -> Table:
    rows = tuple(
        (
            LEVEL_TITLES[each.level],
            f"{each.rows:,} of {each.total:,}",
            *map(told, (each.reader, each.model, each.difference)),
            "< 0.001" if each.p < 0.001 else f"{each.p:.3f}",
        )
        for each in compared
    )
    note = (
        f"Reader: column {compared[0].column} of the manifest; of several images the most suspicious rating. Difference: model "
        "minus reader on the same rows, in a paired test, clustered by patient; the tests of several levels are "
        "not adjusted for one another. Rows without a rating are left out, and may be others in kind. Where readings decided "
        "who was biopsied, the reader is favoured: a cancer that nobody suspected is rarely found. A difference that is not "
        "shown is no equivalence."
    )
    head = ("Level", "Rated", "Reader, ROC AUC", "Model, ROC AUC", "Difference", "p")
    return Table(f"Model and reader on the {words} set.", head, rows, note=note)


def _points(found: ReaderComparison, words: str) -> Table:
    rows = tuple(
        (f"{point.rating} or more suspicious", f"{point.called:,}", told(point.sensitivity), told(point.specificity))
        for point in found.points
    )
    note = "The reader's points on the ROC plane. BI-RADS 0 (more images wanted) stands between 3 and 4; 6 is left out."
    head = ("Called malignant from", "Called", "Sensitivity", "Specificity")
    return Table(f"The reader's operating points, {words} {UNITS[found.level]}.", head, rows, note=note)
