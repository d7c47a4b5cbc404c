from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from builders.toy_training import frame, make_config, make_run, make_trainer

__all__ = ["frame", "make_config", "make_run", "make_trainer"]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
