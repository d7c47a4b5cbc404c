from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from builders.dicom_factory import make_dicom
from builders.lab_pages import draw_breast, figures, galleries, open_page, texts
from streamlit.testing.v1 import AppTest

from core.config import Recipe
from core.images import read
from core.preprocessing import prepare
from core.runs import Run
from dashboard.cache import images, inspections
from dashboard.state import preferences
from dashboard.ui import viewer

STEPS = ["original", "polarity", "background", "crop", "orientation", "window", "clahe", "resize"]


@pytest.fixture
def stack() -> bytes:
    """Three frames, two windows, raw detector data, and a patient."""
    breast = draw_breast(5).astype(np.uint16) * 12
    return make_dicom(
        np.stack([breast, breast // 2, breast // 3]),
        BitsStored=12,
        WindowCenter=[1500, 2000],
        WindowWidth=[2500, 4000],
        PixelSpacing=[0.1, 0.1],
        ImageLaterality="L",
        ViewPosition="MLO",
        PresentationIntentType="FOR PROCESSING",
        PatientName="Doe^Jane",
        PatientID="ID-4711",
        StudyDate="20250102",
    )


def upload(content: bytes, name: str = "Doe_Jane.dcm") -> AppTest:
    app = open_page("inspect")
    if not app.file_uploader:  # there is a data set, with whose images the page begins
        app.button_group(key="inspect:source:widget").set_value("Upload").run()
    app.file_uploader[0].upload(name, content, "application/octet-stream").run()
    return app


def shown(app: AppTest) -> str:
    """All text of the page, the tables' too."""
    return texts(app) + "\n".join(str(element.proto.body) for element in app.get("html"))


def facts(app: AppTest) -> str:
    return next(str(element.proto.body) for element in app.get("html") if "Transfer syntax" in str(element.proto.body))


def recipe_hash(app: AppTest) -> str:
    return next(part.split("`")[1] for part in texts(app).splitlines() if part.startswith("Recipe `"))


def panes(app: AppTest) -> list[dict[str, Any]]:
    """What the viewer is told to show."""
    (element,) = [each for each in app.get("bidi_component") if each.proto.component_name == "mammolab_viewer"]
    found: list[dict[str, Any]] = json.loads(element.proto.json)["panes"]
    return found


def compared(app: AppTest) -> list[str]:
    (pane,) = panes(app)
    return [picture["label"] for picture in pane["pictures"]]


def test_without_data_an_upload_is_asked_for(workspace: Path) -> None:
    app = open_page("inspect")
    assert not app.exception and not app.error
    assert len(app.file_uploader) == 1


def test_every_stage_of_an_image_is_there_in_order_with_its_size(manifest: Path) -> None:
    app = open_page("inspect")
    assert not app.exception and not app.error
    tiles = galleries(app)["inspect:strip"]
    assert [tile["id"] for tile in tiles] == STEPS
    assert tiles[0]["detail"] == "100 × 120"
    assert tiles[-1]["detail"].startswith("320 × 512 · ")
    assert "no change" in tiles[STEPS.index("polarity")]["detail"]
    assert recipe_hash(app) == Recipe().hash
    assert "ms** from file to model input" in texts(app)


@pytest.mark.slow
def test_chosen_stage_is_compared_with_the_one_before(manifest: Path) -> None:
    app = open_page("inspect")
    assert compared(app) == ["CLAHE", "Model input"]
    app.segmented_control(key="inspect:stage:widget").set_value("clahe").run()
    assert not app.exception and not app.error
    assert compared(app) == ["Window", "CLAHE"]
    assert "clip limit" in shown(app)
    drawn = figures(app)["inspect:histogram"]["data"]
    assert [trace["name"] for trace in drawn] == ["Window", "CLAHE"]
    assert sum(drawn[1]["y"]) == pytest.approx(100)
    app.segmented_control(key="inspect:stage:widget").set_value("original").run()
    assert compared(app) == ["As read"]
    assert [trace["name"] for trace in figures(app)["inspect:histogram"]["data"]] == ["As read"]


def test_histogram_is_of_the_breast_or_of_the_whole_image(manifest: Path) -> None:
    app = open_page("inspect")
    inside = figures(app)["inspect:histogram"]["data"][-1]["y"]
    app.segmented_control(key="inspect:pixels:widget").set_value("Whole image").run()
    whole = figures(app)["inspect:histogram"]["data"][-1]["y"]
    pixels = prepare(read(manifest.parent / "p00_CC.png"), Recipe()).pixels
    assert whole == pytest.approx(100 * np.histogram(pixels, 64, (0, 256))[0] / pixels.size)
    assert whole[0] > inside[0]


def test_file_with_frames_and_windows_offers_both_and_tells_everything_but_the_patient(workspace: Path, stack: bytes) -> None:
    app = upload(stack)
    assert not app.exception and not app.error
    assert "FOR PROCESSING" in "".join(str(warning.value) for warning in app.warning)
    assert app.slider[0].label == "Frame, 1 to 3" and app.slider[0].value == 2
    window = next(box for box in app.selectbox if box.label.startswith("Window"))
    assert len(window.options) == 3 and "recipe's" in window.options[1]
    for words in ("left", "MLO", "0.1 mm", "2 of 3", "12 bit", "MONOCHROME2", "FOR PROCESSING"):
        assert words in facts(app)
    assert " mm (" in texts(app)
    everything = shown(app)
    assert not any(part in everything for part in ("Doe", "Jane", "4711", "20250102"))


@pytest.mark.slow
def test_other_frame_gives_other_pixels(workspace: Path, stack: bytes) -> None:
    app = upload(stack)
    app.slider[0].set_value(1).run()
    assert not app.exception and not app.error
    assert "1 of 3" in facts(app)
    assert not any("was taken" in str(warning.value) for warning in app.warning)


def test_other_window_is_tried_here_only_and_says_where_it_is_saved(workspace: Path, stack: bytes) -> None:
    app = upload(stack)
    assert not any("Only here" in str(info.value) for info in app.info)
    next(box for box in app.selectbox if box.label.startswith("Window")).set_value(2).run()
    assert not app.exception and not app.error
    assert any("Only here" in str(info.value) and "training" in str(info.value) for info in app.info)
    assert recipe_hash(app) == Recipe(voi_index=2).hash
    assert any(button.label == "Change it on Preprocess" for button in app.button)
    assert not (workspace / "config.yaml").exists()


def test_pseudonym_is_shown_only_on_request(workspace: Path, stack: bytes) -> None:
    app = upload(stack)
    pseudonym = read(stack).meta.patient
    assert pseudonym and pseudonym not in shown(app)
    app.toggle(key="inspect:pseudonym").set_value(True).run()
    assert pseudonym in facts(app)


@pytest.mark.slow
def test_recipe_of_a_trained_model_can_be_looked_through(run: Run) -> None:
    app = open_page("inspect")
    app.selectbox(key="inspect:recipe:widget").set_value(f"run:{run.name}").run()
    assert not app.exception and not app.error
    assert recipe_hash(app) == run.model_card().recipe_hash


def test_recipe_of_a_model_from_another_version_is_an_error_in_words(run: Run) -> None:
    card = json.loads((run.path / "model.json").read_text(encoding="utf-8"))
    card["recipe"]["unheard_of"] = 1
    (run.path / "model.json").write_text(json.dumps(card), encoding="utf-8")
    app = open_page("inspect")
    app.selectbox(key="inspect:recipe:widget").set_value(f"run:{run.name}").run()
    assert not app.exception
    assert "not one this version knows" in app.error[0].value


@pytest.mark.parametrize("content", [b"hello there", b"", b"\x89PNG\r\n\x1a\nbroken"])
def test_upload_that_is_no_image_is_refused_in_words(workspace: Path, content: bytes) -> None:
    app = upload(content, "note.png")
    assert not app.exception
    assert app.error


def test_image_without_a_breast_is_shown_with_the_doubt(workspace: Path) -> None:
    flat = cv2.imencode(".png", np.full((60, 50), 80, np.uint8))[1].tobytes()
    app = upload(flat, "flat.png")
    assert not app.exception
    assert [error.value for error in app.error] == ["Gate: No verdict\\: no breast was found (the image is uniform)."]
    assert any("No breast was found" in str(warning.value) for warning in app.warning)
    assert "unsure" in [tile["label"] for tile in galleries(app)["inspect:strip"]]


@pytest.mark.slow
def test_stage_kept_from_another_image_does_not_break_the_page(manifest: Path) -> None:
    app = open_page("inspect")
    app.segmented_control(key="inspect:stage:widget").set_value("clahe").run()
    (Path("config.yaml")).write_text("preprocessing:\n  clahe: false\n", encoding="utf-8")
    app.run()
    assert not app.exception and not app.error
    assert "clahe" not in [tile["id"] for tile in galleries(app)["inspect:strip"]]
    assert compared(app) == ["Window", "Model input"]


def test_inspected_pixels_are_those_of_preparation(manifest: Path) -> None:
    path = manifest.parent / "p01_CC.png"
    found = inspections.inspected(images.image_ref(path), Recipe(clip_limit=3.0)).inspection
    assert np.array_equal(found.stages[-1].picture, prepare(read(path), Recipe(clip_limit=3.0)).pixels)


def test_histogram_shares_are_percent_of_64_bins() -> None:
    counts = np.random.default_rng(0).integers(0, 50, 256)
    values = np.repeat(np.arange(256), counts)
    expected = 100 * np.histogram(values, 64, (0, 256))[0] / values.size
    assert inspections.percentages(counts.tolist()) == pytest.approx(expected)
    assert inspections.percentages([0] * 256) == [0.0] * 64


@pytest.mark.slow
def test_the_gate_says_what_speaks_against_a_verdict(run: Run) -> None:
    breast = draw_breast(3, height=64, width=48)
    coloured = np.repeat(breast[..., None], 3, axis=2)
    coloured[..., 0] //= 3
    app = upload(cv2.imencode(".png", coloured)[1].tobytes(), "colour.png")
    assert not app.exception
    assert ["colour image" in error.value for error in app.error] == [True]
    preferences.set("inspect:recipe", f"run:{run.name}")
    app = upload(cv2.imencode(".png", breast)[1].tobytes(), "breast.png")
    assert not app.exception and not app.error
    assert f"Gate of {run.name}: no objection to this image." in texts(app) and "of what is allowed" in texts(app)


def test_lesions_of_the_data_set_are_drawn_in_the_place_of_each_stage_and_the_loupe_begins_there(manifest: Path) -> None:
    frame = pd.read_csv(manifest, dtype=str, keep_default_na=False)
    frame.assign(lesions=["[[20, 50, 40, 70]]", *[""] * 23]).to_csv(manifest, index=False)
    path = str(manifest.parent / "p00_CC.png")
    (pane,) = panes(open_page("inspect", inspect__image=path, inspect__stage="original"))
    assert pane["spot"] == [30, 60]
    assert [np.ptp(points, 0).tolist() for points in pane["pictures"][0]["lesions"]] == [[20, 20]]
    (pane,) = panes(open_page("inspect", inspect__image=path, inspect__stage="crop"))
    before, after = pane["pictures"]
    corner = np.array(after["matrix"][4:])  # the crop lies where it was cut
    assert np.array(after["lesions"][0]) + corner == pytest.approx(np.array(before["lesions"][0]))


# ---------------------------------------------------------------- several images of an examination


@pytest.fixture
def examination(workspace: Path) -> Path:
    """Four images of a patient, right ones mirrored; of another one an image whose other view cannot be read."""
    folder = workspace / "data" / "four"
    folder.mkdir(parents=True)
    rows = []
    for number, (side, view) in enumerate((("L", "CC"), ("L", "MLO"), ("R", "CC"), ("R", "MLO"))):
        breast = draw_breast(number)
        cv2.imwrite(str(folder / f"{side}{view}.png"), breast[:, ::-1] if side == "R" else breast)
        rows.append(("P1", side, view, f"{side}{view}.png"))
    cv2.imwrite(str(folder / "alone.png"), draw_breast(9))
    (folder / "bad.png").write_bytes(b"no image")
    rows += [("P2", "R", "CC", "alone.png"), ("P2", "R", "MLO", "bad.png")]
    frame = pd.DataFrame(rows, columns=["patient_id", "laterality", "view", "path"])
    frame.assign(label="benign", split="").to_csv(folder / "manifest.csv", index=False)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("views", "titles", "anchors"),
    [
        ("views", ["L CC", "L MLO"], ["center", "center"]),
        ("breasts", ["R MLO", "L MLO"], ["right", "left"]),
        ("all", ["R CC", "L CC", "R MLO", "L MLO"], ["right", "left", "right", "left"]),
    ],
    ids=["views", "breasts", "all"],
)
def test_images_of_an_examination_hang_as_a_radiologist_hangs_them(
    examination: Path, views: str, titles: list[str], anchors: list[str]
) -> None:
    chosen = {"inspect__image": str(examination / "LMLO.png"), "inspect__views": views}
    found = panes(open_page("inspect", **chosen, inspect__stage="original"))
    assert [pane["title"] for pane in found] == titles
    assert [pane["anchor"] for pane in found] == anchors
    assert not any(pane["mirrored"] for pane in found), "as they are stored the chest walls meet already"
    turned = panes(open_page("inspect", **chosen, inspect__stage="resize"))
    assert [pane["mirrored"] for pane in turned] == [anchor == "right" for anchor in anchors]


def test_an_image_that_cannot_be_read_says_why_in_its_pane(examination: Path) -> None:
    app = open_page("inspect", inspect__image=str(examination / "alone.png"), inspect__views="views")
    assert not app.exception and not app.error
    good, bad = panes(app)
    assert good["pictures"] and not good["problem"]
    assert not bad["pictures"] and "bad.png" in bad["problem"]


def test_an_image_whose_chest_wall_nobody_finds_hangs_as_it_is_stored(workspace: Path) -> None:
    path = workspace / "flat.png"
    cv2.imwrite(str(path), np.full((60, 50), 80, np.uint8))
    for side in ("left", "right"):
        assert not viewer.pane(images.image_ref(path), Recipe(), "original", hung=side).data()["mirrored"]


@pytest.mark.slow
def test_views_are_offered_only_where_there_are_others(examination: Path, manifest: Path) -> None:
    app = open_page("inspect", inspect__image=str(examination / "alone.png"))
    offered = next(each for each in app.selectbox if each.key == "inspect:views:widget").options
    assert offered == ["This image", "Both views"]
    assert "inspect:views:widget" not in {
        each.key for each in upload(cv2.imencode(".png", draw_breast(1))[1].tobytes()).selectbox
    }


@pytest.mark.slow
def test_a_mask_that_is_gone_is_a_warning_and_no_error(manifest: Path) -> None:
    frame = pd.read_csv(manifest, dtype=str, keep_default_na=False)
    frame.assign(lesions=['[{"mask": "gone.png"}]', *[""] * 23]).to_csv(manifest, index=False)
    for view in ("inspect", "preprocess"):
        app = open_page(view, **{f"{view}__image": str(manifest.parent / "p00_CC.png")})
        assert not app.exception and not app.error
        assert any("cannot be drawn" in warning.value and "gone" in warning.value for warning in app.warning)
