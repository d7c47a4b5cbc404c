from __future__ import annotations

import base64
import json
import re
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from builders.lab_pages import draw_breast, open_page, texts, untrained_run

from core.images import read
from core.preprocessing import prepare
from dashboard.state import datasets, models, settings, training_runs

pytestmark = pytest.mark.filterwarnings("default")  # of Gradio's own imports


@pytest.fixture
def trained(manifest: Path) -> str:
    return untrained_run(manifest).name


def test_without_a_model_the_page_leads_to_training(manifest: Path) -> None:
    app = open_page("test_image")
    assert not app.exception and not app.error
    assert "No trained model yet" in texts(app)
    assert [button.label for button in app.button] == ["Train a model"]


def test_with_a_model_the_tab_is_shown_from_the_same_origin(trained: str) -> None:
    app = open_page("test_image")
    assert not app.exception and not app.error
    (frame,) = [each for each in app.get("bidi_component") if each.proto.component_name == "mammolab_frame"]
    query = json.loads(frame.proto.json)["query"]
    assert query.startswith(f"run={trained}&of=") and str(settings.workspace()) not in query


def test_a_score_comes_with_its_threshold_and_decision_in_words(trained: str, manifest: Path) -> None:
    from dashboard.asgi.one_image import score

    found = score(trained, str(manifest.parent / "p00_CC.png"))
    words = found.verdict + found.details
    assert found.frames == (0, 1) and not found.refused
    assert "The model calls this image <b>" in words
    assert "the model's threshold 0.310 (chosen for 0.90 sensitivity on validation)" in words
    assert words.index("synthetic") < words.index("calls this image"), "a warning comes before what it warns of"
    assert "A score is not a probability" in words and "validation images" not in words
    assert found.pixels is not None and found.values is not None and found.pixels.shape == found.values.shape == (64, 64)


def test_errors_are_text_in_the_place_of_the_verdict(trained: str, manifest: Path, tmp_path: Path) -> None:
    from dashboard.asgi.one_image import score

    note = tmp_path / "<b>note.txt"
    note.write_text("hello", encoding="utf-8")
    for run, path in (
        (trained, str(note)),
        ("gone", str(manifest)),
        (None, str(manifest)),
        (trained, str(tmp_path / "no.png")),
    ):
        found = score(run, path)
        assert 'class="error"' in found.verdict and "<b>note" not in found.verdict
        assert found.frames is found.pixels is found.values is None and not found.refused and not found.pictures


def test_examples_take_labels_in_turn_and_prefer_validation(manifest: Path) -> None:
    from dashboard.asgi import gradio_tab

    frame = datasets.manifest_frame(manifest)
    rows = gradio_tab.example_rows(frame)
    assert len(rows) == gradio_tab.EXAMPLES and rows["patient_id"].is_unique
    assert list(rows["label"][:2]) == ["benign", "malignant"]
    frame.loc[:5, "split"] = "test"
    frame.loc[6:11, "split"] = "val"
    assert set(gradio_tab.example_rows(frame)["split"]) == {"val"}


def test_an_example_outside_the_list_is_not_a_path() -> None:
    from dashboard.asgi import gradio_tab

    @dataclass
    class Event:
        index: int = field(default=5)

    assert gradio_tab.pick_example(["a"], Event())[3] == ""  # type: ignore[arg-type]
    for place in (5, -1, None, "0"):
        assert gradio_tab.pick_upload(["a"], place)[0] == ""  # type: ignore[arg-type]


def test_of_many_uploads_the_first_is_scored_and_each_can_be_chosen(tmp_path: Path) -> None:
    from dashboard.asgi import gradio_tab

    files = [str(tmp_path / f"drop{number}.png") for number in range(gradio_tab.MOST + 2)]
    used, menu, examples, path, *_ = gradio_tab.taken(files, [(b"jpeg", "benign")])
    assert len(used) == gradio_tab.MOST and path == files[0] and menu.visible
    assert menu.choices[2] == ("3 of 50: drop2.png", 2) and "2 more were not taken" in menu.label
    assert examples != gradio_tab.taken(files, [(b"jpeg", "benign")])[2], "drawn anew: no example is chosen any more"
    assert gradio_tab.pick_upload(used, 2)[0] == files[2]
    assert not gradio_tab.taken(files[:1], [])[1].visible


