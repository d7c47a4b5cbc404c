"""Does the tuned recipe help? A quick answer by a probe, against the recipe that training uses. Part of the Preprocess page."""

from __future__ import annotations

import streamlit as st

from core.config import Recipe
from core.studies import Design
from core.wording import first_few
from dashboard.state import datasets, settings, studies
from dashboard.ui import background, notices, quick_answer
from dashboard.views.preprocess import recipes

NAMED = 4  # settings that are named before "and 2 more"
FOLDS = 5


def question(recipe: Recipe) -> Design:
    """The recipe of config.yaml against what the sliders change of it, over folds of the patients."""
    ours, saved = recipe.model_dump(mode="json"), recipes.saved().model_dump(mode="json")
    changed = {name: value for name, value in ours.items() if value != saved[name]}
    return Design.of({"folds": FOLDS, "factors": {"preprocessing": [{}, changed]} if changed else {}}, "recipe")


@notices.errors_shown()
def show(recipe: Recipe) -> None:
    """A button that asks, progress, and the answer."""
    manifest = datasets.current_manifest()
    if manifest is None:
        return
    st.markdown("## Does it help?", anchors=False)
    if background.running(studies.QUICK, stop="preprocess:help:stop"):
        return
    found = recipes.differences(recipe, recipes.saved())
    if not found:
        st.caption("Change a setting above: a quick test then compares it with the recipe that training uses now.")
        return
    changed = first_few((f"{each.title} {each.ours} instead of {each.theirs}" for each in found), NAMED, ", ")
    design = question(recipe)
    if quick_answer.shown(design):
        st.caption("For a real answer make a study on the Studies page: it trains networks on the same folds.")
    else:
        st.caption(
            f"Compares {changed} with the recipe that training uses now, on {manifest.name}: a probe on a frozen network over "
            f"{FOLDS} folds of the patients, in minutes. The test split takes no part."
        )
    if st.button("Does it help?", icon=":material/bolt:", key="preprocess:help"):
        studies.start_quick(design, settings.current(), manifest)
        st.rerun()
