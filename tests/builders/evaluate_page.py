"""Helpers for tests of the Evaluate page: one of its parts opened, the cards of the slider, a scoring awaited."""

from __future__ import annotations

from typing import Any

from streamlit.testing.v1 import AppTest

from builders.lab_pages import component, open_page, wait_until
from core.evaluate import evaluate
from core.files.typed import to_plain
from core.model import update_card
from core.runs import Run
from dashboard.cache import results
from dashboard.state import preferences
from dashboard.views.evaluate import parts

CURVES = {"evaluate:roc", "evaluate:precision_recall", "evaluate:confusion", "evaluate:histogram", "evaluate:decision"}


def choose_part(name: str) -> None:
    """Have this part shown when the page is opened next."""
    group = next(group for group, parts_of in parts.GROUPS.items() if name in parts_of)
    preferences.set("evaluate:group", group)
    preferences.set(f"evaluate:part:{group}", name)


def open_part(name: str) -> AppTest:
    """The page with this part, which shows no error."""
    choose_part(name)
    app = open_page("evaluate")
    assert not app.exception
    assert not app.error
    return app


def cards(app: AppTest) -> dict[str, dict[str, Any]]:
    """The cards below the slider, by name, with the value where it stands."""
    data = component(app, "dial")
    at = {card["name"]: data["index"] if len(card["values"]) > 1 else 0 for card in data["cards"]}
    return {card["name"]: card | {"value": card["values"][at[card["name"]]], "at": at[card["name"]]} for card in data["cards"]}


def choice_of(run: Run, level: str = "image") -> str:
    """The preference that holds the explored threshold."""
    return f"evaluate:threshold:{run.name}:{run.model_card().weights_sha256[:8]}:{level}"


def wait_for_scoring(run: Run, split: str = "val") -> None:
    """Until the background evaluation has ended, without an error."""
    task = results.evaluation_task(run, split)
    assert task is not None
    wait_until(lambda: not task.running)
    assert task.error == ""


def freeze_by_view(run: Run, cc: float, mlo: float) -> None:
    """Freeze thresholds by view, and score validation at them."""
    rule = to_plain(run.model_card().threshold_rule) | {"per_view": True}
    update_card(run.path, {"threshold_rule": rule, "view_thresholds": {"CC": cc, "MLO": mlo}})
    evaluate(run, "val")
