from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from builders.lab_pages import button, draw_breast, keys, open_page, tables, texts, wait_until
from builders.toy_training import draw_frame, toy_probe
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian
from streamlit.testing.v1 import AppTest

from core.config import Recipe, load_config
from core.data import write_manifest
from core.errors import RecipeMismatch
from core.images import read
from core.preprocessing import prepare
from core.runs import Run
from dashboard.cache import images, results
from dashboard.state import datasets, models, preferences, studies, tasks
from dashboard.views.preprocess import recipes


def write_dicom(path: Path, pixels: np.ndarray, windows: tuple[tuple[int, int], ...]) -> None:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.Modality, data.PhotometricInterpretation, data.PresentationIntentType = "MG", "MONOCHROME2", "FOR PRESENTATION"
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PixelRepresentation = 1, 0
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit = 15
    data.WindowCenter = [center for center, _ in windows]
    data.WindowWidth = [width for _, width in windows]
    data.PixelData = pixels.astype("<u2").tobytes()
    data.save_as(path, enforce_file_format=True)


def press(app: AppTest, label: str) -> AppTest:
    return next(button for button in app.button if button.label == label).click().run()


def choose_preset(app: AppTest, name: str) -> AppTest:
    return app.selectbox(key="preprocess:preset").set_value(name).run()


def draft_of(app: AppTest) -> Recipe:
    kept = app.session_state["chosen:preprocess:recipe"]
    return Recipe.model_validate(kept) if kept else Recipe()


def test_without_data_an_upload_is_asked_for(workspace: Path) -> None:
    app = open_page("preprocess")
    assert not app.exception and not app.error
    assert len(app.file_uploader) == 1


@pytest.mark.slow
def test_a_change_can_be_undone_and_done_again(manifest: Path) -> None:
    app = open_page("preprocess")
    assert not app.exception and not app.error
    choose_preset(app, "Strong")
    assert draft_of(app).clip_limit == 4.0
    assert "Not saved yet" in texts(app)
    press(app, "Undo")
    assert draft_of(app) == Recipe()
    press(app, "Redo")
    assert draft_of(app).clip_limit == 4.0
    press(app, "Undo")
    choose_preset(app, "Gentle")  # a new change: nothing is left to redo
    assert next(button for button in app.button if button.label == "Redo").disabled


@pytest.mark.slow
def test_what_can_be_undone_outlives_a_reload(manifest: Path) -> None:
    choose_preset(open_page("preprocess"), "Strong")
    app = open_page("preprocess")  # a new session, as after a reload
    assert draft_of(app).clip_limit == 4.0
    press(app, "Undo")
    assert draft_of(app) == Recipe()


@pytest.mark.slow
def test_reset_can_be_undone(manifest: Path) -> None:
    app = open_page("preprocess")
    choose_preset(app, "Strong")
    press(app, "Reset")
    assert draft_of(app) == Recipe()
    press(app, "Undo")
    assert draft_of(app).clip_limit == 4.0


@pytest.mark.slow
def test_the_draft_survives_a_page_change_and_a_new_session(manifest: Path) -> None:
    app = open_page("preprocess")
    app.slider(key="recipe:crop_margin").set_value(0.1).run()
    app.switch_page("views/data/data.py").run()
    app.switch_page("views/preprocess/preprocess.py").run()
    assert app.slider(key="recipe:crop_margin").value == 0.1
    assert open_page("preprocess").slider(key="recipe:crop_margin").value == 0.1


@pytest.mark.slow
def test_use_for_training_writes_the_recipe_and_keeps_the_rest(manifest: Path, workspace: Path) -> None:
    (workspace / "config.yaml").write_text("# mine\ntraining:\n  epochs: 3\n", encoding="utf-8")
    app = open_page("preprocess")
    choose_preset(app, "Microcalcifications")
    app.selectbox(key="recipe:size").set_value(512).run()
    app.toggle(key="recipe:pectoral").set_value(True).run()
    press(app, "Use for training")
    assert not app.exception and not app.error
    config = load_config(workspace / "config.yaml")
    assert (config.preprocessing.tile_grid, config.preprocessing.size, config.preprocessing.pectoral) == (16, 512, True)
    assert config.training.epochs == 3
    assert "# mine" in (workspace / "config.yaml").read_text(encoding="utf-8")
    assert "This is the recipe that training uses" in texts(app)


