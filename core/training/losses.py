"""The loss of an image: the one definition that training and validation share."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from core.config import TrainingConfig


@dataclass(frozen=True)
class Loss:
    """The loss of a training: its kind, and how much an image of either class counts."""

    kind: str
    gamma: float
    smoothing: float
    benign_weight: float = 1.0
    malignant_weight: float = 1.0

    @classmethod
    def of(cls, config: TrainingConfig, weights: tuple[float, float] = (1.0, 1.0)) -> Loss:
        """As configured; `weights` of (benign, malignant)."""
        return cls(config.loss, config.advanced.focal_gamma, config.advanced.label_smoothing, *weights)

    def __call__(self, logits: Tensor, labels: Tensor, *, smooth: bool = True) -> Tensor:
        """Loss of each image: `logits` (N,), `labels` (N,) in [0, 1], between the two where images were blended.

        `smooth` False measures against the labels themselves, as validation does.
        """
        weights = self.benign_weight + labels * (self.malignant_weight - self.benign_weight)
        targets = labels * (1 - self.smoothing) + self.smoothing / 2 if smooth and self.smoothing else labels
        losses = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        if self.kind == "focal":
            # The probability given to what is wrong, to the power gamma (Lin et al. 2017, without their alpha: the
            # classes are balanced by `weights`).
            wrong = torch.sigmoid(logits) * (1 - targets) + torch.sigmoid(-logits) * targets
            losses = losses * wrong**self.gamma
        return losses * weights


def class_weights(malignant: float, total: float) -> tuple[float, float]:
    """(benign, malignant) weights with which both classes count the same in total, and an average image counts 1."""
    return total / (2 * (total - malignant)), total / (2 * malignant)
