"""Widgets made from the fields of `core.config`: one description for the form, the CLI and the docs.

A field is named by its dotted path, `training.epochs`. Title, help, bounds and choices come from its pydantic
declaration. What a person typed is remembered across pages, reloads and restarts: Streamlit forgets a widget that is not
drawn, so the values are stored with the preferences. When the default of a field changes (a recipe was saved on the
Preprocess page), the new default replaces what was typed before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from typing import Any

import streamlit as st
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from core.config import Config, DashboardConfig, describe_allowed
from core.config.section import section_of
from dashboard.access.paths import NotAllowed, require_allowed_config
from dashboard.state import preferences
from dashboard.ui import notices
from dashboard.ui.form_widgets import draw, from_widget, to_widget

# Beside the title of a field that is not as in config.yaml: plain words, as screen readers say titles.
CHANGED = "· changed"
COLUMNS = 3


def field(path: str, default: Any, *, prefix: str = "") -> Any:
    """Draw the widget of one field and give its value (not validated yet: see `check`).

    `default` is the value to start from, normally the one in config.yaml; `prefix` ("fork:") distinguishes two
    forms of the same fields apart.
    """
    info, key = _info(path), f"{prefix}{path}"
    start = to_widget(path, info, default)
    written = _initialise(key, start)
    common: dict[str, Any] = {"key": key, "help": _help(path)}
    label = title_of(path)
    if st.session_state[key] != start:
        label += f" {CHANGED}"
    # For a browser that does not know the widget yet: where one run follows another at once, it never gets the first one,
    # in which the value was set. (Streamlit refuses both in the same run.)
    raw = draw(path, info, label, common | ({} if written else {"value": st.session_state[key]}))
    _store(key, start, raw)
    return from_widget(path, info, raw)


def fields(paths: Sequence[str], config: Config, *, prefix: str = "") -> dict[str, Any]:
    """Draw the named fields, row by row in columns; gives {dotted path: value}."""
    values: dict[str, Any] = {}
    for start in range(0, len(paths), COLUMNS):
        row = paths[start : start + COLUMNS]
        for column, path in zip(st.columns(COLUMNS, vertical_alignment="bottom"), row, strict=False):
            with column:
                values[path] = field(path, value_of(config, path), prefix=prefix)
    return values


def groups(
    sections: Mapping[str, str],
    config: Config,
    *,
    skip: Iterable[str] = (),
    words: str = "",
    notes: Mapping[str, str] | None = None,
    prefix: str = "",
) -> dict[str, Any]:
    """The fields of several sections ({name: title}), each folded under its title with a badge that counts what was changed.

    With `words`, only fields whose title, name or description has all of them are drawn, unfolded. Gives {dotted path: value}
    of all fields, drawn or not. `notes` are sentences by section.
    """
    left_out, wanted = set(skip), words.lower().split()
    values: dict[str, Any] = {}
    found = 0
    for section_name, title in sections.items():
        model = type(value_of(config, section_name))
        paths = [path for path in all_paths(model, f"{section_name}.", nested=False) if path not in left_out]
        shown = [path for path in paths if all(word in _about(path) for word in wanted)]
        values |= {path: current_value(path, value_of(config, path), prefix=prefix) for path in paths if path not in shown}
        if not shown:
            continue
        found += len(shown)
        changed = sum(current_value(path, value_of(config, path), prefix=prefix) != value_of(config, path) for path in shown)
        badge = f" :orange-badge[{changed} changed]" if changed else ""
        with st.expander(
            f"{title} ({len(shown)}){badge}", expanded=bool(wanted), key=f"{prefix}group:{section_name}:{bool(wanted)}"
        ):
            if notes and section_name in notes:
                st.markdown(notes[section_name])
            values |= fields(shown, config, prefix=prefix)
    if wanted and not found:
        st.caption("No setting has these words in its name or description.")
    return values


def current_value(path: str, default: Any, *, prefix: str = "") -> Any:
    """The value of a field as `field` would give it, without drawing it."""
    info, key = _info(path), f"{prefix}{path}"
    start = to_widget(path, info, default)
    seen, value = _typed(key).get(key, (start, start))
    raw = st.session_state.get(key, value) if seen == start else start
    return default if raw == start else from_widget(path, info, raw)


def fill(values: Mapping[str, Any], config: Config, prefix: str = "") -> None:
    """Put these values ({dotted path: value}) into the form, and its defaults everywhere else. Call it before it is drawn."""
    reset(prefix)
    for path, value in values.items():
        info = _info(path)
        start = to_widget(path, info, value_of(config, path))
        key, raw = f"{prefix}{path}", to_widget(path, info, value)
        st.session_state[key], st.session_state[f"{key}:default"] = raw, start
        _store(key, start, raw)


def _about(path: str) -> str:
    """What a search for a field looks through."""
    return f"{path} {title_of(path)} {_info(path).description or ''}".lower().replace("_", " ")


def check(values: Mapping[str, Any], base: Config) -> tuple[Config | None, list[str]]:
    """`base` with the form's values in it, or None and a sentence for each field with an error."""
    nested = base.model_dump()
    for path, value in values.items():
        *parents, last = path.split(".")
        reduce(dict.__getitem__, parents, nested)[last] = value
    try:
        config = Config.model_validate(nested)
        require_allowed_config(config)
        return config, []
    except NotAllowed as error:
        return None, [str(error)]
    except ValidationError as error:
        return None, list(dict.fromkeys(_explain(detail) for detail in error.errors()))


