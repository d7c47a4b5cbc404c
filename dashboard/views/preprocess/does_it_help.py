"""Does the tuned recipe help? A quick answer by a probe, against the recipe that training uses. Part of the Preprocess page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from core.config import Recipe
from core.wording import first_few
from dashboard.state import datasets, settings, tasks
from dashboard.ui import background, notices
from dashboard.views.preprocess import recipes

if TYPE_CHECKING:
    from core.studies import Design

NAMED = 4  # settings that are named before "and 2 more"
FOLDS = 5


def question(recipe: Recipe) -> Design:
    """The recipe of config.yaml against what the sliders change of it, over folds of the patients."""
    from core.studies import Design

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
    if background.running(tasks.QUICK_ANSWER, stop="preprocess:help:stop"):
        return
    found = recipes.differences(recipe, recipes.saved())
    if not found:
        st.caption("Change a setting above: a quick test then compares it with the recipe that training uses now.")
        return
    if _answered(recipe):
        st.caption("For a real answer make a study on the Studies page: it trains networks on the same folds.")
    else:
        changed = first_few((f"{each.title} {each.ours} instead of {each.theirs}" for each in found), NAMED, ", ")
        st.caption(
            f"Compares {changed} with the recipe that training uses now, on {manifest.name}: a probe on a frozen network over "
            f"{FOLDS} folds of the patients, in minutes. The test split takes no part."
        )
    if st.button("Does it help?", icon=":material/bolt:", key="preprocess:help"):
        from dashboard.state import studies  # with torch, which takes seconds: only for those who ask

        studies.start_quick(question(recipe), settings.current(), manifest)
        st.rerun()


def _answered(recipe: Recipe) -> bool:
    """Show the last answer, if it is one to this question; whether it is. Before the first one nothing heavy is imported."""
    if tasks.task(tasks.QUICK_ANSWER) is None:
        return False
    from dashboard.ui import quick_answer

    return quick_answer.shown(question(recipe))
