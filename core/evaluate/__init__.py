"""A run's model on one of its splits: scores of every image, figures with intervals, and what was left out.

    scoring      images -> scores            columns     what is known about each image besides its pixels
    figures      scores -> figures           result      what an evaluation holds, to JSON and back
    evaluating   all of it, counted          files       evaluation.json and predictions/<split>.csv
    freezing     thresholds chosen again     comparing   two runs on the same images

Thresholds and calibration are those frozen in model.json on validation; an evaluation chooses nothing. Every evaluation is
counted: a test set that has been looked at many times is no longer one.
"""

from __future__ import annotations

from core.evaluate.comparison import Comparison, compare, compare_evaluations
from core.evaluate.evaluation import evaluate, remake
from core.evaluate.result import (
    AGAIN,
    COLUMNS,
    CalibrationReport,
    DecisionTable,
    Evaluation,
    Excluded,
    NetBenefit,
    Opening,
    Refreeze,
    excluded_words,
)
from core.evaluate.scoring import Progress
from core.evaluate.store import read_evaluation, read_predictions
from core.evaluate.thresholds import refreeze

__all__ = [
    "AGAIN",
    "COLUMNS",
    "CalibrationReport",
    "Comparison",
    "DecisionTable",
    "Evaluation",
    "Excluded",
    "NetBenefit",
    "Opening",
    "Progress",
    "Refreeze",
    "compare",
    "compare_evaluations",
    "evaluate",
    "excluded_words",
    "read_evaluation",
    "read_predictions",
    "refreeze",
    "remake",
]
