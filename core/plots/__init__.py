"""Numbers to Plotly figures. Nothing here computes a figure of merit."""

from core.plots.calibration import reliability_figure
from core.plots.decision import decision_figure, prevalence_figure
from core.plots.forest import forest_figure
from core.plots.scores import confusion_cells, confusion_figure, precision_recall_figure, roc_figure, score_histogram
from core.plots.search import coordinates_figure, importance_figure, trials_figure
from core.plots.side_by_side import losses_figure, metrics_figure
from core.plots.study import cells_figure, differences_figure
from core.plots.style import COLORS, empty_figure
from core.plots.training import METRIC_TITLES, PHASE_TITLES, loss_figure, metric_figure, rate_figure
