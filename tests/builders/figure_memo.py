"""Metrics of the same predictions are computed once in a process.

They depend on nothing but the table, the frozen model's card and the settings; tests of what is done with an evaluation, which
score the same drawn breasts again and again, spend half of their time on them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache, wraps
from typing import Any

import numpy as np
import pandas as pd
import pytest

_PARTS = ("levels_of", "calibration_of", "decision_of", "uncertainty_of", "subgroups_of", "omnibus_of", "shortcuts_of")


def _key(value: Any) -> str:
    """Equal for arguments that lead to the same metrics, wherever the images lie."""
    if isinstance(value, pd.DataFrame):
        order = [np.argsort(value[name].to_numpy().astype(str)).tolist() for name in ("path", "paths") if name in value]
        rest = value.drop(columns=["path", "paths"], errors="ignore")
        content = rest.to_numpy(dtype=object).tolist()
        return repr((order, list(rest.columns), rest.dtypes.astype(str).tolist(), rest.index.tolist(), content))
    if isinstance(value, pd.Series | np.ndarray):
        return repr(np.asarray(value).tolist())
    return repr(value)


def _once(function: Callable[..., Any]) -> Callable[..., Any]:
    known: dict[str, Any] = {}

    @wraps(function)
    def computed(*arguments: Any, **options: Any) -> Any:
        key = repr(([_key(value) for value in arguments], [(name, _key(options[name])) for name in sorted(options)]))
        assert " at 0x" not in key, "an argument is told by its address, which says nothing of its content"
        if key not in known:
            known[key] = function(*arguments, **options)
        return copy.deepcopy(known[key])

    return computed


@cache
def _remembering() -> dict[str, Callable[..., Any]]:
    from core.evaluate import parts

    return {name: _once(getattr(parts, name)) for name in _PARTS}


def remember_figures(patch: pytest.MonkeyPatch) -> None:
    """Evaluations take the metrics that this process has computed of the same predictions before."""
    from core.evaluate import parts

    for name, function in _remembering().items():
        patch.setattr(parts, name, function)
