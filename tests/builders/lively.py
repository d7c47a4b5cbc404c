"""A network whose norms have counted something."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def lively(network: Network) -> Network:
    """With statistics of norms that are not the initial ones, as after a training."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, tensor in network.named_buffers():
            if name.endswith("running_mean"):
                tensor.normal_(0, 0.1)
            elif name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5)
    return network.eval()
