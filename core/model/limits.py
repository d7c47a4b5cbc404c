"""How large a network may become while it is built: options come from files that somebody else may have made.

Networks are built on torch's meta device first, where tensors have shapes and no memory, and even there only up to a number
of modules and tensors, because a depth of 100,000 makes that many Python objects.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from core.errors import BadConfig

LARGEST_OPTION = 8192  # any number among the options: image sizes, widths, depths
_LONGEST_TEXT = 100
_MOST_OPTIONS = 50


@dataclass(frozen=True)
class BuildLimits:
    """The most tensors and modules that a network may register, and bytes that its tensors may have.

    The defaults hold every network of timm (2,600 tensors, 3,100 modules); the bytes are checked against the memory by
    whoever builds.
    """

    tensors: int = 10_000
    modules: int = 30_000
    nbytes: int = 1 << 46

    @classmethod
    def of_file(cls, tensors: int, nbytes: int) -> BuildLimits:
        """For a network that has so many tensors on disk.

        Some are registered twice, and tables that follow from the architecture (of at most 200 MB in timm) are not saved.
        Networks of timm have up to 3.2 modules a tensor.
        """
        ordinary = cls()
        return cls(
            min(2 * tensors + 500, ordinary.tensors), min(10 * tensors + 500, ordinary.modules), 2 * nbytes + (512 << 20)
        )


def check_options(options: Mapping[str, Any]) -> None:
    """Raises BadConfig for options that no architecture has a use for, before they reach one."""
    if len(options) > _MOST_OPTIONS:
        raise BadConfig(f"model.options: expected at most {_MOST_OPTIONS} options, got {len(options)}")
    for key, value in options.items():
        name = f"model.options.{key[:_LONGEST_TEXT]}"
        if isinstance(value, int | float) and not abs(value) <= LARGEST_OPTION:  # nor NaN
            raise BadConfig(f"{name}: got {_short(value)}; allowed: numbers up to {LARGEST_OPTION}")
        if len(key) > _LONGEST_TEXT or (isinstance(value, str) and len(value) > _LONGEST_TEXT):
            raise BadConfig(f"{name}: names and texts of options have at most {_LONGEST_TEXT} characters")


@contextmanager
def building_within(limits: BuildLimits) -> Iterator[None]:
    """Within the block, this thread may build networks up to `limits`.

    Raises:
        BadConfig: out of the constructor that goes beyond them.
    """
    thread = threading.get_ident()
    tensors = modules = nbytes = 0

    def on_tensor(_module: nn.Module, _name: str, tensor: Tensor | None) -> None:
        nonlocal tensors, nbytes
        if threading.get_ident() != thread or tensor is None:  # torch calls hooks for every thread's modules
            return
        tensors += 1
        nbytes += tensor.numel() * tensor.element_size()
        if tensors > limits.tensors:
            raise BadConfig(f"the network has more than {limits.tensors:,} tensors")
        if nbytes > limits.nbytes:
            raise BadConfig(f"the network has more than {limits.nbytes / 2**30:,.1f} GiB of weights")

    def on_module(_module: nn.Module, _name: str, part: nn.Module | None) -> None:
        nonlocal modules
        if threading.get_ident() != thread or part is None:
            return
        modules += 1
        if modules > limits.modules:
            raise BadConfig(f"the network has more than {limits.modules:,} parts")

    handles = [
        register_module_parameter_registration_hook(on_tensor),
        register_module_buffer_registration_hook(on_tensor),
        register_module_module_registration_hook(on_module),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _short(value: float) -> str:
    try:
        return f"{value:g}"
    except OverflowError:
        return "an integer of hundreds of digits"
