"""Exponential moving average (EMA) of the weights: it often generalises better than the last ones (Polyak & Juditsky 1992).

Not torch's AveragedModel or timm's ModelEmaV3: these pass over all values at each update, frozen ones too, and while only the
head trains on stored features that takes many times as long as its step.
"""

from __future__ import annotations

import copy

import torch

from core.model import Classifier

# A pass over all weights takes 1.5 % of a step of MobileNetV2. Once the average is long enough, every fourth update will do.
SPARSE_AFTER, SPARSE_EVERY = 40, 4  # updates


class EMA:
    """`model`, in eval mode: its floating-point values are averages of the trained model's."""

    def __init__(self, model: Classifier, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay
        self._values: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._counts: list[tuple[torch.Tensor, torch.Tensor]] = []

    def track(self, trained: Classifier) -> None:
        """Choose what changes in this phase: parameters that learn, and BatchNorm's statistics unless all are frozen."""
        ours = dict(self.model.named_parameters())
        pairs = [(ours[name], value.detach()) for name, value in trained.named_parameters() if value.requires_grad]
        if not trained.frozen:
            buffers = dict(self.model.named_buffers())
            pairs += [(buffers[name], value) for name, value in trained.named_buffers()]
        self._values = [pair for pair in pairs if pair[0].is_floating_point()]
        self._counts = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self, updates: int) -> None:
        """After update number `updates` (from 1) of the whole training; early on the average is shorter.

        Later it takes in only every fourth update's weights, which then count as much as the four would have.
        """
        decay = min(self.decay, (1 + updates) / (10 + updates))
        if updates > SPARSE_AFTER:
            if updates % SPARSE_EVERY:
                return
            decay **= SPARSE_EVERY
        if self._values:
            ours, theirs = (list(side) for side in zip(*self._values, strict=True))
            torch._foreach_lerp_(ours, theirs, 1 - decay)
        for mine, other in self._counts:
            mine.copy_(other)
