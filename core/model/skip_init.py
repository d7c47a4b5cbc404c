"""Networks without their random starting weights, where something else gives them their values."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor
from torch.nn import init
from torch.overrides import TorchFunctionMode

_INITIALIZERS: frozenset[Callable[..., Any]] = frozenset(
    {init.uniform_, init.normal_, init.kaiming_uniform_}  # those of drawing functions that torch lets modes see
)
_DRAWING: frozenset[Callable[..., Any]] = frozenset({Tensor.uniform_, Tensor.normal_})


class SkipInit(TorchFunctionMode):
    """Within the block, this thread's networks are built without most of their random weights: these hold what the memory held.

    Drawing takes most of the time of building a network, on the meta device too, where nothing comes of it. What is computed
    from the architecture (tables of positions, constants, zeros and ones) is as ever.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Source: https://docs.pytorch.org/docs/stable/notes/extending.html, TorchFunctionMode."""
        kwargs = kwargs or {}
        # Real tensors are drawn where it is not torch.nn.init that asks: some draw again until they like what they got.
        if func in _INITIALIZERS or (func in _DRAWING and args and args[0].is_meta):
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)
