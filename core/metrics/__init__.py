"""Scores to numbers with intervals. Malignant is the positive class; score >= threshold is called malignant."""

from core.metrics.bootstrap import RocBand, roc_band
from core.metrics.confusion import Confusion, at_threshold, confusion
from core.metrics.curves import PrecisionRecall, Roc, auc, average_precision, brier, precision_recall, roc
from core.metrics.intervals import Interval, wilson
from core.metrics.levels import LEVELS, Level, at_level
from core.metrics.summary import MIN_PATIENTS, TITLES, Summary, point_figures, summarize
from core.metrics.thresholds import sensitivity_at_specificity, specificity_at_sensitivity, threshold_for_sensitivity

__all__ = [
    "LEVELS",
    "MIN_PATIENTS",
    "TITLES",
    "Confusion",
    "Interval",
    "Level",
    "PrecisionRecall",
    "Roc",
    "RocBand",
    "Summary",
    "at_level",
    "at_threshold",
    "auc",
    "average_precision",
    "brier",
    "confusion",
    "point_figures",
    "precision_recall",
    "roc",
    "roc_band",
    "sensitivity_at_specificity",
    "specificity_at_sensitivity",
    "summarize",
    "threshold_for_sensitivity",
    "wilson",
]
