"""Evaluate: what the threshold means at the prevalence of screening."""

from __future__ import annotations

import json

import pytest
from builders.evaluate_page import open_part
from builders.lab_pages import button, component, keys, texts

from core.evaluate import read_evaluation
from core.metrics import at_level, operating_point
from core.runs import Run
from dashboard.state import preferences
from dashboard.views.evaluate.screening import DEFAULT, PREVALENCES


def test_screening_says_it_in_whole_women_at_every_prevalence(scored: Run) -> None:
    preferences.set("evaluate:level", "patient")
    app = open_part("Screening")
    data = component(app, "screening")
    assert len(data["steps"]) == len(PREVALENCES)
    assert data["index"] == PREVALENCES.index(DEFAULT)
    assert all(sum(step["people"]) == 1000 and min(step["people"]) >= 0 for step in data["steps"])
    women = at_level(read_evaluation(scored, "val").predictions, "patient")
    point = operating_point(
        women["label"], women["score"], scored.model_card().thresholds["patient"], women["patient_id"], confidence=0.95
    )
    expected = point.at(0.1)
    rows = {row[0]: row[1:] for row in data["steps"][PREVALENCES.index(10)]["rows"]}
    assert rows["A recall is cancer (PPV)"][0] == f"{expected.ppv.value:.1%}"
    assert rows["Recalled, of 1,000"][0] == f"{expected.recalled.value:,.0f}"
    assert data["steps"][PREVALENCES.index(10)]["sentence"].startswith("Of 1,000 women screened, 100 have cancer.")
    assert data["words"]["dot"].startswith("A dot is a woman")
    assert "evaluate:women" not in keys(app)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("level", "sentence"),
    [("image", "Of 1,000 images scored, 100 show cancer."), ("breast", "Of 1,000 breasts scored, 100 have cancer.")],
)
def test_screening_by_images_or_breasts_never_counts_women_and_leads_to_them(scored: Run, level: str, sentence: str) -> None:
    preferences.set("evaluate:level", level)
    app = open_part("Screening")
    data = component(app, "screening")
    assert data["steps"][PREVALENCES.index(10)]["sentence"].startswith(sentence)
    assert "wom" not in json.dumps(data) and "recall" not in json.dumps(data).lower()
    captions = " ".join(each.value for each in app.caption)
    assert f"{level}s scored" in captions and "women" not in captions
    assert f"counts **{level}s**, not women" in texts(app)
    button(app, "evaluate:women").click().run()
    assert not app.exception
    assert component(app, "screening")["steps"][0]["sentence"].startswith("Of 1,000 women screened")
