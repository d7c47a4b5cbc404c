"""Scores to numbers with intervals. Malignant is the positive class; score >= threshold is called malignant."""

from core.metrics.bootstrap import RocBand, roc_band
from core.metrics.calibration import (
    Calibration,
    CalibrationMethod,
    CalibrationSummary,
    Reliability,
    calibration_summary,
    fit_calibration,
    reliability,
)
from core.metrics.comparison import Difference, RunComparison, compare_runs, matched
from core.metrics.confusion import Confusion, at_threshold, confusion
from core.metrics.curves import PrecisionRecall, Roc, auc, average_precision, brier, partial_auc, precision_recall, roc
from core.metrics.decision import DecisionCurve, decision_curve
from core.metrics.delong import AucComparison, auc_interval, compare_auc
from core.metrics.intervals import Interval, wilson
from core.metrics.levels import LEVELS, Level, at_level, level_thresholds
from core.metrics.proportions import clustered_wilson
from core.metrics.screening import OperatingPoint, Screening, operating_point
from core.metrics.shortcuts import Shortcut, ShortcutAudit, columns_for_audit, shortcut_audit
from core.metrics.subgroups import Subgroup, age_bands, subgroups
from core.metrics.summary import MIN_PATIENTS, TITLES, Summary, point_figures, summarize
from core.metrics.thresholds import (
    ThresholdRule,
    cost_threshold,
    sensitivity_at_specificity,
    specificity_at_sensitivity,
    threshold_for_sensitivity,
    youden_threshold,
)

__all__ = [
    "LEVELS",
    "MIN_PATIENTS",
    "TITLES",
    "AucComparison",
    "Calibration",
    "CalibrationMethod",
    "CalibrationSummary",
    "Confusion",
    "DecisionCurve",
    "Difference",
    "Interval",
    "Level",
    "OperatingPoint",
    "PrecisionRecall",
    "Reliability",
    "Roc",
    "RocBand",
    "RunComparison",
    "Screening",
    "Shortcut",
    "ShortcutAudit",
    "Subgroup",
    "Summary",
    "ThresholdRule",
    "age_bands",
    "at_level",
    "at_threshold",
    "auc",
    "auc_interval",
    "average_precision",
    "brier",
    "calibration_summary",
    "clustered_wilson",
    "columns_for_audit",
    "compare_auc",
    "compare_runs",
    "confusion",
    "cost_threshold",
    "decision_curve",
    "fit_calibration",
    "level_thresholds",
    "matched",
    "operating_point",
    "partial_auc",
    "point_figures",
    "precision_recall",
    "reliability",
    "roc",
    "roc_band",
    "sensitivity_at_specificity",
    "shortcut_audit",
    "specificity_at_sensitivity",
    "subgroups",
    "summarize",
    "threshold_for_sensitivity",
    "wilson",
    "youden_threshold",
]
