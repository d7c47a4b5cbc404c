"""Numbers to Plotly figures. Nothing here computes a figure of merit."""

from core.plots.scores import confusion_figure, precision_recall_figure, roc_figure, score_histogram
from core.plots.style import COLORS, CONFIG, empty_figure
from core.plots.training import METRIC_TITLES, loss_figure, metric_figure

__all__ = [
    "COLORS",
    "CONFIG",
    "METRIC_TITLES",
    "confusion_figure",
    "empty_figure",
    "loss_figure",
    "metric_figure",
    "precision_recall_figure",
    "roc_figure",
    "score_histogram",
]
