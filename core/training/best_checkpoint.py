"""The best model so far by the monitored metric, saved in the run folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.config import Config
from core.model import Classifier
from core.training.checkpoint import TrainState
from core.training.image_preparation import Rows
from core.training.validation import Validation, save_best_model

_DECIMALS = 6  # equal means to these, as scores are stored: a loss that falls by less is no improvement


@dataclass
class BestCheckpoint:
    """Compares each epoch with the best one, which `state` knows, and saves the model of a better one.

    `writes`: whether this process writes the run folder.
    """

    folder: Path
    state: TrainState
    config: Config
    rows: Rows
    writes: bool

    def improvement(self, result: Validation) -> float:
        """How much better the monitored metric is than at the best epoch so far, in its own unit; infinite without one."""
        if not self.state.best_epoch:
            return float("inf")
        monitor, value = self.config.training.monitor, self._monitored(result)
        return round(self.state.best_value - value if monitor == "loss" else value - self.state.best_value, _DECIMALS)

    def update(self, model: Classifier, result: Validation) -> bool:
        """Whether this epoch is the best so far; of equal ones (AUC has few values on a small set) that of lower loss."""
        state, improvement, loss = self.state, self.improvement(result), result.metrics["loss"]
        tie_won = not improvement < 0 and self.config.training.monitor != "loss" and loss < state.best_loss
        if not (improvement > 0 or tie_won):
            return False
        state.best_epoch, state.best_value, state.best_loss = state.epoch, self._monitored(result), loss
        self.save(model, result, state.epoch)
        return True

    def save(self, model: Classifier, result: Validation, epoch: int) -> None:
        """Save the model with the threshold of `result`; `epoch` 0: before the end of the first."""
        self.state.best_threshold = result.threshold
        if self.writes:
            save_best_model(self.folder, model, self.config, self.rows, result, epoch)

    def _monitored(self, result: Validation) -> float:
        return result.metrics[self.config.training.monitor]
