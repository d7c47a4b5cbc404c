"""Widgets whose value is stored across pages, reloads and restarts. `key` names the choice in the workspace.

The widget always shows the stored value, whoever changed it; what the user picks is stored before the page runs again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, TypedDict, Unpack

import streamlit as st

from dashboard.state import preferences

Options = Mapping[str, str] | Sequence[str]


def _sync(key: str, value: Any) -> dict[str, Any]:
    """Set the widget to `value`, and give the arguments that store what the user makes of it."""
    widget = f"{key}:widget"
    st.session_state[widget] = value
    return {"key": widget, "on_change": lambda: preferences.set(key, st.session_state[widget])}


class _Choice(TypedDict, total=False):
    """What a choice may have besides; `default` is the first option."""

    default: str | None
    help: str | None
    hide_label: bool


def segmented(label: str, options: Options, key: str, **more: Unpack[_Choice]) -> str:
    """A row of buttons, one of them on. `options`: the values, with the words shown where they differ."""
    return _choose(partial(st.segmented_control, required=True), label, options, key, **more)


def select(label: str, options: Options, key: str, **more: Unpack[_Choice]) -> str:
    """A select box; as `segmented`."""
    return _choose(st.selectbox, label, options, key, **more)


def _choose(
    draw: Callable[..., object],
    label: str,
    options: Options,
    key: str,
    default: str | None = None,
    help: str | None = None,
    hide_label: bool = False,
) -> str:
    words = options if isinstance(options, Mapping) else {option: option for option in options}
    stored = preferences.get(key)
    value = str(stored) if stored in words else default if default is not None else next(iter(words))
    shown = {"options": list(words), "format_func": words.__getitem__, "label_visibility": _visibility(hide_label)}
    draw(label, help=help, **shown, **_sync(key, value))
    return value


def _visibility(hide: bool) -> Literal["collapsed", "visible"]:
    return "collapsed" if hide else "visible"


def slider(label: str, low: float, high: float, step: float, key: str, *, default: float, format: str | None = None) -> float:
    """A slider; a stored value outside its range moves to the nearest end."""
    value = preferences.get(key, default)
    value = min(max(float(value), low), high) if isinstance(value, int | float) else default
    st.slider(label, low, high, step=step, format=format, **_sync(key, value))
    return value


def toggle(label: str, key: str, *, default: bool, help: str | None = None, disabled: bool = False) -> bool:
    """A switch; while disabled it shows off and gives False, and the stored value stays."""
    value = bool(preferences.get(key, default)) and not disabled
    st.toggle(label, help=help, disabled=disabled, **_sync(key, value))
    return value


def text(label: str, key: str, *, placeholder: str = "", help: str | None = None, hide_label: bool = False) -> str:
    """A line of text."""
    value = str(preferences.get(key, ""))
    st.text_input(label, placeholder=placeholder, help=help, label_visibility=_visibility(hide_label), **_sync(key, value))
    return value


def optional(label: str, options: Sequence[str], key: str) -> str | None:
    """A row of buttons of which one is on, or none; its label is for screen readers only."""
    value = preferences.get(key)
    value = value if value in options else None
    st.segmented_control(label, options, label_visibility="collapsed", **_sync(key, value))
    return value


def whole(label: str, low: int, high: int, key: str, *, default: int, hide_label: bool = False) -> int:
    """A whole number; a stored value outside its range moves to the nearest end."""
    value = preferences.get(key, default)
    value = min(max(value, low), high) if isinstance(value, int) else default
    st.number_input(label, low, high, step=1, label_visibility=_visibility(hide_label), **_sync(key, value))
    return value


def pills(label: str, options: Sequence[str], key: str, *, help: str | None = None, hide_label: bool = False) -> list[str]:
    """Any number of a few options; a stored one that is no longer offered counts as not chosen."""
    value = [each for each in preferences.get(key, []) if each in options]
    st.pills(label, options, selection_mode="multi", help=help, label_visibility=_visibility(hide_label), **_sync(key, value))
    return value


def several(
    label: str, options: Sequence[str], key: str, *, most: int, default: Sequence[str] = (), help: str | None = None
) -> list[str]:
    """At most `most` of any number of options; a stored one that is no longer offered counts as not chosen."""
    value = [each for each in preferences.get(key, list(default)) if each in options][:most]
    st.multiselect(label, options, max_selections=most, help=help, placeholder="None chosen", **_sync(key, value))
    return value
