"""Scores to numbers with intervals. Malignant is the positive class; score >= threshold is called malignant.

Whatever takes labels and scores raises NotEnoughData for those that core.metrics.checks.checked refuses: none at all, lengths
that differ, NaN or infinite scores, and one class only where both are needed.
"""

from core.metrics.bootstrap import RocBand, roc_band
from core.metrics.by_view import MIN_VIEW_PATIENTS, VIEWS, ViewThresholds
from core.metrics.calibration import (
    Calibration,
    CalibrationMethod,
    CalibrationSummary,
    Reliability,
    calibration_summary,
    reliability,
)
from core.metrics.comparison import Difference, RunComparison, compare_runs, matched
from core.metrics.confusion import Confusion, at_threshold
from core.metrics.curves import PrecisionRecall, Roc, auc, average_precision, partial_auc, precision_recall, roc
from core.metrics.decision import DecisionCurve, decision_curve
from core.metrics.delong import auc_interval, compare_auc
from core.metrics.frozen import Frozen
from core.metrics.intervals import Estimate, Interval, OrNote, plain_metric, square_and_add
from core.metrics.levels import LEVELS, Level, at_level
from core.metrics.operating_points import calibrate, freeze, freeze_thresholds, rule_of, thresholds_of, views_of, with_room
from core.metrics.proportions import PairedShares, clustered_wilson
from core.metrics.screening import OperatingPoint, Screening, operating_point
from core.metrics.shortcut_columns import columns_for_audit
from core.metrics.shortcut_results import Shortcut, ShortcutAudit
from core.metrics.shortcuts import shortcut_audit
from core.metrics.subgroups import Subgroup, age_bands, subgroups
from core.metrics.summary import MIN_PATIENTS, TITLES, Summary, summarize
from core.metrics.threshold_uncertainty import ThresholdUncertainty, threshold_uncertainty, thresholds_by_group
from core.metrics.thresholds import ThresholdRule, sensitivity_at_specificity, specificity_at_sensitivity
