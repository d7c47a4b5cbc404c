"""The recipe being tuned: stored across pages and reloads, with undo and redo, presets, and how it differs from a model's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import streamlit as st
from pydantic import ValidationError

from core.config import Recipe, save_section
from core.errors import LabError
from core.model.card import read_card
from core.runs import Run
from core.wording import setting
from dashboard.state import preferences, settings
from dashboard.state.file_stamps import of_run

DRAFT = "preprocess:recipe"
OWN = "preprocess:presets"
UNDO, REDO = "preprocess:history", "preprocess:undone"
STEPS = 50  # changes that can be taken back

# What a preset sets: how grey levels are shown. How the image is cropped and its size are not part of it.
PRESET_FIELDS = ("window_low", "window_high", "gamma", "clahe", "clip_limit", "tile_grid")
PRESETS: dict[str, dict[str, Any]] = {
    "Standard": {name: Recipe.model_fields[name].default for name in PRESET_FIELDS},
    "Gentle": {"window_low": 0.5, "window_high": 99.8, "gamma": 1.0, "clahe": True, "clip_limit": 1.2, "tile_grid": 6},
    "Strong": {"window_low": 1.0, "window_high": 99.5, "gamma": 1.0, "clahe": True, "clip_limit": 4.0, "tile_grid": 8},
    "Microcalcifications": {
        "window_low": 2.0,
        "window_high": 99.9,
        "gamma": 1.2,
        "clahe": True,
        "clip_limit": 3.0,
        "tile_grid": 16,
    },
    "No CLAHE": {"window_low": 0.5, "window_high": 99.8, "gamma": 1.0, "clahe": False, "clip_limit": 2.0, "tile_grid": 8},
}
DESCRIPTIONS = {
    "Standard": "MammoLab's default: moderate local contrast for digital mammograms and film scans.",
    "Gentle": "Little local contrast: close to how the image was stored, with less noise.",
    "Strong": "Much local contrast: dense tissue and faint masses stand out, and so does noise.",
    "Microcalcifications": "Small regions and a darker background: fine bright points stand out.",
    "No CLAHE": "Brightness and contrast of the whole image only, no local contrast.",
}


def saved() -> Recipe:
    """The recipe in config.yaml: what training uses."""
    return settings.current().preprocessing


def draft() -> Recipe:
    """The recipe being tuned: stored across pages and reloads until it is saved or reset."""
    stored = preferences.get(DRAFT)
    try:
        return Recipe.model_validate(stored) if stored else saved()
    except ValidationError:
        return saved()


def change(**values: Any) -> None:
    """Change fields of the draft; undo restores the state before. Raises ValidationError (a value is out of bounds)."""
    before = draft()
    after = Recipe.model_validate({**before.model_dump(), **values})
    if after != before:
        preferences.set(UNDO, [*preferences.get(UNDO, []), _plain(before)][-STEPS:])
        preferences.set(REDO, None)
        _set(after)


def undo() -> None:
    """Back to the recipe before the last change."""
    _step(UNDO, REDO)


def redo() -> None:
    """The change that was undone last, again."""
    _step(REDO, UNDO)


def can(which: str) -> bool:
    """Whether there is something to undo (`UNDO`) or to redo (`REDO`)."""
    return bool(preferences.get(which))


def _step(source: str, target: str) -> None:
    steps = list(preferences.get(source, []))
    if not steps:
        return
    try:
        wanted = Recipe.model_validate(steps.pop())
    except ValidationError:  # stored by another version, whose recipes had other fields
        preferences.set(source, None)
        return
    preferences.set(target, [*preferences.get(target, []), _plain(draft())])
    preferences.set(source, steps or None)
    _set(wanted)


def _set(recipe: Recipe) -> None:
    preferences.set(DRAFT, None if recipe == saved() else _plain(recipe))


def _plain(recipe: Recipe) -> dict[str, Any]:
    return recipe.model_dump(mode="json")


def use_for_training() -> str:
    """Write the draft into config.yaml's preprocessing section; returns its hash.

    Raises LabError (config.yaml does not hold a section that can be replaced); OSError (it cannot be written).
    """
    recipe = draft()
    save_section(settings.config_path(), "preprocessing", recipe.model_dump())
    preferences.set(DRAFT, None)
    return recipe.hash


# ---------------------------------------------------------------- presets


def own_presets() -> dict[str, dict[str, Any]]:
    """The user's presets by name; one that this version cannot read is left out."""
    found = {}
    for name, values in dict(preferences.get(OWN, {})).items():
        try:
            Recipe.model_validate(values)
        except ValidationError:
            continue
        found[name] = {field: values[field] for field in PRESET_FIELDS if field in values}
    return found


def save_preset(name: str) -> str:
    """Keep the draft's grey-level settings under a name; returns what was wrong with the name, or ""."""
    name = name.strip()
    if not name:
        return "A preset needs a name."
    if name in PRESETS:
        return f"“{name}” is a built-in preset: choose another name."
    preferences.set_entry(OWN, name, {field: getattr(draft(), field) for field in PRESET_FIELDS})
    return ""


def rename_preset(old: str, new: str) -> str:
    """Give a preset of the user another name; returns what was wrong with it, or ""."""
    own, new = own_presets(), new.strip()
    if not new or new in PRESETS or (new in own and new != old):
        return f"“{new}” is taken: choose another name." if new else "A preset needs a name."
    if old in own and new != old:
        preferences.set_entry(OWN, new, own[old])
        preferences.set_entry(OWN, old, None)
    return ""


def delete_preset(name: str) -> None:
    """Forget a preset of the user."""
    preferences.set_entry(OWN, name, None)


def preset_of(recipe: Recipe, chosen: str = "") -> str | None:
    """The preset that has the recipe's settings of grey levels, the `chosen` one if it does; None when there is none."""
    presets = {**PRESETS, **own_presets()}
    fitting = [
        name for name, values in presets.items() if all(getattr(recipe, field) == value for field, value in values.items())
    ]
    return chosen if chosen in fitting else next(iter(fitting), None)


# ---------------------------------------------------------------- a model's recipe


@dataclass(frozen=True)
class Difference:
    """One field in which two recipes differ, in words."""

    field: str
    title: str
    ours: str
    theirs: str


def differences(ours: Recipe, theirs: Recipe) -> list[Difference]:
    """The fields in which two recipes differ, in the order of the recipe."""
    return [
        Difference(name, str(info.title or name), setting(getattr(ours, name)), setting(getattr(theirs, name)))
        for name, info in Recipe.model_fields.items()
        if getattr(ours, name) != getattr(theirs, name)
    ]


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs=of_run("model.json"))
def recipe_of(run: Run) -> Recipe | None:
    """The recipe that a run's model was trained with, from its card; None where the card cannot be read."""
    try:
        return read_card(run.path).known_recipe()
    except LabError:
        return None
