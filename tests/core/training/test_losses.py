"""The loss against torchvision's, and what smoothing, weights and blended labels make of it."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

from core.config import TrainingConfig
from core.training.losses import Loss, class_weights

LOGITS = torch.tensor([-30.0, -3.0, -0.5, 0.0, 0.5, 3.0, 30.0], dtype=torch.float64).repeat(2)
LABELS = torch.tensor([0.0, 1.0], dtype=torch.float64).repeat_interleave(7)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_the_focal_loss_is_torchvisions(gamma: float) -> None:
    loss = Loss.of(TrainingConfig(loss="focal", advanced={"focal_gamma": gamma}))
    expected = sigmoid_focal_loss(LOGITS, LABELS, alpha=-1, gamma=gamma)
    torch.testing.assert_close(loss(LOGITS, LABELS), expected)


def test_a_focal_loss_without_gamma_is_the_cross_entropy() -> None:
    focal, plain = (Loss.of(TrainingConfig(loss=kind, advanced={"focal_gamma": 0.0})) for kind in ("focal", "bce"))
    torch.testing.assert_close(focal(LOGITS, LABELS), plain(LOGITS, LABELS))


def test_the_focal_losss_gradient_is_a_number_everywhere() -> None:
    logits = LOGITS.clone().requires_grad_()
    Loss.of(TrainingConfig(loss="focal", advanced={"focal_gamma": 0.5}))(logits, LABELS).sum().backward()
    assert logits.grad is not None and torch.isfinite(logits.grad).all()


def test_smoothed_labels_aim_between_and_only_in_training() -> None:
    loss = Loss.of(TrainingConfig(advanced={"label_smoothing": 0.2}))
    expected = functional.binary_cross_entropy_with_logits(LOGITS, LABELS * 0.8 + 0.1, reduction="none")
    torch.testing.assert_close(loss(LOGITS, LABELS), expected)
    plain = functional.binary_cross_entropy_with_logits(LOGITS, LABELS, reduction="none")
    torch.testing.assert_close(loss(LOGITS, LABELS, smooth=False), plain)


def test_a_blended_image_counts_as_its_parts_do() -> None:
    weights = class_weights(25, 100)
    loss, plain = Loss.of(TrainingConfig(), weights), Loss.of(TrainingConfig())
    logit, label = torch.tensor([0.7]), torch.tensor([0.3])
    assert float(loss(logit, label) / plain(logit, label)) == pytest.approx(0.7 * weights[0] + 0.3 * weights[1])
