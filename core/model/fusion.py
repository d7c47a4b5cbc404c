"""Fusions: one vector of features a breast from those of its images, however many there are and whichever views they show.

    features of images (M, F), slots (B, K), views (M,) -> features of breasts (B, F)

`slots` int64 holds, for each breast, the rows of its images and then -1; `views` int64 says what each image shows (see
core.model.view_codes). Every fusion gives vectors as long as those of an image, so the architecture's own last layer judges
them, and weights of a network for single images serve one for breasts. Images are gathered, not added up by index: on a GPU,
too, the same batch then gives the same sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from core.model.view_codes import CC, EITHER, MLO

_HIDDEN = 128  # of the attention, as in Ilse et al.
# So often a view of a breast that has both is left out in training, so that the vector for a missing one is learnt where no
# breast lacks any.
_LEFT_OUT = 0.1


def slots_of(counts: Sequence[int]) -> Tensor:
    """`slots` int64 (B, K) of breasts with so many images each, whose images stand one after the other."""
    slots = torch.full((len(counts), max(counts, default=0)), -1, dtype=torch.int64)
    first = 0
    for breast, count in enumerate(counts):
        slots[breast, :count] = torch.arange(first, first + count)
        first += count
    return slots


class Fusion(nn.Module):
    """The mean of a breast's images; and what the other fusions share."""

    def forward(self, features: Tensor, slots: Tensor, views: Tensor) -> Tensor:
        """(M, F), (B, K), (M,) -> float32 (B, F)."""
        gathered, there = _gathered(features, slots)
        return _mean(gathered, there)


class MaxFusion(Fusion):
    """The largest value of each feature among a breast's images."""

    def forward(self, features: Tensor, slots: Tensor, views: Tensor) -> Tensor:
        gathered, there = _gathered(features, slots)
        return gathered.masked_fill(~there[..., None], -torch.inf).amax(1)


class AttentionFusion(Fusion):
    """A mean whose weights the network computes from each image: gated attention (Ilse, Tomczak & Welling 2018, equation 9).

    It starts as the plain mean: the last layer of the attention is 0.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.value = nn.Linear(features, _HIDDEN)
        self.gate = nn.Linear(features, _HIDDEN)
        self.score = nn.Linear(_HIDDEN, 1, bias=False)
        nn.init.zeros_(self.score.weight)

    def weights(self, features: Tensor, slots: Tensor) -> Tensor:
        """How much each image of a breast counts, float32 (B, K), 1 in sum; 0 where there is none."""
        gathered, there = _gathered(features, slots)
        hidden = torch.tanh(self.value(gathered)) * torch.sigmoid(self.gate(gathered))
        scores = self.score(hidden)[..., 0].float()
        return scores.masked_fill(~there, -torch.inf).softmax(1)

    def forward(self, features: Tensor, slots: Tensor, views: Tensor) -> Tensor:
        gathered, _ = _gathered(features, slots)
        return (self.weights(features, slots)[..., None] * gathered).sum(1)


class ConcatFusion(Fusion):
    """CC beside MLO: each feature of either view has a weight of its own in the last layer.

    A linear layer on the concatenated vectors (2 F) is the sum of two on F. Here each view's features are scaled and added up,
    and the architecture's last layer does the rest: the same functions, which start as the mean of both views. Several images
    of a view enter with their mean, an image of an unknown view counts for either. A view that a breast lacks is replaced by a
    vector that is learnt.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((2, features), 0.5))
        self.missing = nn.Parameter(torch.zeros(2, features))

    def forward(self, features: Tensor, slots: Tensor, views: Tensor) -> Tensor:
        gathered, there = _gathered(features, slots)
        shown = views[slots.clamp(min=0)]
        of_view = [there & ((shown == view) | (shown == EITHER)) for view in (CC, MLO)]
        has = torch.stack([mask.any(1) for mask in of_view], 1)
        if self.training:
            has = has & ~self._left_out(has)
        means = torch.stack([_mean(gathered, mask) for mask in of_view], 1)
        # The vectors for missing views take part in every step, or processes that train together would wait for their gradient.
        both = torch.where(has[..., None], means, self.missing)
        return (both * self.scale).sum(1)

    @staticmethod
    def _left_out(has: Tensor) -> Tensor:
        """Which view of each breast is left out in this step, bool (B, 2): at most one, and never the only one."""
        drawn = torch.rand(len(has), device=has.device)
        chosen = torch.stack([drawn < _LEFT_OUT / 2, (drawn >= _LEFT_OUT / 2) & (drawn < _LEFT_OUT)], 1)
        return chosen & has.all(1, keepdim=True)


def make_fusion(name: str, features: int) -> Fusion:
    """The fusion called mean, max, attention or concat, for so many features an image.

    Random parts come from torch's global generator.
    """
    if name == "attention":
        return AttentionFusion(features)
    if name == "concat":
        return ConcatFusion(features)
    return MaxFusion() if name == "max" else Fusion()


def _gathered(features: Tensor, slots: Tensor) -> tuple[Tensor, Tensor]:
    """Each breast's features, float32 (B, K, F), and where there is an image, bool (B, K)."""
    # In full precision: a few sums cost nothing, and half precision would lose what tells two views apart.
    return features.float()[slots.clamp(min=0)], slots >= 0


def _mean(gathered: Tensor, there: Tensor) -> Tensor:
    share = there / there.sum(1, keepdim=True).clamp(min=1)
    return cast(Tensor, (gathered * share[..., None]).sum(1))
