"""The architectures to choose from: parameters, weights that there are for them, and what was measured on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from core.config import Config, ModelConfig
from core.training.model_costs import ModelCosts, known_costs, measure_costs

if TYPE_CHECKING:
    from core.model.weights.sources import Source


@dataclass(frozen=True)
class ModelEntry:
    """An architecture: its `parameters`, the best pretrained weights that there are, and `costs`, None where never measured."""

    name: str
    parameters: int
    weights: Source
    costs: ModelCosts | None


def with_model(config: Config, name: str) -> Config:
    """The configuration with another architecture, without what was set for the one before."""
    return config.model_copy(update={"model": ModelConfig(name=name, dropout=config.model.dropout)})


def list_models(config: Config, names: Sequence[str] = ()) -> list[ModelEntry]:
    """These architectures (default: the suggested ones, and that of `config`) with input, batch and device of `config`.

    Asks no network, and measures nothing.

    Raises:
        BadConfig: there is no such architecture.
    """
    from core.model import SUGGESTED
    from core.model.build import check_name
    from core.model.weights.sources import available

    found = []
    for name in names or dict.fromkeys((*SUGGESTED, config.model.name)):
        check_name(name)
        chosen = with_model(config, name)
        found.append(ModelEntry(name, _parameters(name), available(name), known_costs(chosen)))
    return found


@cache
def _parameters(name: str) -> int:
    """A page asks again and again."""
    from core.model.build import outline

    return outline(ModelConfig(name=name)).parameter_count


def measure_models(config: Config, names: Iterable[str], progress: Callable[[int, int], None] | None = None) -> dict[str, str]:
    """Measure these architectures, one after the other, and keep what is found. Gives {name: why it could not be measured}.

    `progress` is called with (done, total), and may raise to stop.
    """
    from core.errors import LabError

    wanted, problems = list(names), {}
    for number, name in enumerate(wanted):
        if progress is not None:
            progress(number, len(wanted))
        try:
            measure_costs(with_model(config, name))
        except LabError as error:
            problems[name] = str(error)
    if progress is not None:
        progress(len(wanted), len(wanted))
    return problems
