"""An ensemble: several trained networks that judge together. Its score is the mean of their scores.

The mean is of probabilities, not of logits: it is the number that anybody gets who averages the members' scores, it needs no
network's logits to be on the scale of another's, and one that is very sure of itself cannot outvote the others (deep ensembles,
Lakshminarayanan et al. 2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.model.classifier import Classifier, model_lock


class Ensemble(Classifier):
    """Trained networks of one recipe as a network of its own, in every place where a `Classifier` is used but training.

    Images in, one logit out, whose sigmoid is the mean of the members' sigmoids. Features are the members', one after the
    other.
    """

    members: nn.ModuleList

    def __init__(self, members: Sequence[Classifier]) -> None:
        nn.Module.__init__(self)
        self.members = nn.ModuleList(members)
        names = dict.fromkeys(member.name for member in members)
        self.name = f"mean of {len(members)} models ({', '.join(names)})"
        self.fusion = None
        self.pretrained, self.starting_weights = False, None
        self.dropout, self.frozen, self.gradient_checkpointing = 0.0, False, False
        self.has_separable_head = all(member.has_separable_head for member in members)
        # Each member normalises for itself: here for whoever asks on which device the model is.
        self.register_buffer("mean", torch.tensor(0.0), persistent=False)
        self.register_buffer("std", torch.tensor(1.0), persistent=False)

    @property
    def networks(self) -> list[Classifier]:
        """The members, in their order."""
        return [cast(Classifier, member) for member in self.members]

    @property
    def alike(self) -> bool:
        """Whether all members are of one architecture: what a layer gives is then in the same units in each."""
        return len({(member.name, member.parameter_count) for member in self.networks}) == 1

    def part(self, numbers: Sequence[int]) -> Classifier:
        """The members with these numbers, from 0, as a model: an ensemble that shares their weights, or the only one itself."""
        chosen = [self.networks[number] for number in numbers]
        return chosen[0] if len(chosen) == 1 else Ensemble(chosen).train(self.training)

    # ------------------------------------------------------------------ forward

    def forward(self, images: Tensor, slots: Tensor | None = None, views: Tensor | None = None) -> Tensor:
        """As `Classifier.forward`."""
        logits = []
        for member in self.networks:
            with model_lock(member):  # a heatmap of it may be in the making, whose hooks hear every pass
                logits.append(member(images, slots, views))
        return self.mean_logits(logits)

    @staticmethod
    def mean_logits(logits: Sequence[Tensor]) -> Tensor:
        """The members' logits, (N,) each -> the logit of the mean of their sigmoids, (N,); exact also near 0 and 1."""
        each = torch.stack(list(logits)).float()
        return torch.logsumexp(functional.logsigmoid(each), 0) - torch.logsumexp(functional.logsigmoid(-each), 0)

    def forward_features(self, images: Tensor) -> Tensor:
        """As `Classifier.forward_features`: the members' features side by side, (N, sum of their features)."""
        found = []
        for member in self.networks:
            with model_lock(member):
                found.append(member.forward_features(images))
        return torch.cat(found, dim=1)

    def forward_head(self, features: Tensor, slots: Tensor | None = None, views: Tensor | None = None) -> Tensor:
        """As `Classifier.forward_head`."""
        logits = []
        for member, part in zip(self.networks, self._split(features), strict=True):
            with model_lock(member):
                logits.append(member.forward_head(part, slots, views))
        return self.mean_logits(logits)

    def fused(self, features: Tensor, slots: Tensor | None = None, views: Tensor | None = None) -> Tensor:
        """As `Classifier.fused`."""
        found = []
        for member, part in zip(self.networks, self._split(features), strict=True):
            with model_lock(member):
                found.append(member.fused(part, slots, views))
        return torch.cat(found, dim=1)

    def _split(self, features: Tensor) -> tuple[Tensor, ...]:
        """Features of all members, (N, sum) -> of each, (N, F)."""
        widths = [
            next(part.in_features for part in member.head.modules() if isinstance(part, nn.Linear)) for member in self.networks
        ]
        return features.split(widths, dim=1)

    # ------------------------------------------------------------------ parts

    @property
    def normalisation(self) -> dict[str, float]:
        """As `Classifier.normalisation`, where all members have the same; {} where they differ."""
        first, *others = (member.normalisation for member in self.networks)
        return first if all(other == first for other in others) else {}

    def train(self, mode: bool = True) -> Ensemble:
        """As nn.Module.train: nothing of an ensemble is frozen, for it is never trained."""
        nn.Module.train(self, mode)
        return self
