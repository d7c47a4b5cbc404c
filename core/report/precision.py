"""How well a test set of this size can tell an AUC, before it is looked at.

Newcombe's standard error of an AUC from the number of participants, their prevalence and the AUC expected, as Riley et al. use
it for the size of an evaluation study. It takes participants as independent: use it for patients, one score each.

Sources: Newcombe, Stat Med 2006;25:559. Riley et al., Stat Med 2021;40:4230 (an interval at most 0.1 wide is their target).
"""

from __future__ import annotations

import math

from scipy.special import ndtri

WIDTH = 0.1


def auc_standard_error(auc: float, prevalence: float, participants: int) -> float:
    """Newcombe's standard error of an AUC in (0, 1) with this share of events in (0, 1)."""
    half = participants / 2 - 1
    spread = 1 + half * (1 - auc) / (2 - auc) + half * auc / (1 + auc)
    return math.sqrt(auc * (1 - auc) * spread / (participants**2 * prevalence * (1 - prevalence)))


def participants_needed(auc: float, prevalence: float, *, width: float = WIDTH, confidence: float) -> int:
    """The fewest participants whose interval of the AUC is expected to be at most `width` wide."""
    wanted = width / 2 / float(ndtri(0.5 + confidence / 2))
    low, high = 2, 4
    while auc_standard_error(auc, prevalence, high) > wanted:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if auc_standard_error(auc, prevalence, middle) > wanted else (low, middle)
    return high
