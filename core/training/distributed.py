"""Distributed training (torchrun): the processes of one training, and what they exchange.

Every process runs the same loop on its share of each batch. The first one (rank 0) is the only one that writes the run's
folder and reads the requests there; sums are taken over all, so every process has the same losses and takes the same decisions.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed

from core.errors import LabError, TrainingFailed

Result = TypeVar("Result")

# The others wait this long for the first one, which may have a large archive to prepare.
_PATIENCE = timedelta(hours=24)


@dataclass
class World:
    """The processes of this training: `size` of them, of which this one is number `rank`."""

    rank: int = 0
    size: int = 1

    @classmethod
    def join(cls) -> World:
        """The processes that torchrun started, or this one alone. Raises TrainingFailed: they do not find each other."""
        if int(os.environ.get("WORLD_SIZE", "1")) < 2:
            return cls()
        if not distributed.is_initialized():
            # Gradients go through the GPUs, objects through the processors.
            backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and distributed.is_nccl_available() else "gloo"
            try:
                distributed.init_process_group(backend, timeout=_PATIENCE)
            except (RuntimeError, ValueError) as error:
                raise TrainingFailed(
                    f"The processes of this training did not find each other: {error}. Start them with torchrun, or unset "
                    "WORLD_SIZE to train in one process."
                ) from error
        return cls(distributed.get_rank(), distributed.get_world_size())

    @property
    def is_rank_zero(self) -> bool:
        """Whether this is the process that writes the run folder."""
        return self.rank == 0

    @property
    def local_rank(self) -> int:
        """Number of this process on its own machine: which GPU is its own."""
        return int(os.environ.get("LOCAL_RANK", "0")) if self.size > 1 else 0

    @property
    def local_size(self) -> int:
        """Processes of this training on this machine, which share its processor."""
        return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if self.size > 1 else 1

    def broadcast_object(self, call: Callable[[], Result]) -> Result:
        """What `call` returns in the first process, in all; the others do not call it. An error of ours is raised in all."""
        if self.size == 1:
            return call()
        sent: list[Any] = [None]
        problem: BaseException | None = None
        if self.is_rank_zero:
            try:
                sent = [(True, call())]
            except LabError as error:
                sent, problem = [(False, (type(error), str(error)))], error
            except BaseException as error:  # noqa: BLE001  raised below, once the others know
                sent, problem = [(False, (TrainingFailed, f"the first process failed: {error}"))], error
        distributed.broadcast_object_list(sent)
        succeeded, content = sent[0]
        if problem is not None:
            raise problem
        if not succeeded:
            kind, message = content
            raise kind(message)
        return content

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """`tensor`, in place, becomes the sum of all processes' tensors."""
        if self.size > 1:
            distributed.all_reduce(tensor)
        return tensor

    def broadcast(self, *flags: bool) -> tuple[bool, ...]:
        """The first process's flags, in all of them."""
        if self.size == 1:
            return flags
        sent = torch.tensor(flags, dtype=torch.uint8)
        distributed.broadcast(sent, 0)
        return tuple(bool(flag) for flag in sent)

    def sync_buffers(self, tensors: Iterable[torch.Tensor]) -> None:
        """Give all processes the first one's values (BatchNorm's statistics are each process's own)."""
        if self.size > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, 0)

    def barrier(self) -> None:
        """Wait until all processes have come this far."""
        self.broadcast_object(lambda: None)


def destroy_process_group() -> None:
    """End the processes' connection, where there is one; for the end of the program."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()
