"""Names of settings in files and commands of version 0.1, which are still read."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from core.errors import BadConfig

log = logging.getLogger(__name__)

_ADVANCED = (
    "accumulation_steps",
    "weight_decay",
    "plateau_patience",
    "gradient_clip_norm",
    "ema_decay",
    "focal_gamma",
    "label_smoothing",
    "compile",
    "threads",
)
RENAMED: Mapping[str, str] = {
    "preprocessing.voi": "preprocessing.voi_index",
    **{f"training.{name}": f"training.advanced.{name}" for name in _ADVANCED},
    "training.frozen_share": "training.frozen_backbone_fraction",
    "training.head_features": "training.advanced.cache_backbone_features",
    "training.head_views": "training.advanced.cached_augmentations",
    "training.stage_epochs": "training.advanced.gradual_unfreezing_epochs",
    "training.layer_decay": "training.advanced.layerwise_learning_rate_decay",
}
_warned: set[tuple[str, str]] = set()  # a file is read many times, and said to be old once
_FORMER = {new: old for old, new in RENAMED.items()}


def former_name(name: str) -> str:
    """The dotted name that version 0.1 had for a setting; "" where it was the same or there was none."""
    return _FORMER.get(name, "")


def present_name(name: str, source: str, *, warn: bool) -> str:
    """The dotted name that a setting has now; with `warn`, a former name is logged."""
    present = RENAMED.get(name, name)
    if warn and present != name and (source.startswith("--") or (source, name) not in _warned):
        _warned.add((source, name))
        log.warning("%s: %s is now called %s. The former name is still read.", source, name, present)
    return present


def with_present_names(values: Mapping[str, Any], source: str, *, warn: bool) -> dict[str, Any]:
    """A copy of the nested values of a configuration, with every setting under its present name.

    With `warn`, each former name is logged with the present one; `source` is where it stands.

    Raises:
        BadConfig: a setting is given under both names.
    """
    copied = _copied(values)
    for old, new in RENAMED.items():
        *parents, last = old.split(".")
        section = _section(copied, parents)
        if section is None or last not in section:
            continue
        value = section.pop(last)
        *parents, last = new.split(".")
        for depth in range(len(parents)):
            outer = _section(copied, parents[:depth])
            if outer is None:
                break
            outer.setdefault(parents[depth], {})
        target = _section(copied, parents)
        if target is None:  # the section is no mapping: its own mistake is reported
            continue
        if last in target:
            raise BadConfig(f"{source}: {old} is the former name of {new}, and both are given. Take {old} out.")
        target[last] = value
        present_name(old, source, warn=warn)
    return copied


def _copied(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copied(value) if isinstance(value, Mapping) else value for key, value in values.items()}


def _section(values: dict[str, Any], parents: list[str]) -> dict[str, Any] | None:
    node: Any = values
    for parent in parents:
        node = node.get(parent) if isinstance(node, dict) else None
    return node if isinstance(node, dict) else None