def show_problems(problems: Sequence[str]) -> None:
    """The sentences of `check` as one notice beside the form."""
    if problems:
        notices.error("\n".join(f"- {problem}" for problem in problems))


def value_of(config: Config, path: str) -> Any:
    """The value that a dotted path has in a configuration."""
    return reduce(getattr, path.split("."), config)


def changed(config: Config, base: Config) -> list[str]:
    """The dotted paths in which two configurations differ."""
    return [path for path in all_paths() if value_of(config, path) != value_of(base, path)]


def all_paths(model: type[BaseModel] = Config, prefix: str = "", *, nested: bool = True) -> list[str]:
    """The dotted paths of all fields, in the order of config.yaml; `nested`: also of those in sections within it."""
    found: list[str] = []
    for name, info in model.model_fields.items():
        section = section_of(info)
        if section is None:
            found.append(f"{prefix}{name}")
        elif nested and section is not DashboardConfig:  # which is no part of a run
            found += all_paths(section, f"{prefix}{name}.")
    return found


def title_of(path: str) -> str:
    """What the field is called in a form."""
    return _info(path).title or path.rpartition(".")[2].replace("_", " ").capitalize()


def reset(prefix: str = "") -> None:
    """Forget what was typed, so that the form shows its defaults again. Call it before the widgets are drawn."""
    for name in Config.model_fields:
        for key in [key for key in st.session_state if str(key).startswith(f"{prefix}{name}.")]:
            del st.session_state[key]
    preferences.set(_slot(prefix), None)


def _slot(key: str) -> str:
    return "form:" + key.split(".")[0].rpartition(":")[0]


def _typed(key: str) -> dict[str, Any]:
    """What was typed into forms of this prefix: {key: [default at that time, value]}."""
    return dict(preferences.get(_slot(key), {}))


def _initialise(key: str, default: Any) -> bool:
    """Set the widget's value where it has none yet, or its default has changed; whether that was so."""
    seen, value = _typed(key).get(key, (default, default))
    other = seen != default or st.session_state.get(f"{key}:default", default) != default
    written = other or key not in st.session_state
    if written:
        st.session_state[key] = default if other else value
    st.session_state[f"{key}:default"] = default
    return written


def _store(key: str, default: Any, value: Any) -> None:
    typed = _typed(key)
    entry = None if value == default else [default, value]
    if typed.get(key) != entry:
        typed.pop(key, None)
        if entry is not None:
            typed[key] = entry
        preferences.set(_slot(key), typed or None)


def _locate(path: str) -> tuple[type[BaseModel], str]:
    model: type[BaseModel] = Config
    *parents, name = path.split(".")
    for parent in parents:
        section = section_of(model.model_fields[parent])
        assert section is not None, path
        model = section
    return model, name


def _info(path: str) -> FieldInfo:
    model, name = _locate(path)
    return model.model_fields[name]


def _help(path: str) -> str:
    allowed, words = describe_allowed(*_locate(path)), _info(path).description or ""
    informative = any(word in allowed for word in ("least", "most", "above", "below"))
    return f"{words}\n\nAllowed: {allowed}." if informative else words


def _explain(detail: Any) -> str:
    parts = [str(part) for part in detail["loc"]]
    model: type[BaseModel] = Config
    for part in parts:
        info = model.model_fields.get(part)
        if info is None:
            break
        if (section := section_of(info)) is not None:
            model = section
            continue
        shown = "nothing" if detail["input"] in ("", None) else detail["input"]
        return f"**{info.title or part}**: got `{shown}`; allowed: {describe_allowed(model, part)}"
    return f"**{'.'.join(parts)}**: {detail['msg']}"
