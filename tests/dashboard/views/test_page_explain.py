"""Explain: heatmaps of the right image, with the score the model gives, saved where the report finds them."""

from __future__ import annotations

import json
import re
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from builders.lab_pages import button, draw_breast, open_page, texts
from streamlit.testing.v1 import AppTest

from core.evaluate import evaluate, read_evaluation
from core.predict import Predictor
from core.runs import Run
from dashboard.state import preferences, training_runs


def pictures(app: AppTest) -> dict[str, Any]:
    """What the page sends to the browser of its pictures."""
    element = next(each for each in app.get("bidi_component") if each.proto.component_name == "mammolab_heat")
    message = bytes(element.proto.bytes)
    header: dict[str, Any] = json.loads(message[4 : 4 + int.from_bytes(message[:4], "little")])
    return header


def wait(app: AppTest, done: Callable[[], bool]) -> AppTest:
    """Rerun until a background task has brought it about."""
    end = time.monotonic() + 60
    while not done() and time.monotonic() < end:
        time.sleep(0.1)
        app.run()
    return app


def metrics(app: AppTest) -> dict[str, str]:
    """The row above the pictures: score, decision and truth by name."""
    lines = [
        str(each.value).replace("\\", "") for each in app.markdown if re.match(r"(Decision|.*: score) \*\*", str(each.value))
    ]
    return dict(re.findall(r"(?:^|·)\s*([^·]*?) \*\*(.*?)\*\*", lines[0])) if lines else {}


def test_without_a_model_the_page_leads_to_training(workspace: Any) -> None:
    app = open_page("explain")
    assert not app.exception and not app.error
    assert "Train a model first" in texts(app)


@pytest.mark.slow
def test_the_score_is_the_predictor_s_own(run: Run) -> None:
    app = open_page("explain")
    assert not app.exception and not app.error
    path = app.selectbox(key="explain:image:widget").value
    expected = Predictor.from_run(run).predict(path)
    assert metrics(app)["Score"] == f"{expected.score:.3f}"
    assert metrics(app)["Decision"] == expected.decision
    shown = pictures(app)
    assert [panel["title"] for panel in shown["panels"]] == ["Model input, 32 × 32 px", "Evidence for malignant"]
    assert [panel["map"] for panel in shown["panels"]] == [-1, 0] and shown["panels"][1][
        "detail"
    ] == "HiResCAM, last layer (2 × 2)"


@pytest.mark.slow
def test_the_test_set_is_offered_only_once_it_has_been_opened(run: Run) -> None:
    app = open_page("explain")
    assert app.button_group(key="explain:source:widget").options == ["Validation", "Upload"]
    evaluate(run, "test")
    app = open_page("explain")
    assert app.button_group(key="explain:source:widget").options == ["Validation", "Test", "Upload"]


@pytest.mark.slow
def test_filters_list_what_they_say(scored: Run) -> None:
    predictions = read_evaluation(scored, "val").predictions
    app = open_page("explain")
    app.selectbox(key="explain:filter:widget").set_value("Malignant").run()
    assert len(app.selectbox(key="explain:image:widget").options) == int((predictions["label"] == "malignant").sum())
    app.selectbox(key="explain:filter:widget").set_value("Near the threshold").run()
    nearest = (predictions["score"] - read_evaluation(scored, "val").threshold).abs().idxmin()
    assert app.selectbox(key="explain:image:widget").value == predictions["path"][nearest]


@pytest.mark.slow
def test_next_steps_through_the_list_and_the_choice_is_kept(run: Run) -> None:
    app = open_page("explain")
    first = app.selectbox(key="explain:image:widget").value
    button(app, "explain:Next").click().run()
    second = app.selectbox(key="explain:image:widget").value
    assert first != second
    assert open_page("explain").selectbox(key="explain:image:widget").value == second


@pytest.mark.slow_but("gradcam", "layercam")
@pytest.mark.parametrize("method", ["gradcam", "gradcam++", "hirescam", "layercam", "eigencam"])
def test_every_method_gives_a_picture(run: Run, method: str) -> None:
    from core.gradcam import METHODS

    preferences.set("explain:method", method)
    app = open_page("explain")
    assert not app.exception and not app.error
    assert pictures(app)["panels"][1]["detail"] == f"{METHODS[method].partition(':')[0]}, last layer (2 × 2)"
    note = pictures(app)["panels"][1]["note"]  # on the picture itself
    assert ("is unsuitable for this network: " in note) == (method in ("gradcam", "gradcam++"))


