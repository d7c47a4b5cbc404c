"""The recipes and DICOM windows that the Inspector offers."""

from __future__ import annotations

from collections.abc import Sequence

from core.config import Recipe
from core.errors import BadRun
from core.runs import Run
from dashboard.state import preferences, training_runs
from dashboard.views.preprocess import recipes

_RUN = "run:"  # before a run's name


def choices() -> dict[str, str]:
    """Name -> title: training's recipe, the one being tuned, those of trained models."""
    found = {"config": "Training's (config.yaml)"}
    if preferences.get(recipes.DRAFT):
        found["draft"] = "Preprocess page's, not saved"
    trained = (run.name for run in training_runs.list_runs() if training_runs.has_model(run))
    return found | {f"{_RUN}{name}": f"Model {name}'s" for name in trained}


def recipe(choice: str) -> Recipe:
    """The recipe of one of the `choices`.

    Raises BadConfig (config.yaml cannot be read); BadRun (the model's recipe is not one this version knows, or its run is
    gone).
    """
    if not choice.startswith(_RUN):
        return recipes.draft() if choice == "draft" else recipes.saved()
    name = choice.removeprefix(_RUN)
    return training_runs.open_run(name).model_card().known_recipe(name)


def run_of(choice: str) -> Run | None:
    """The run whose recipe was chosen; None for a recipe that is no model's, and for a run that is gone."""
    try:
        return training_runs.open_run(choice.removeprefix(_RUN)) if choice.startswith(_RUN) else None
    except BadRun:
        return None


def windows(names: Sequence[str], recipe_window: int) -> dict[int, str]:
    """Number in `Recipe.voi_index` -> title of a file's windows, 0 for none; that of the recipe is marked."""
    titles = {0: "none: the whole range"} | {number: f"{number}: {text}" for number, text in enumerate(names, start=1)}
    return {number: f"{text} (the recipe's)" if number == recipe_window else text for number, text in titles.items()}
