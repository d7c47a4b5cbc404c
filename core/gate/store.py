"""Storage of a gate: gate.safetensors beside the model, with the hash of the weights it belongs to."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import BadRun
from core.files.atomic import replacing
from core.files.safetensors_bytes import in_order
from core.files.untrusted import LARGE, parse_json, read_bytes
from core.gate.distance import MOST_AXES, Distance, MeanDistance, Part
from core.gate.features import COUNT
from core.model.card import MOST_MEMBERS, ModelCard

GATE = "gate.safetensors"
FORMAT = 1
_ARRAYS = ("mean", "scale", "axes", "variances")
_MOST_FEATURES = 100_000
_AGAIN = "fit it with `python -m core gate RUN`, or evaluate the run"


def write_gate(folder: Path, gate: Distance, card: ModelCard) -> Path:
    """Write the gate of the model in `card` into its run's folder; returns the file.

    Raises:
        BadRun: the folder cannot be written to.
    """
    from safetensors.numpy import save

    gates = gate.gates if isinstance(gate, MeanDistance) else (gate,)
    tensors: dict[str, NDArray[Any]] = {}
    numbers: dict[str, Any] = {}
    for number, each in enumerate(gates):
        prefix = f"{number}." if len(gates) > 1 else ""
        own, listed = _written(each)
        tensors |= {prefix + name: array for name, array in own.items()}
        numbers = {"members": [*numbers.get("members", ()), listed]} if prefix else listed
    about = {"format": str(FORMAT), "weights_sha256": card.weights_sha256, "gate": json.dumps(numbers)}
    try:
        with replacing(folder / GATE) as stream:
            stream.writelines(in_order(save(tensors, metadata=about)))
    except OSError as error:
        raise BadRun(
            f"{folder / GATE}: it cannot be written ({error.strerror or error}). Free some space, or allow writing."
        ) from error
    return folder / GATE


def read_gate(folder: Path, card: ModelCard) -> Distance | str:
    """The gate of the model in `card`; or why there is none: never written, damaged, or of other weights."""
    try:
        content = read_bytes(folder / GATE, LARGE)
    except FileNotFoundError:
        return f"the run has no {GATE}, which training writes at its end; {_AGAIN}"
    except (OSError, ValueError) as error:
        return f"{GATE} cannot be read ({getattr(error, 'strerror', None) or error}); {_AGAIN}"
    try:
        gate, weights = _parsed(content)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{GATE} is damaged ({error}); {_AGAIN}"
    if weights != card.weights_sha256:
        return f"{GATE} belongs to earlier weights of this run; {_AGAIN}"
    return gate


def _parsed(content: bytes) -> tuple[Distance, str]:
    """The gate and the hash of its weights. Raises ValueError, KeyError, TypeError, AttributeError for anything else."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors = load(content)
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    about = parse_json(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
    if about["format"] != str(FORMAT):
        raise ValueError(f"expected format {FORMAT}, got {about['format']!r}")
    numbers = parse_json(about["gate"])
    if "members" not in numbers:
        return _gate_of("", tensors, numbers), str(about["weights_sha256"])
    listed = numbers["members"]
    if not isinstance(listed, list) or not 2 <= len(listed) <= MOST_MEMBERS:
        raise ValueError(f"expected the gates of 2 to {MOST_MEMBERS} models")
    gate = MeanDistance.of([_gate_of(f"{number}.", tensors, each) for number, each in enumerate(listed)])
    return gate, str(about["weights_sha256"])


def _written(gate: Distance) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The tensors and the numbers of a gate."""
    tensors: dict[str, NDArray[Any]] = {}
    numbers: dict[str, Any] = {"limit": gate.limit, "refuses": gate.refuses, "train": gate.train, "validation": gate.validation}
    for name, part in (("features", gate.features), ("picture", gate.picture)):
        if part is not None:
            tensors |= {f"{name}.{array}": np.ascontiguousarray(getattr(part, array)) for array in _ARRAYS}
            numbers[name] = {"floor": part.floor, "typical": part.typical}
    return tensors, numbers


def _gate_of(prefix: str, tensors: Mapping[str, NDArray[Any]], numbers: Mapping[str, Any]) -> Distance:
    """The gate whose tensors' names begin with `prefix`. Raises as `_parsed`."""
    own = (
        {name.removeprefix(prefix): array for name, array in tensors.items() if name.startswith(prefix)} if prefix else tensors
    )
    picture = _part("picture", own, numbers)
    if picture is None or picture.mean.size != COUNT:
        raise ValueError(f"expected {COUNT} statistics of a picture")
    return Distance(
        _part("features", own, numbers),
        picture,
        _positive(numbers["limit"]),
        _flag(numbers["refuses"]),
        int(numbers["train"]),
        int(numbers["validation"]),
    )


def _part(name: str, tensors: Mapping[str, NDArray[Any]], numbers: Mapping[str, Any]) -> Part | None:
    if name not in numbers:
        return None
    mean, scale, axes, variances = (tensors[f"{name}.{array}"] for array in _ARRAYS)
    if any(each.dtype != np.float32 or not np.isfinite(each).all() for each in (mean, scale, axes, variances)):
        raise ValueError("expected finite numbers of 32 bits")
    if not (mean.ndim == 1 and 0 < mean.size <= _MOST_FEATURES and scale.shape == mean.shape):
        raise ValueError("mean and scale do not fit one another")
    if not (axes.shape == (variances.size, mean.size) and variances.ndim == 1 and variances.size <= MOST_AXES):
        raise ValueError("axes and variances do not fit one another")
    if not ((scale > 0).all() and (variances > 0).all()):
        raise ValueError("expected spreads above 0")
    part = Part(mean, scale, axes, variances, _positive(numbers[name]["floor"]))
    return replace(part, typical=_positive(numbers[name]["typical"]))


def _positive(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        raise ValueError(f"expected a number above 0, got {value!r}")
    return float(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"expected true or false, got {value!r}")
    return value
