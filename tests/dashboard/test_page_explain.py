"""Explain: heatmaps of the right image, with the score the model gives, saved where the report finds them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from lab_pages import draw_breast, galleries, open_page, texts
from streamlit.testing.v1 import AppTest

from core.evaluate import evaluate, read_evaluation
from core.predict import Predictor
from core.training import Run
from dashboard import services


def button(app: AppTest, key: str) -> Any:
    return next(each for each in app.button if each.key == key)


def metrics(app: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}


def test_without_a_model_the_page_leads_to_training(workspace: Any) -> None:
    app = open_page("explain")
    assert not app.exception and not app.error
    assert "Train a model first" in texts(app)


def test_the_score_is_the_predictor_s_own(run: Run) -> None:
    app = open_page("explain")
    assert not app.exception and not app.error
    path = app.selectbox(key="explain:image:widget").value
    expected = Predictor.from_run(run).predict(path)
    assert metrics(app)["Score, P(malignant)"] == f"{expected.score:.3f}"
    assert metrics(app)["Decision"] == expected.decision
    assert [tile["caption"] for tile in galleries(app)["explain:pictures"]] == [
        "Model input, 32 × 32 px",
        "Evidence for malignant, hirescam",
    ]


def test_the_test_set_is_offered_only_once_it_has_been_opened(run: Run) -> None:
    app = open_page("explain")
    assert app.button_group(key="explain:source:widget").options == ["Validation", "Upload"]
    evaluate(run, "test")
    app = open_page("explain")
    assert app.button_group(key="explain:source:widget").options == ["Validation", "Test", "Upload"]


def test_filters_list_what_they_say(run: Run) -> None:
    predictions = evaluate(run, "val").predictions
    app = open_page("explain")
    app.selectbox(key="explain:filter:widget").set_value("Malignant").run()
    assert len(app.selectbox(key="explain:image:widget").options) == int((predictions["label"] == "malignant").sum())
    app.selectbox(key="explain:filter:widget").set_value("Near the threshold").run()
    nearest = (predictions["score"] - read_evaluation(run, "val").threshold).abs().idxmin()
    assert app.selectbox(key="explain:image:widget").value == predictions["path"][nearest]


def test_next_steps_through_the_list_and_the_choice_is_kept(run: Run) -> None:
    app = open_page("explain")
    first = app.selectbox(key="explain:image:widget").value
    button(app, "explain:Next").click().run()
    second = app.selectbox(key="explain:image:widget").value
    assert first != second
    assert open_page("explain").selectbox(key="explain:image:widget").value == second


@pytest.mark.parametrize("method", ["gradcam", "gradcam++", "hirescam", "layercam", "eigencam"])
def test_every_method_gives_a_picture(run: Run, method: str) -> None:
    services.remember("explain:method", method)
    app = open_page("explain")
    assert not app.exception and not app.error
    assert galleries(app)["explain:pictures"][1]["caption"].endswith(method)


def test_a_flat_heatmap_is_said_not_stretched(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from core.gradcam import Heatmap

    reason = "nothing at this layer speaks for malignant"
    flat = Heatmap(np.zeros((32, 32), np.float32), True, "gradcam", "act", "malignant", reason)
    monkeypatch.setattr("core.predict.heatmap", lambda *args, **kwargs: flat)
    app = open_page("explain")
    assert not app.exception
    assert f"This heatmap is empty: {reason}" in app.warning[0].value


def test_saving_writes_the_overlay_into_the_run(run: Run) -> None:
    app = open_page("explain")
    button(app, "explain:save").click().run()
    assert not app.exception and not app.error
    (saved,) = (run.path / "explain").iterdir()
    picture = cv2.imread(str(saved))
    assert picture is not None and picture.shape == (1024, 1024, 3)


def test_saving_the_list_says_what_could_not_be_read(run: Run) -> None:
    app = open_page("explain")
    listed = app.selectbox(key="explain:image:widget").options
    broken = Path(run.manifest().query("split == 'val'")["path"].iloc[3])
    content = broken.read_bytes()
    try:
        broken.write_bytes(b"no image")
        button(app, "explain:many").click().run()
    finally:
        broken.write_bytes(content)  # other tests use the same images
    assert not app.exception
    assert f"Saved {len(listed) - 1} overlays" in app.success[0].value
    assert len(app.error) == 1


def test_boxes_are_drawn_where_the_manifest_has_them(run: Run) -> None:
    app = open_page("explain")
    app.selectbox(key="explain:filter:widget").set_value("Malignant").run()
    assert not app.toggle(key="explain:boxes:widget").disabled
    app.selectbox(key="explain:filter:widget").set_value("Benign").run()
    assert app.toggle(key="explain:boxes:widget").disabled


def test_an_uploaded_image_is_explained_without_a_truth(run: Run) -> None:
    app = open_page("explain")
    app.button_group(key="explain:source:widget").set_value("upload").run()
    assert "Upload a mammogram" in texts(app)
    content = cv2.imencode(".png", draw_breast(1))[1].tobytes()
    app.file_uploader[0].upload("mine.png", content, "image/png").run()
    assert not app.exception and not app.error
    assert metrics(app)["Truth"] == "not known"


def test_an_unreadable_upload_is_shown_as_its_text(run: Run) -> None:
    app = open_page("explain")
    app.button_group(key="explain:source:widget").set_value("upload").run()
    app.file_uploader[0].upload("notes.txt", b"hello", "text/plain").run()
    assert not app.exception
    assert len(app.error) == 1


def test_a_damaged_model_is_shown_as_its_text(run: Run) -> None:
    (run.path / "model.safetensors").write_bytes(b"damaged")
    app = open_page("explain")
    assert not app.exception
    assert len(app.error) == 1
