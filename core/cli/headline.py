"""The figures that stand for a run in a list, each with its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.errors import LabError

if TYPE_CHECKING:
    from core.runs import Run


_SAME = 0.005  # an evaluation of an earlier version left out images that training scored


def validation_limits(run: Run, value: float) -> tuple[float, float] | None:
    """Limits of the kept model's validation AUC, from its stored scores; None where there are none that can carry them, or
    where the stored scores have another AUC: they are another model's.
    """
    from core.evaluate.fitted import fitted_predictions
    from core.metrics.delong import auc_interval

    try:
        scored = fitted_predictions(run)
        found = auc_interval(scored["label"], scored["score"], scored["patient_id"])
    except (LabError, ValueError):  # the list has the figure without; what is wrong with the file is told by `evaluate`
        return None
    return (found.low, found.high) if abs(found.value - value) < _SAME else None


def with_limits(value: Any, limits: Any) -> str:
    """`0.575 [0.494, 0.651]`, without limits where there are none, a dash without a figure."""
    if value is None:
        return "-"
    return f"{value:.3f} [{limits[0]:.3f}, {limits[1]:.3f}]" if limits else f"{value:.3f}"
