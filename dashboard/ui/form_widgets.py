"""The widget that suits a field of `core.config`, and values on their way into it and out of it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import streamlit as st
from pydantic.fields import FieldInfo

# What a text field offers beside free text: (value, words shown).
SUGGESTIONS: dict[str, tuple[tuple[str, str], ...]] = {
    "model.name": (
        ("small_cnn", "small_cnn · ours"),
        ("tf_efficientnet_lite0", "tf_efficientnet_lite0 · for real images"),
        ("efficientnet_b0", "efficientnet_b0"),
        ("efficientnet_b1", "efficientnet_b1"),
        ("resnet50", "resnet50"),
        ("densenet121", "densenet121"),
    ),
    "model.weights": (
        ("auto", "auto · ImageNet"),
        ("none", "none · from scratch"),
        ("hub", "hub · downloaded"),
    ),
    "preprocessing.size": (
        *((f"{height} × {width}",) * 2 for height, width in ((320, 192), (384, 240), (512, 320), (768, 480))),
        *((str(side), f"{side} × {side}") for side in (128, 192, 224, 256, 384, 512, 768, 1024)),
    ),
    "training.device": (("auto", "auto"), ("cpu", "cpu"), ("cuda", "cuda"), ("mps", "mps")),
}


def draw(path: str, info: FieldInfo, label: str, common: dict[str, Any]) -> Any:
    """The widget of a field, with these arguments; gives the value that Streamlit has for it."""
    # No bounds for the browser: it does not send a value outside, and the form would keep the value before it.
    kind = info.annotation
    if path in SUGGESTIONS:
        words = dict(SUGGESTIONS[path])
        own = st.session_state[common["key"]]
        if own is not None:
            words.setdefault(own, own)
        return st.selectbox(
            label,
            list(words),
            **_chosen(list(words), common),
            format_func=lambda value: words.get(value, value),
            accept_new_options=True,
            placeholder="Choose or type",
        )
    if get_origin(kind) is Literal:
        options = list(get_args(kind))
        return st.selectbox(label, options, format_func=lambda value: str(value).replace("_", " "), **_chosen(options, common))
    if kind is bool:
        return st.toggle(label, **common)
    if kind is int:
        return st.number_input(label, step=1, **common)
    if kind is float:
        form, step = number_format(info)
        return st.number_input(label, step=step, format=form, **common)
    return st.text_input(label, **common)


def _chosen(options: list[Any], common: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a select box, which takes its value as a place among the options."""
    others = dict(common)
    if "value" in others:
        value = others.pop("value")
        others["index"] = options.index(value) if value in options else None if value is None else 0
    return others


def bounds(info: FieldInfo) -> tuple[float | None, float | None]:
    """The least and the largest value of a field, exclusive bounds taken as if they were not."""
    found = {name: getattr(mark, name) for mark in info.metadata for name in ("ge", "gt", "le", "lt") if hasattr(mark, name)}
    return found.get("ge", found.get("gt")), found.get("le", found.get("lt"))


def number_format(info: FieldInfo) -> tuple[str, float]:
    """(printf format, step) of a float field: a rate below 0.01 is written 2.0e-04 and moves by its own size."""
    default = float(info.default)
    low, high = bounds(info)
    positive = any(getattr(mark, "gt", None) == 0 for mark in info.metadata)
    if positive and 0 < default < 0.01:
        return "%.1e", 10.0 ** math.floor(math.log10(default))
    if any(getattr(mark, "lt", None) == 1 for mark in info.metadata) and default == 0:
        return "%.4f", 0.001  # a share that may come very close to 1
    span = (high if high is not None else default) - (low if low is not None else 0.0)
    if span > 10:
        return "%.1f", 0.5
    decimals = max(2, len(f"{default:.6f}".rstrip("0").partition(".")[2]))
    return f"%.{decimals}f", 0.01 if decimals == 2 else 10.0**-decimals


def to_widget(path: str, info: FieldInfo, value: Any) -> Any:
    """A field's value as its widget takes it."""
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {item if isinstance(item, str) else json.dumps(item)}" for key, item in value.items())
    if info.annotation == tuple[str, ...]:
        return ", ".join(value)
    if isinstance(value, (tuple, list)):
        return " × ".join(map(str, value))
    if path in SUGGESTIONS or info.annotation is str:
        return str(value)
    if info.annotation is float:
        return float(value)
    return value


def from_widget(path: str, info: FieldInfo, raw: Any) -> Any:
    """The value as pydantic expects it; text that cannot be read is passed on, for pydantic to refuse."""
    if path == "preprocessing.size" and isinstance(raw, str):
        numbers = [int(number) for number in re.findall(r"\d+", raw)]
        readable = re.fullmatch(r"[\s\d×xX*,\[\]()]+", raw) is not None
        return (numbers[0] if len(numbers) == 1 else tuple(numbers)) if readable and numbers else raw
    if isinstance(info.default_factory, type) and info.default_factory is dict and isinstance(raw, str):
        return _options(raw)
    if info.annotation == tuple[str, ...] and isinstance(raw, str):
        return tuple(filter(None, (name.strip() for name in raw.split(","))))
    if isinstance(raw, str):
        return raw.strip()
    return raw


def _options(text: str) -> Any:
    """`pad_type: same, drop_path_rate: 0.1` as a dictionary; the text itself when it is not that."""
    if not text.strip():
        return {}
    options: dict[str, Any] = {}
    for part in text.split(","):
        name, colon, value = part.partition(":")
        if not colon or not name.strip() or not value.strip():
            return text
        try:
            options[name.strip()] = json.loads(value.strip())
        except json.JSONDecodeError:
            options[name.strip()] = value.strip()
    return options
