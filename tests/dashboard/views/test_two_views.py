"""Pages with a model that judges breasts: what they show is of breasts, and what there is not they say."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders.evaluate_page import open_part
from builders.lab_pages import open_page, texts
from builders.tiny_run import make_run

from core.evaluate import evaluate
from core.report import report
from core.runs import Run
from dashboard.views.evaluate import heatmap_thumbnails, parts


@pytest.fixture
def two(workspace: Path) -> Run:
    made = make_run(workspace, "two", "model.views=2", "model.fusion=mean")
    evaluate(made, "val")
    return made


def test_every_part_of_evaluate_is_of_breasts(two: Run) -> None:
    for names in parts.GROUPS.values():
        for name in names:
            app = open_part(name)
            levels = next(each for each in app.get("button_group") if "level" in str(each.proto.id))
            assert "Image" not in [option.content for option in levels.proto.options]
            assert "there are no scores of single images" not in texts(app), name


def test_a_case_is_shown_with_the_heatmap_of_its_breast(two: Run) -> None:
    from core.predict import Predictor
    from core.predict_breasts import heatmap_of, predict_breast_of

    predictor = Predictor.from_run(two, device="cpu")
    path = str(two.manifest().query("split == 'val'")["path"].iloc[0])
    image, heat = heatmap_thumbnails._explained(predictor, path)
    expected = heatmap_of(predictor, predict_breast_of(predictor, path), path)
    assert str(image.path) == path and (heat.values == expected[1].values).all()
    alone = predictor.explain(predictor.predict(path))
    assert heat.peak != pytest.approx(alone.peak, rel=1e-3), "the other view has its part in it"


def test_explain_says_that_one_view_was_judged_alone(two: Run) -> None:
    app = open_page("explain")
    assert not app.exception and not app.error
    assert "The model judges a breast from all its views" in texts(app)


def test_the_report_speaks_of_breasts(two: Run) -> None:
    text = report(two).read_text(encoding="utf-8")
    assert "The model gives each breast a score" in text and "fused by mean" in text
    assert "there are no scores of single images" in text and "ROC curves, breasts" in text
    assert "one image at a time" not in text and "The model gives each image" not in text
