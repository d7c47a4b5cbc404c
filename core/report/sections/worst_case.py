"""The metrics in the worst case of the images that were refused a verdict, per image, breast and patient."""

from __future__ import annotations

from core.errors import NotEnoughData
from core.evaluate import Evaluation
from core.evaluate.result import REFUSED
from core.evaluate.worst_case import worst_case
from core.metrics import LEVELS, Interval, Summary
from core.metrics.levels import UNITS
from core.report.document import Block, Table, Text
from core.report.material import SPLIT_WORDS, Material
from core.report.words import LEVEL_TITLES


def worst_case_blocks(material: Material, evaluation: Evaluation) -> list[Block]:
    """Sensitivity and specificity where each unit with a refused image counts as an error: the metrics leave these out."""
    if not any(item.kind == REFUSED for item in evaluation.excluded):
        return []
    rows: list[tuple[str, ...]] = []
    notes: list[Block] = []
    for level in LEVELS:
        summary = evaluation.levels.get(level)
        if not isinstance(summary, Summary) or (level != "image" and not material.patients_known):
            continue
        try:
            own = evaluation.thresholds.of_rows(evaluation.predictions) if level == "image" else summary.threshold
            cases = worst_case(evaluation.predictions, evaluation.excluded, material.rows, level, own)
        except NotEnoughData as error:
            notes.append(Text(f"{LEVEL_TITLES[level]}, worst case not reported: {error}"))
            continue
        counts = summary.counts
        scored = {"malignant": (counts.tp, counts.tp + counts.fn), "benign": (counts.tn, counts.tn + counts.fp)}
        for name, case in zip(("sensitivity", "specificity"), cases, strict=True):
            right, of = scored[case.label]
            if isinstance(summary[name], Interval):
                refused = f"{case.refused:,}" + (f" ({case.wholly:,} wholly)" if level != "image" and case.refused else "")
                title = f"{name.capitalize()}, {UNITS[level]}"
                worst = f"{case.value:.3f} ({case.right:,} of {case.units:,})"
                rows.append((title, f"{right / of:.3f} ({right:,} of {of:,})", refused, worst))
    if not rows:
        return notes
    head = ("Metric", "Of what is scored", "With a refused image", "Each of these an error")
    note = "A refused image gets no verdict: somebody must look at it without one."
    if any(not row[0].endswith(UNITS["image"]) for row in rows):
        note += (
            " A breast or patient with some images refused is scored by the others; with all of them refused (wholly) it is in "
            "no metric. In the last column labels are those of all images, the refused ones too, so that numbers by label may "
            "differ from those of what is scored."
        )
    caption = f"Worst case of the images that were refused a verdict, {SPLIT_WORDS[evaluation.split]} set."
    return [Table(caption, head, tuple(rows), note=note), *notes]
