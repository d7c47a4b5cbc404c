"""Pages with a model that judges breasts: what they show is of breasts, and what there is not they say."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest
from builders.copied import copied
from builders.evaluate_page import open_part
from builders.lab_pages import draw_breast, open_page, texts
from builders.tiny_run import make_run

from core.evaluate import evaluate
from core.report import report
from core.runs import Run
from dashboard.asgi import gradio_tab
from dashboard.views.evaluate import heatmap_thumbnails, parts


@pytest.fixture(scope="module")
def _evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two-views")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAMMOLAB_HOME", str(folder / "home"))
        patch.setenv("MAMMOLAB_CACHE", str(folder / "cache"))
        evaluate(make_run(folder, "two", "model.views=2", "model.fusion=mean"), "val")
    return folder


@pytest.fixture
def two(workspace: Path, _evaluated: Path) -> Run:
    copied(_evaluated, workspace)
    return Run.open(workspace / "checkpoints" / "two")


def test_every_part_of_evaluate_is_of_breasts(two: Run) -> None:
    for names in parts.GROUPS.values():
        for name in names:
            app = open_part(name)
            levels = next(each for each in app.get("button_group") if "level" in str(each.proto.id))
            assert "Image" not in [option.content for option in levels.proto.options]
            assert "there are no scores of single images" not in texts(app), name


@pytest.mark.slow
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


@pytest.mark.slow
def test_explain_and_test_image_show_a_view_with_the_verdict_on_its_breast(two: Run, tmp_path: Path) -> None:
    app = open_page("explain")
    assert not app.exception and not app.error
    assert "The breast was judged together with" in texts(app).replace("\\", "")
    path = str(two.manifest().query("split == 'val'")["path"].iloc[0])
    _, words, _, heat, _, _ = gradio_tab.score(two.name, path)
    assert "judged together with p01_MLO.png (MLO)" in words and heat is not None
    uploads = []
    for name in ("x_L_CC", "x_L_MLO", "y_L_MLO"):
        folder = tmp_path / name  # each in a folder of its own, as uploads are
        folder.mkdir()
        uploads.append(str(folder / f"{name}.png"))
        cv2.imwrite(uploads[-1], draw_breast(900 + len(uploads), height=64, width=48))
    words = gradio_tab.score(two.name, uploads[0], anyway=True, beside=uploads)[1]
    assert "judged together with x_L_MLO.png (MLO)" in words and "y_L_MLO" not in words
    alone = gradio_tab.score(two.name, uploads[2], anyway=True, beside=uploads)[1]
    assert "judged without its CC" in alone


@pytest.mark.slow
def test_the_report_speaks_of_breasts(two: Run) -> None:
    text = report(two).read_text(encoding="utf-8")
    assert "The model gives each breast a score" in text and "fused by mean" in text
    assert "there are no scores of single images" in text and "ROC curves, breasts" in text
    assert "one image at a time" not in text and "The model gives each image" not in text