def test_a_flat_heatmap_is_said_not_stretched(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from core.gradcam import Heatmap

    reason = "nothing at this layer speaks for malignant"
    flat = Heatmap(np.zeros((32, 32), np.float32), True, "gradcam", "act", "malignant", reason)
    monkeypatch.setattr("core.predict.heatmap", lambda *args, **kwargs: flat)
    app = open_page("explain")
    assert not app.exception
    assert pictures(app)["panels"][1]["note"].startswith(f"No heatmap: {reason}.")


@pytest.mark.slow
def test_saving_writes_the_overlay_into_the_run(run: Run) -> None:
    app = open_page("explain")
    button(app, "explain:save").click().run()
    assert not app.exception and not app.error
    (saved,) = (run.path / "explain").iterdir()
    picture = cv2.imread(str(saved))
    assert picture is not None and picture.shape == (1024, 1024, 3)


@pytest.mark.slow
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


@pytest.mark.slow
def test_lesions_are_drawn_where_the_manifest_has_them(run: Run) -> None:
    app = open_page("explain")
    app.selectbox(key="explain:filter:widget").set_value("Malignant").run()
    assert not app.toggle(key="explain:boxes:widget").disabled
    app.selectbox(key="explain:filter:widget").set_value("Benign").run()
    assert app.toggle(key="explain:boxes:widget").disabled


@pytest.mark.slow
def test_an_uploaded_image_is_explained_without_a_truth(run: Run) -> None:
    app = open_page("explain")
    app.button_group(key="explain:source:widget").set_value("upload").run()
    assert "Upload a mammogram" in texts(app)
    content = cv2.imencode(".png", draw_breast(1))[1].tobytes()
    app.file_uploader[0].upload("mine.png", content, "image/png").run()
    assert not app.exception and not app.error
    assert metrics(app)["Truth"] == "not known"


@pytest.mark.slow
def test_an_unreadable_upload_is_shown_as_its_text(run: Run) -> None:
    app = open_page("explain")
    app.button_group(key="explain:source:widget").set_value("upload").run()
    app.file_uploader[0].upload("notes.txt", b"hello", "text/plain").run()
    assert not app.exception
    assert len(app.error) == 1


def without_a_breast() -> AppTest:
    """The page with a black image uploaded."""
    app = open_page("explain")
    app.button_group(key="explain:source:widget").set_value("upload").run()
    content = cv2.imencode(".png", np.zeros((800, 1000, 3), dtype=np.uint8))[1].tobytes()
    app.file_uploader[0].upload("nothing.png", content, "image/png").run()
    assert not app.exception
    return app


@pytest.mark.slow
def test_an_upload_without_a_breast_gets_no_score(run: Run) -> None:
    app = without_a_breast()
    assert "no breast was found" in app.error[0].value and not metrics(app)
    assert [panel["map"] for panel in pictures(app)["panels"]] == [-1]
    next(each for each in app.button if each.label == "Score anyway").click().run()
    assert not app.exception and not app.error
    assert metrics(app)["Decision"] == "none" and metrics(app)["Score"]
    assert any("no breast was found" in each.value and "is not a result" in each.value for each in app.warning)


def test_the_reason_for_no_verdict_is_not_repeated_among_the_warnings(run: Run) -> None:
    app = without_a_breast()
    reason = app.error[0].value.removeprefix("No verdict: ").rstrip(".").lower()
    assert app.warning and not any(each.value.lower() in reason for each in app.warning)


def test_a_damaged_model_is_shown_as_its_text(run: Run) -> None:
    (run.path / "model.safetensors").write_bytes(b"damaged")
    app = open_page("explain")
    assert not app.exception
    assert len(app.error) == 1


@pytest.mark.slow
def test_an_earlier_layer_is_offered_in_plain_words(run: Run) -> None:
    app = open_page("explain")
    layer = app.selectbox(key="explain:layer:widget")
    assert layer.options == ["last layer (2 × 2)", "stage 1 (4 × 4)", "stage 2 (2 × 2)", "stage 3 (2 × 2)"]
    layer.set_value("stages.0").run()
    assert pictures(app)["panels"][1]["detail"] == "HiResCAM, stage 1 (4 × 4)"


@pytest.mark.slow
def test_the_map_can_lie_on_the_original_with_its_lesions(run: Run) -> None:
    preferences.set("explain:place", "original")
    preferences.set("explain:filter", "Malignant")
    app = open_page("explain")
    assert not app.exception and not app.error
    panel = pictures(app)["panels"][1]
    assert pictures(app)["panels"][0]["title"] == "Original, 48 × 64 px"
    np.testing.assert_allclose(
        panel["pane"]["pictures"][0]["lesions"], [[[10, 27], [21, 27], [21, 38], [10, 38]]]
    )  # as the manifest has them
    button(app, "explain:save").click().run()
    (saved,) = (run.path / "explain").iterdir()
    picture = cv2.imread(str(saved))
    assert saved.name.endswith("-original.png") and picture is not None and picture.shape == (1024, 768, 3)


@pytest.mark.slow
def test_both_classes_are_shown_on_one_scale(run: Run) -> None:
    preferences.set("explain:target", "both")
    app = open_page("explain")
    assert not app.exception and not app.error
    shown = pictures(app)
    assert shown["signed"] and shown["panels"][1]["title"] == "Evidence for either class"
    assert shown["scale"][:2] == ["benign", "malignant"]


@pytest.mark.slow
def test_both_views_of_a_breast_stand_side_by_side(run: Run) -> None:
    app = open_page("explain")
    app.button_group(key="explain:beside:widget").set_value("view").run()
    assert not app.exception and not app.error
    shown = pictures(app)["panels"]
    assert [panel["title"] for panel in shown] == ["L CC: evidence for malignant", "L MLO: evidence for malignant"]
    predictor, manifest = Predictor.from_run(run), run.manifest().set_index("path")
    patient = manifest.loc[app.selectbox(key="explain:image:widget").value, "patient_id"]
    for view in ("CC", "MLO"):
        path = manifest.index[(manifest["patient_id"] == patient) & (manifest["view"] == view)][0]
        assert metrics(app)[f"L {view}: score"] == f"{predictor.predict(path).score:.3f}"
    assert not pictures(app)["linked"]


@pytest.mark.slow
def test_two_runs_stand_side_by_side_each_with_its_own_score(run: Run, workspace: Path) -> None:
    second = workspace / "checkpoints" / "other"
    shutil.copytree(run.path, second)
    card = json.loads((second / "model.json").read_text(encoding="utf-8"))
    (second / "model.json").write_text(
        json.dumps(
            card | {"threshold": 0.999, "calibration": {"method": "logistic", "slope": 0.8, "intercept": -0.3, "rows": 20}}
        ),
        encoding="utf-8",
    )
    training_runs.set_current_run("tiny")
    preferences.set("explain:beside", "run")
    app = open_page("explain")
    assert not app.exception and not app.error
    assert set(metrics(app)) == {"tiny: score", "other: score"}
    assert "(benign (< 0.999), calibrated 0." in texts(app).replace("\\", "")
    assert any("chose its threshold on this image" in warning.value for warning in app.warning)


@pytest.mark.slow
def test_a_test_image_of_another_run_stays_closed_until_that_run_s_test_set_is_opened(run: Run, workspace: Path) -> None:
    shutil.copytree(run.path, workspace / "checkpoints" / "other")
    evaluate(run, "test")
    for key, value in (("explain:source", "test"), ("explain:beside", "run"), ("explain:second", "other"), ("run", "tiny")):
        preferences.set(key, value)
    app = open_page("explain")
    assert any("test set of other, which has not been evaluated" in warning.value for warning in app.warning)
    assert set(metrics(app)) == {"Score", "Decision", "Truth"}


def test_score_cam_works_in_the_background_and_is_shown_when_it_is_done(run: Run) -> None:
    preferences.set("explain:method", "scorecam")
    app = open_page("explain")
    wait(app, lambda: any(each.proto.component_name == "mammolab_heat" for each in app.get("bidi_component")))
    assert not app.exception and not app.error
    assert pictures(app)["panels"][1]["detail"].startswith("Score-CAM, last layer")


@pytest.mark.slow
def test_score_cam_can_be_stopped_and_begun_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import core.predict

    gate, compute = threading.Event(), core.predict.heatmap

    def held(*args: Any, progress: Any = None, **options: Any) -> Any:
        if progress is not None:
            progress(1, 24)
            gate.wait(30)
        return compute(*args, progress=progress, **options)

    monkeypatch.setattr("core.predict.heatmap", held)
    preferences.set("explain:method", "scorecam")
    app = open_page("explain")
    button(app, "explain:stop").click().run()
    gate.set()
    wait(app, lambda: any("Stopped after" in info.value for info in app.info))
    assert any("of 24 feature maps" in info.value for info in app.info)
    button(app, "explain:again").click().run()
    wait(app, lambda: any(each.proto.component_name == "mammolab_heat" for each in app.get("bidi_component")))
    assert pictures(app)["panels"][1]["detail"].startswith("Score-CAM, last layer")


@pytest.mark.slow
def test_opacity_and_colours_are_as_they_were_left(run: Run) -> None:
    preferences.set("explain:opacity", 0.8)
    preferences.set("explain:colormap", "viridis")
    preferences.set("explain:outline", False)
    preferences.set("explain:swipe", True)
    shown = pictures(open_page("explain"))
    assert shown["look"] == {"opacity": 0.8, "colormap": "viridis", "outline": False, "swipe": True}
    preferences.set("explain:opacity", "much")
    preferences.set("explain:colormap", "pink")
    preferences.set("explain:outline", None)
    preferences.set("explain:swipe", None)
    shown = pictures(open_page("explain"))
    assert shown["look"] == {"opacity": 0.7, "colormap": "inferno", "outline": True, "swipe": False}
