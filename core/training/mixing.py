"""Partners of the images of a batch, where images are blended (mixup)."""

from __future__ import annotations

import torch
from torch import Tensor


def partners(count: int, slots: Tensor | None, views: Tensor | None, device: torch.device) -> Tensor:
    """For each of `count` images the one that it is blended with, int64 (count,): the batch reversed.

    Of breasts (`slots` (B, K) and `views` (count,), see core.model.fusion) the batch of breasts is reversed, and an image is
    blended with one of the same view of the other breast, or where that has none with another of its images.
    """
    if slots is None or views is None:
        return torch.arange(count - 1, -1, -1, device=device)
    own, other = slots.cpu(), slots.cpu().flip(0)
    kinds = views.cpu()
    found = torch.empty(count, dtype=torch.int64)
    for mine, theirs in zip(own, other, strict=True):
        candidates = theirs[theirs >= 0]
        for place, image in enumerate(mine[mine >= 0].tolist()):
            alike = candidates[kinds[candidates] == kinds[image]]
            among = alike if len(alike) else candidates
            found[image] = among[place % len(among)]
    return found.to(device)
