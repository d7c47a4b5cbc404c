"""The AUCs by breast and patient of an evaluation, each with its rule and, where sets are unequal, the balanced one."""

from __future__ import annotations

from core.data.identity import patients_known
from core.evaluate.result import Evaluation
from core.metrics import Summary
from core.metrics.headline_auc import HeadlineAuc, headline_auc


def headline_aucs(evaluation: Evaluation) -> dict[str, HeadlineAuc]:
    """By level; without patients, or where a level has no metrics, there is none."""
    found: dict[str, HeadlineAuc] = {}
    if not patients_known(evaluation.predictions):
        return found
    for level in ("breast", "patient"):
        summary = evaluation.levels.get(level)
        if isinstance(summary, Summary):
            found[level] = headline_auc(evaluation.predictions, level, summary["auc"], summary.confidence)
    return found