@pytest.mark.slow
def test_own_presets_are_kept_renamed_and_deleted(manifest: Path) -> None:
    app = open_page("preprocess")
    choose_preset(app, "Strong")
    app.text_input(key="preprocess:preset_name").set_value("My scanner").run()
    press(app, "Save as preset")
    assert any("My scanner" in option for option in app.selectbox(key="preprocess:preset").options)
    choose_preset(app, "Standard")
    fresh = open_page("preprocess")  # another session of the same workspace
    choose_preset(fresh, "My scanner")
    assert draft_of(fresh).clip_limit == 4.0
    fresh.text_input(key="preprocess:preset_rename").set_value("Film").run()
    press(fresh, "Rename")
    offered = fresh.selectbox(key="preprocess:preset").options
    assert sum("Film" in option for option in offered) == 1 and not any("My scanner" in option for option in offered)
    press(fresh, "Delete Film")
    assert not any("Film" in option for option in fresh.selectbox(key="preprocess:preset").options)
    assert draft_of(fresh).clip_limit == 4.0  # the settings stay


@pytest.mark.slow
def test_a_preset_needs_a_name_of_its_own(manifest: Path) -> None:
    app = open_page("preprocess")
    app.text_input(key="preprocess:preset_name").set_value("Strong").run()
    press(app, "Save as preset")
    assert "choose another name" in texts(app)


def test_an_upload_that_is_no_image_is_refused_in_words(workspace: Path) -> None:
    app = open_page("preprocess")
    app.file_uploader[0].upload("note.txt", b"hello there", "text/plain").run()
    assert not app.exception
    assert app.error[0].value.replace("\\", "").startswith("note.txt: expected a DICOM, PNG")


def test_an_uploaded_png_is_prepared(workspace: Path) -> None:
    app = open_page("preprocess")
    app.file_uploader[0].upload("a.png", cv2.imencode(".png", draw_breast(1))[1].tobytes(), "image/png").run()
    assert not app.exception and not app.error
    assert "What the model sees" in texts(app)


def test_the_model_input_shown_is_the_array_of_prepare(manifest: Path) -> None:
    path = manifest.parent / "p00_CC.png"
    recipe = Recipe(clip_limit=3.0)
    shown = images.prepared(images.image_ref(path), recipe)
    expected = prepare(read(path), recipe)
    assert np.array_equal(shown.pixels, expected.pixels)
    assert shown.recipe_hash == expected.recipe_hash


@pytest.mark.slow
def test_a_model_of_another_recipe_is_warned_about_and_scores_only_when_asked(run: Run) -> None:
    app = open_page("preprocess")
    assert not app.exception and not app.error and not app.warning
    choose_preset(app, "Strong")
    assert any("tiny was trained with another recipe" in each.value and "CLAHE" in each.value for each in app.warning)
    assert not app.metric
    app.toggle(key="preprocess:score:widget").set_value(True).run()
    assert not app.exception and not app.error
    assert [each.label for each in app.metric] == ["With these settings", "With its own recipe", "Threshold"]
    assert "A what-if" in texts(app)


def test_what_if_is_the_models_own_score_under_its_own_recipe_and_refuses_another_size(run: Run) -> None:
    path = next((run.path.parents[1] / "data").glob("**/*.png"))
    model = models.predictor(run)
    image = images.image_ref(path)
    own = images.prepared(image, model.recipe)
    (expected,) = model.score_pixels(own.pixels[None])
    assert results.what_if(run, image, model.recipe).prediction.score == pytest.approx(expected, abs=1e-6)
    other = model.recipe.model_copy(update={"gamma": 3.0, "size": 99})  # the size is the model's whatever the draft says
    found = results.what_if(run, image, other).prediction
    assert found.prepared.pixels.shape == model.recipe.shape and 0 <= found.score <= 1
    with pytest.raises(RecipeMismatch, match="size of the model's images"):
        model.what_if(images.prepared(image, other), images.mammogram(image, other))


def open_file(path: Path) -> AppTest:
    app = open_page("preprocess")
    app.session_state["chosen:preprocess:source"] = "File path"
    app.session_state["chosen:preprocess:path"] = str(path)
    return app.run()


@pytest.mark.slow
def test_a_page_of_a_file_with_several_can_be_chosen(manifest: Path, workspace: Path) -> None:
    path = workspace / "stack.tiff"
    cv2.imwritemulti(str(path), [draw_breast(1), np.rot90(draw_breast(2), 2)])
    app = open_file(path)
    assert not app.exception and not app.error
    (frame,) = [each for each in app.number_input if each.label == "Frame, of 2"]
    assert frame.value == 1
    frame.set_value(2).run()
    assert not app.exception and not app.error
    assert [each.value for each in app.number_input if each.label == "Frame, of 2"] == [2]


