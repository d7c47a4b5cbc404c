"""Scores to numbers with intervals. Malignant is the positive class; score >= threshold is called malignant."""

from core.metrics.bootstrap import RocBand, roc_band
from core.metrics.by_view import MIN_VIEW_PATIENTS, VIEWS, ViewThresholds
from core.metrics.calibration import (
    Calibration,
    CalibrationMethod,
    CalibrationSummary,
    Reliability,
    calibration_summary,
    fit_calibration,
    reliability,
)
from core.metrics.comparison import Difference, RunComparison, compare_runs, equivalence, matched
from core.metrics.confusion import Confusion, at_threshold, confusion
from core.metrics.curves import PrecisionRecall, Roc, auc, average_precision, brier, partial_auc, precision_recall, roc
from core.metrics.decision import DecisionCurve, decision_curve
from core.metrics.delong import AucComparison, auc_interval, compare_auc
from core.metrics.frozen import Frozen
from core.metrics.intervals import Estimate, Interval, OrNote, plain_metric, square_and_add, wilson
from core.metrics.levels import LEVELS, Level, at_level, level_thresholds
from core.metrics.operating_points import (
    calibrate,
    freeze,
    freeze_thresholds,
    rule_of,
    thresholds_of,
    views_of,
    with_room,
)
from core.metrics.proportions import PairedShares, ShareDifference, clustered_wilson, paired_shares, share_difference
from core.metrics.screening import OperatingPoint, Screening, operating_point
from core.metrics.shortcut_columns import columns_for_audit
from core.metrics.shortcut_results import Shortcut, ShortcutAudit
from core.metrics.shortcuts import shortcut_audit
from core.metrics.subgroups import Subgroup, age_bands, subgroups
from core.metrics.summary import MIN_PATIENTS, TITLES, Summary, summarize
from core.metrics.threshold_uncertainty import (
    GroupThresholds,
    ThresholdUncertainty,
    threshold_uncertainty,
    thresholds_by_group,
)
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
    "MIN_VIEW_PATIENTS",
    "TITLES",
    "VIEWS",
    "AucComparison",
    "Calibration",
    "CalibrationMethod",
    "CalibrationSummary",
    "Confusion",
    "DecisionCurve",
    "Difference",
    "Estimate",
    "Frozen",
    "GroupThresholds",
    "Interval",
    "Level",
    "OperatingPoint",
    "OrNote",
    "PairedShares",
    "PrecisionRecall",
    "Reliability",
    "Roc",
    "RocBand",
    "RunComparison",
    "Screening",
    "ShareDifference",
    "Shortcut",
    "ShortcutAudit",
    "Subgroup",
    "Summary",
    "ThresholdRule",
    "ThresholdUncertainty",
    "ViewThresholds",
    "age_bands",
    "at_level",
    "at_threshold",
    "auc",
    "auc_interval",
    "average_precision",
    "brier",
    "calibrate",
    "calibration_summary",
    "clustered_wilson",
    "columns_for_audit",
    "compare_auc",
    "compare_runs",
    "confusion",
    "cost_threshold",
    "decision_curve",
    "equivalence",
    "fit_calibration",
    "freeze",
    "freeze_thresholds",
    "level_thresholds",
    "matched",
    "operating_point",
    "paired_shares",
    "partial_auc",
    "plain_metric",
    "precision_recall",
    "reliability",
    "roc",
    "roc_band",
    "rule_of",
    "sensitivity_at_specificity",
    "share_difference",
    "shortcut_audit",
    "specificity_at_sensitivity",
    "square_and_add",
    "subgroups",
    "summarize",
    "threshold_for_sensitivity",
    "threshold_uncertainty",
    "thresholds_by_group",
    "thresholds_of",
    "views_of",
    "wilson",
    "with_room",
    "youden_threshold",
]
