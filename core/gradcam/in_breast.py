"""One image of a breast before a model that judges all of its images together: what the score makes of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from core.gradcam.probing import frozen
from core.model.classifier import Classifier


class InBreast:
    """Logits of a breast for variants of one of its images, the others being as they are.

    The others pass through the network once, and are constants from then on: the gradient with respect to a layer's maps of the
    one image is that of the breast's score, through the fusion.
    """

    def __init__(self, model: Classifier, images: Tensor, views: Sequence[int], place: int) -> None:
        """`images` (n, 1, H, W) of the breast, `views` their kinds (core.model.view_codes), `place` the one asked about."""
        self._model = model
        others = [number for number in range(len(images)) if number != place]
        with frozen(model), torch.no_grad():
            self._others = model.forward_features(images[others]) if others else None
        self._views = [views[place], *(views[number] for number in others)]

    def __call__(self, variants: Tensor) -> Tensor:
        """Variants (N, 1, H, W) of the image -> logits of the breast (N,)."""
        own, device = self._model.forward_features(variants), variants.device
        count, beside = len(own), len(self._views) - 1
        features = own if self._others is None else torch.cat([own, self._others.to(own.dtype)])
        slots = torch.arange(count, count + beside, device=device).expand(count, beside)
        slots = torch.cat([torch.arange(count, device=device)[:, None], slots], 1)
        views = torch.tensor([self._views[0]] * count + self._views[1:], device=device)
        return self._model.forward_head(features, slots, views)