@pytest.mark.slow
def test_a_window_of_a_file_with_several_can_be_chosen(manifest: Path, workspace: Path) -> None:
    path = workspace / "large.dcm"
    write_dicom(path, draw_breast(4).astype(np.uint16) * 257, windows=((32768, 65536), (40000, 20000)))
    app = open_file(path)
    assert not app.exception and not app.error
    choice = app.selectbox(key="recipe:voi_index")
    assert len(choice.options) == 3 and choice.value == 1
    choice.set_value(2).run()
    assert not app.exception and not app.error
    assert draft_of(app).voi_index == 2
    image = images.image_ref(path)
    first, second = (images.mammogram(image, Recipe(voi_index=voi)).pixels for voi in (1, 2))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("count", ["6", "12"])
def test_the_wall_shows_as_many_images_as_asked(manifest: Path, count: str) -> None:
    app = open_page("preprocess")
    app.session_state["chosen:preprocess:wall"] = count
    app.run()
    assert not app.exception and not app.error
    grids = [each.proto for each in app.get("bidi_component") if each.proto.component_name == "mammolab_grid"]
    assert len(grids) == 1
    assert grids[0].json.count('"caption"') == int(count)


def bench_of(app: AppTest) -> dict[str, Any]:
    """What the page sends to the picture."""
    element = next(each for each in app.get("bidi_component") if each.proto.component_name == "mammolab_preview")
    found: dict[str, Any] = json.loads(element.proto.json)
    return found


@pytest.mark.slow
def test_an_image_that_is_stored_inverted_is_tagged_and_can_be_shown_so(manifest: Path) -> None:
    app = open_page("preprocess")
    assert "inverted" not in texts(app) and not bench_of(app)["as_stored"]
    path = datasets.manifest_frame(manifest)["path"].iloc[0]
    cv2.imwrite(path, 255 - draw_breast(1))
    app = open_page("preprocess")
    assert "inverted" in texts(app) and not bench_of(app)["as_stored"]
    app.button_group(key="preprocess:stored:widget").set_value("stored").run()
    assert bench_of(app)["as_stored"]


@pytest.mark.slow
def test_the_loupe_begins_at_the_lesion_that_the_data_set_knows(manifest: Path) -> None:
    assert bench_of(open_page("preprocess"))["spot"] is None
    frame = pd.read_csv(manifest)
    frame["lesions"] = "[[20, 50, 40, 70]]"
    frame.to_csv(manifest, index=False)
    bench = bench_of(open_page("preprocess"))
    x, y = bench["spot"]
    assert 0 < x < 1 and 0 < y < 1
    (outline,) = bench["lesions"]
    middle = np.mean(outline, axis=0) / bench["size"]
    assert middle == pytest.approx((x, y)), "drawn where the loupe begins"
    preferences.set("preprocess:outlines", False)
    bench = bench_of(open_page("preprocess"))
    assert bench["lesions"] == [] and bench["spot"] == [x, y]


@pytest.mark.slow
def test_factory_settings_are_the_defaults_whatever_the_configuration_says_and_can_be_undone(manifest: Path) -> None:
    app = open_page("preprocess")
    assert next(each for each in app.button if each.label == "Factory settings").disabled
    choose_preset(app, "Strong")
    press(app, "Factory settings")
    assert draft_of(app) == Recipe()
    press(app, "Undo")
    assert draft_of(app).clip_limit == 4.0


def test_every_preset_says_what_it_is_for(manifest: Path) -> None:
    assert list(recipes.DESCRIPTIONS) == list(recipes.PRESETS)
    app = choose_preset(open_page("preprocess"), "Microcalcifications")
    assert recipes.DESCRIPTIONS["Microcalcifications"] in texts(app)


@pytest.mark.slow
def test_a_changed_recipe_is_compared_with_the_one_that_training_uses(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (workspace / "data").mkdir(exist_ok=True)
    write_manifest(draw_frame(workspace / "data" / "images"), workspace / "data" / "toy.csv")
    monkeypatch.setattr("dashboard.views.preprocess.does_it_help.FOLDS", 2)
    monkeypatch.setattr("core.studies.quick_probe._with_weights", toy_probe)
    app = open_page("preprocess")
    assert "preprocess:help" not in keys(app) and "Change a setting above" in texts(app)
    choose_preset(app, "No CLAHE")
    app = open_page("preprocess")
    assert "Contrast-limited" in texts(app) or "CLAHE off instead of on" in texts(app)
    button(app, "preprocess:help").click().run()
    task = tasks.task(studies.QUICK)
    assert task is not None
    wait_until(lambda: not task.running)
    assert task.state == "done", task.error
    app = open_page("preprocess")
    assert "A probe is not a full training" in texts(app) and "clahe false" in tables(app)
    choose_preset(app, "Strong")
    assert "A probe is not a full training" not in texts(open_page("preprocess")), "that answered another question"


@pytest.mark.slow
def test_opening_the_page_needs_no_torch(workspace: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import dashboard.views.preprocess.does_it_help, sys; sys.exit('torch' in sys.modules)"],
        check=False,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr.decode()
