from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from lab_pages import draw_breast, open_page, texts

from core.config import Recipe, load_config
from core.images import read
from core.preprocessing import prepare
from dashboard import preview, services


def test_without_data_an_upload_is_asked_for(workspace: Path) -> None:
    app = open_page("preprocess")
    assert not app.exception and not app.error
    assert len(app.file_uploader) == 1


def test_a_slider_changes_the_draft_and_undo_takes_it_back(manifest: Path) -> None:
    app = open_page("preprocess")
    assert not app.exception and not app.error
    app.slider(key="recipe:clip_limit").set_value(4.0).run()
    assert app.slider(key="recipe:clip_limit").value == 4.0
    assert "Not saved yet" in texts(app)
    next(button for button in app.button if button.label == "Undo").click().run()
    assert app.slider(key="recipe:clip_limit").value == Recipe().clip_limit


def test_the_draft_survives_a_page_change_and_a_new_session(manifest: Path) -> None:
    app = open_page("preprocess")
    app.slider(key="recipe:tile_grid").set_value(12).run()
    app.switch_page("views/data.py").run()
    app.switch_page("views/preprocess.py").run()
    assert app.slider(key="recipe:tile_grid").value == 12
    assert open_page("preprocess").slider(key="recipe:tile_grid").value == 12


def test_use_for_training_writes_the_recipe_and_keeps_the_rest(manifest: Path, workspace: Path) -> None:
    (workspace / "config.yaml").write_text("# mine\ntraining:\n  epochs: 3\n", encoding="utf-8")
    app = open_page("preprocess")
    app.slider(key="recipe:window").set_value((2.0, 98.0)).run()
    app.selectbox(key="recipe:size").set_value(512).run()
    next(button for button in app.button if button.label == "Use for training").click().run()
    assert not app.exception and not app.error
    config = load_config(workspace / "config.yaml")
    assert (config.preprocessing.window_low, config.preprocessing.window_high, config.preprocessing.size) == (2.0, 98.0, 512)
    assert config.training.epochs == 3
    assert "# mine" in (workspace / "config.yaml").read_text(encoding="utf-8")
    assert "This is the recipe that training uses" in texts(app)


def test_an_upload_that_is_no_image_is_refused_in_words(workspace: Path) -> None:
    app = open_page("preprocess")
    app.file_uploader[0].upload("note.txt", b"hello there", "text/plain").run()
    assert not app.exception
    assert app.error


def test_an_uploaded_png_is_prepared(workspace: Path) -> None:
    app = open_page("preprocess")
    app.file_uploader[0].upload("a.png", cv2.imencode(".png", draw_breast(1))[1].tobytes(), "image/png").run()
    assert not app.exception and not app.error
    assert "What the model sees" in texts(app)


def test_the_model_input_shown_is_the_array_of_prepare(manifest: Path) -> None:
    path = manifest.parent / "p00_CC.png"
    recipe = Recipe(clip_limit=3.0)
    shown = services.prepared(services.image_ref(path), recipe)
    expected = prepare(read(path), recipe)
    assert np.array_equal(shown.pixels, expected.pixels)
    assert shown.recipe_hash == expected.recipe_hash


def test_before_and_after_have_one_geometry_and_differ_only_in_grey_levels(manifest: Path) -> None:
    view = services.preview(services.image_ref(manifest.parent / "p01_CC.png"), Recipe(clip_limit=6.0))
    before, after = (cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE) for jpeg in (view.before, view.after))
    assert before.shape == after.shape
    assert not np.array_equal(before, after)
    assert view.histogram_after.sum() == pytest.approx(100)


def test_a_preview_is_shrunk_and_never_enlarged() -> None:
    assert preview.fit(np.zeros((3000, 1500), np.uint8), 1024).shape == (1024, 512)
    assert preview.fit(np.zeros((30, 15), np.uint8), 1024).shape == (30, 15)