def test_the_menu_follows_a_run_that_is_renamed(trained: str) -> None:
    from dashboard.asgi import gradio_tab

    known = gradio_tab.offered()
    run = training_runs.open_run(trained)
    assert [each.get("__type__") for each in gradio_tab.current_names(trained, "", known)] == ["update"] * 3  # nothing new
    run.rename("second")
    menu, other, now = gradio_tab.current_names(trained, trained, known)
    assert menu.value == other.value == "second" and list(now) == ["second"] and menu.choices == [("second", "second")]
    assert not other.visible, "there is no other model to compare with"
    run.delete()
    menu, other, now = gradio_tab.current_names("second", "second", now)
    assert menu.value is None and other.value == "" and now == {}


def test_a_score_is_placed_among_validation_images(trained: str, manifest: Path) -> None:
    from core.metrics.placing import Reference
    from dashboard.asgi import prediction_html
    from dashboard.asgi.one_image import score

    run = training_runs.open_run(trained)
    (run.path / "predictions").mkdir()
    rows = [f"{label},{score},p{number}" for number, (label, score) in enumerate([("benign", 0.0), ("malignant", 1.0)] * 4)]
    (run.path / "predictions" / "val.csv").write_text("\n".join(["label,score,patient_id", *rows]), encoding="utf-8")
    words = score(trained, str(manifest.parent / "p00_CC.png")).verdict
    assert "Its score is higher than 100 % of the benign and 0 % of the malignant validation images." in words
    assert 'role="img" aria-label="Its score is higher' in words
    drawn = prediction_html.strip(0.9, 0.5, Reference.of(["benign", "malignant"], [0.2, 0.8]))
    assert drawn.count('<rect class="benign"') == drawn.count('<rect class="malignant"') == 1


def test_pictures_have_texts_and_the_map_can_be_dimmed() -> None:
    from dashboard.asgi import prediction_html

    pixels, values = np.zeros((40, 30), np.uint8), np.zeros((40, 30), np.float32)
    values[35, 2] = 1
    shown = prediction_html.pictures(pixels, values, name="<x>.png")
    assert 'alt="&lt;x&gt;.png as the model sees it, 30 × 40 pixels"' in shown and "strongest in the lower left" in shown
    assert 'name="opacity"' in shown and 'name="map"' in shown and 'class="bar"' in shown and "<x>" not in shown
    assert 'name="opacity"' not in prediction_html.pictures(pixels, None, name="x")
    assert prediction_html.pictures(None, None, name="x") == ""


def test_result_of_a_file_that_is_no_longer_chosen_is_not_shown() -> None:
    from dashboard.asgi import gradio_tab

    count = [0]
    slow = gradio_tab.unless_overtaken(count, {"verdict": "wait"}, lambda: {"verdict": "slow"})
    assert next(slow) == {"verdict": "wait"}
    quick = gradio_tab.unless_overtaken(count, {"verdict": "wait"}, lambda: {"verdict": "quick"})
    assert list(quick) == [{"verdict": "wait"}, {"verdict": "quick"}]
    assert list(slow) == []
    cleared = gradio_tab.unless_overtaken(count, {}, lambda: {"verdict": "late"})
    next(cleared)
    gradio_tab.emptied(count)
    assert list(cleared) == []


def test_scoring_is_one_event_which_the_page_cannot_lose() -> None:
    from gradio import EventData, SelectData, helpers

    from dashboard.asgi import gradio_tab

    blocks = gradio_tab.build()
    (select,) = [each for each in blocks.fns.values() if each.fn.__name__ == "picked"]
    event = EventData(None, {"index": 1, "value": ""})
    given, *_ = helpers.special_args(select.fn, list(range(len(select.inputs))), None, event)
    assert given[:-1] == list(range(9)) and isinstance(given[-1], SelectData) and given[-1].index == 1
    with_score = [each for each in blocks.config["dependencies"] if each["types"]["generator"]]
    assert [each["trigger_mode"] for each in with_score] == [*["multiple"] * 8, "once"], "the last one: of many images"
    assert not {name for each in with_score for _, name in each["targets"]} & {"input", "change"}, "two for each choice"
    assert all(each["queue"] is not False for each in blocks.config["dependencies"]), "others are refused by the gate"
    assert not any(each["trigger_after"] is not None for each in blocks.config["dependencies"])


