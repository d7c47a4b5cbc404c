"""Early stopping: a training ends once its monitored metric has not improved for `patience` epochs."""

from __future__ import annotations

from dataclasses import dataclass

from core.config import TrainingConfig
from core.training.checkpoint import TrainState
from core.training.phases import Phase


@dataclass
class EarlyStopping:
    """Counts epochs of the phase without improvement, in `state.stale`."""

    state: TrainState
    config: TrainingConfig

    def restart(self) -> None:
        """A new phase begins: what the one before found counts no longer."""
        self.state.stale = 0

    def update(self, improved: bool) -> None:
        """Take in whether the monitored metric of the epoch is the best so far."""
        self.state.stale = 0 if improved else self.state.stale + 1

    def triggered(self, phase: Phase) -> bool:
        """Whether to stop now. Only in the last phase: a head that learns no more still has its fine-tuning ahead."""
        return 0 < self.config.patience <= self.state.stale and phase.last_epoch == self.config.epochs

    @property
    def reason(self) -> str:
        """Why the training ended early; "" when it trained all its epochs."""
        if self.state.epoch > self.config.epochs:
            return ""
        return f"Stopped early: {self.config.monitor} has not improved for {self.config.patience} epochs."
