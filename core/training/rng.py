"""Random numbers of a training: each a function of seed, epoch and step, whatever else runs in this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

# torch has one generator a device for the whole process: between its seeding and the last draw of a forward pass (or of
# a network's random starting weights), no other training may seed it.
_SEEDING = threading.Lock()

_STEP_STREAM = 0x73746570  # keeps dropout's draws apart from those of order and augmentation
_MIX_STREAM = 0x6D697875
_COPY_STREAM = 0x76696577


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch, and keep other trainings of this process from doing so until the end of the block."""
    with _SEEDING:
        torch.manual_seed(seed)
        yield


def step_seed(seed: int, epoch: int, step: int, rank: int = 0) -> int:
    """What dropout of a step is drawn from; each process of a training has its own."""
    key = (seed, epoch, step, _STEP_STREAM) if rank == 0 else (seed, epoch, step, _STEP_STREAM, rank)
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> np.uint64(1))


def mix_share(alpha: float, seed: int, epoch: int, step: int) -> float:
    """Share of itself that an image keeps where images are blended in this step: Beta(alpha, alpha), at least a half.

    An image is blended with another of its batch, so keeping less than a half would only swap the two.
    """
    share = np.random.default_rng(np.random.SeedSequence((seed, epoch, step, _MIX_STREAM))).beta(alpha, alpha)
    return float(max(share, 1 - share))


def choose_copies(count: int, copies: int, seed: int, epoch: int) -> np.ndarray:
    """Which of its stored copies each of `count` samples shows in this epoch, int64 (count,)."""
    return np.random.default_rng(np.random.SeedSequence((seed, epoch, _COPY_STREAM))).integers(copies, size=count)