def test_frame_of_a_stack_can_be_chosen_and_the_default_says_which_was_taken(trained: str, tmp_path: Path) -> None:
    from dashboard.asgi import gradio_tab
    from dashboard.asgi.one_image import score

    stack = np.stack([draw_breast(3), draw_breast(3) // 2, draw_breast(3) // 4])
    path = tmp_path / "stack.tif"
    assert cv2.imwritemulti(str(path), list(stack))
    first, last = score(trained, str(path)), score(trained, str(path), 2)
    assert first.frames == (0, 3) and "the first was taken" in first.verdict
    assert last.frames == (2, 3) and "was taken" not in last.verdict
    slider = gradio_tab.frame_choice(last.frames)
    assert (slider.visible, slider.minimum, slider.maximum, slider.value) == (True, 1, 3, 3)
    assert "3 was scored" in slider.label
    assert gradio_tab.frame_choice((0, 1)).visible is False
    recipe = models.predictor(training_runs.open_run(trained)).recipe
    assert np.array_equal(last.pixels, prepare(read(path, window=recipe.voi_index, frame=2), recipe).pixels)


def test_an_image_without_a_verdict_says_why_and_its_score_is_marked(trained: str, tmp_path: Path) -> None:
    from dashboard.asgi.one_image import score

    grey = tmp_path / "grey.png"
    cv2.imwrite(str(grey), np.full((160, 120), 128, np.uint8))
    found = score(trained, str(grey))
    words = found.verdict + found.details
    assert found.frames == (0, 1) and found.pixels is not None and found.values is None and found.refused
    assert "No verdict: no breast was found" in words and 'class="score"' not in words
    for decision in ("calls this image", "malignant", "benign"):
        assert decision not in words
    found = score(trained, str(grey), anyway=True)
    words = found.verdict + found.details
    assert "Scored anyway." in words and "No verdict: no breast was found" in words and 'class="score"' in words
    assert "calls this image" not in words and found.values is not None and not found.refused


def test_lesions_of_the_data_set_are_drawn_over_both_pictures_and_can_be_switched_off(trained: str, manifest: Path) -> None:
    from dashboard.asgi.one_image import score

    path = str(manifest.parent / "p00_CC.png")
    none = score(trained, path).outlines
    frame = pd.read_csv(manifest, dtype=str, keep_default_na=False)
    frame.assign(lesions=["[[20, 50, 40, 70]]", *[""] * 23]).to_csv(manifest, index=False)
    result = score(trained, path)
    ((first, *rest),) = result.outlines
    assert none == () and len(rest) == 3 and all(0 <= x <= 64 and 0 <= y <= 64 for x, y in (first, *rest))
    pictures = result.pictures
    assert pictures.count('<svg class="lesions" viewBox="0 0 64 64"') == 2 and 'name="lesions"' in pictures
    assert "lesions" not in replace(result, outlines=()).pictures


def test_two_models_judge_an_image_side_by_side(trained: str, manifest: Path) -> None:
    from dashboard.asgi import gradio_tab
    from dashboard.asgi.one_image import score

    shutil.copytree(training_runs.open_run(trained).path, settings.checkpoints() / "other")
    path = str(manifest.parent / "p00_CC.png")
    results = [score(trained, path), score("other", path)]
    _, words, pictures, details, insist, shown, saving, _ = gradio_tab.apply_results(results)
    assert not insist.visible and saving.visible and shown == tuple(results)
    assert words.index(f"<h3>{trained}</h3>") < words.index("<h3>other</h3>")
    assert pictures.index(f"<figcaption>{trained}</figcaption>") < pictures.index("<figcaption>other</figcaption>")
    assert details.count('class="score"') == 2
    assert pictures.count('name="opacity"') == 1, "one control for both"
    assert words.count('class="decision') == 2 and pictures.count('class="map"') == 2
    assert "<h3>" not in gradio_tab.apply_results(results[:1])[1]


@pytest.mark.slow
def test_a_result_is_saved_as_a_page_that_names_no_file_unless_asked_to(trained: str, manifest: Path) -> None:
    from dashboard.asgi import gradio_tab
    from dashboard.asgi.one_image import page, score

    result = score(trained, str(manifest.parent / "p00_CC.png"))
    link = gradio_tab.saved_page((result,), False)
    data = re.search(r'download="mammolab-[^"]+\.pdf" href="data:application/pdf;base64,([^"]+)"', link)
    own = page((result,))
    assert data is not None and base64.b64decode(data[1]) == own != page((result,), with_name=True)
    assert 'class="error"' in gradio_tab.saved_page((), False) and "a scored image" in gradio_tab.saved_page((), False)
