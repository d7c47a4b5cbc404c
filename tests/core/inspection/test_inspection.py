"""The Inspector's material: the very stages of the preparation, with figures that anyone can check."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent / "images"))
from builders.dicom_factory import make_dicom

from core.config import Recipe
from core.images import read, to_uint8
from core.images.mammogram import ImageMeta, Mammogram
from core.inspection import Inspection, facts, geometry, inspect, inspect_image, to_html
from core.preprocessing import analyse, prepare, stages
from core.preprocessing.geometry import map_points

RECIPE = Recipe(size=(96, 64), pectoral=True, gamma=1.2)
PERSON = ("Doe", "Jane", "4711", "19600229", "20250102")


def breast(height: int = 300, width: int = 220, *, chest_wall: str = "right") -> np.ndarray:
    """12-bit grey levels of a half ellipse with texture on air, and a burned-in label."""
    random = np.random.default_rng(3)
    image = np.zeros((height, width), np.uint8)
    cv2.ellipse(image, (0, height // 2), (int(width * 0.7), int(height * 0.4)), 0, -90, 90, 255, -1)
    levels = np.where(image > 0, 1500 + random.normal(0, 200, image.shape), 20).clip(0, 4095).astype(np.uint16)
    levels[8:24, width - 40 : width - 8] = 4000
    return levels[:, ::-1].copy() if chest_wall == "right" else levels


def mammogram_file(**elements: object) -> bytes:
    described = {
        "BitsStored": 12,
        "PatientName": "Doe^Jane",
        "PatientID": "ID-4711",
        "PatientBirthDate": "19600229",
        "StudyDate": "20250102",
        "AccessionNumber": "ACC4711",
        "ImageLaterality": "R",
        "ViewPosition": "CC",
        "Manufacturer": "ACME",
        "PixelSpacing": [0.07, 0.07],
        "PresentationIntentType": "FOR PROCESSING",
        "WindowCenter": [1500, 2000],
        "WindowWidth": [2500, 4000],
    }
    return make_dicom(breast(), **(described | elements))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Inspection:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAMMOLAB_HOME", str(tmp_path_factory.mktemp("home")))
        return inspect(mammogram_file(), RECIPE)


def test_stages_are_those_of_the_preparation_and_end_in_its_pixels(found: Inspection) -> None:
    mammogram = read(mammogram_file())
    prepared, trace = prepare(mammogram, RECIPE), stages(mammogram, RECIPE)
    assert [stage.name for stage in found.stages] == [stage.name for stage in trace]
    assert np.array_equal(found.stages[-1].picture, prepared.pixels)
    assert found.prepared.recipe_hash == RECIPE.hash
    for stage, original in zip(found.stages, trace, strict=True):
        assert np.array_equal(stage.picture, to_uint8(original.pixels))
        assert stage.shape == original.pixels.shape


def test_figures_equal_those_of_numpy(found: Inspection) -> None:
    mammogram = read(mammogram_file())
    mask = cv2.resize(analyse(mammogram, RECIPE).breast.mask, mammogram.pixels.shape[::-1], interpolation=cv2.INTER_LINEAR)
    first = found.stages[0]
    for stage, original in zip(found.stages, stages(mammogram, RECIPE), strict=True):
        grey = to_uint8(original.pixels)
        assert np.array_equal(stage.histogram, np.histogram(grey, 256, (0, 256))[0])
        assert stage.mean == pytest.approx(float(original.pixels.mean()), abs=1e-5)
        assert (stage.lowest, stage.highest) == (original.pixels.min(), original.pixels.max())
    assert np.array_equal(first.inside, np.histogram(to_uint8(mammogram.pixels)[mask > 127], 256, (0, 256))[0])


def test_breast_is_followed_through_crop_mirror_and_resize(found: Inspection) -> None:
    by_name = {stage.name: stage for stage in found.stages}
    # With air outside removed, what is not black is the breast, wherever it has been moved.
    for name in ("background", "crop", "orientation"):
        lit = by_name[name].histogram[1:].sum()
        assert by_name[name].inside[1:].sum() == lit > 0
    assert by_name["crop"].inside.sum() == by_name["background"].inside.sum()
    small = by_name["resize"]
    assert small.inside.sum() == pytest.approx((small.picture > 0).sum(), rel=0.1)


def test_step_without_effect_is_told_from_one_with(found: Inspection) -> None:
    changed = {stage.name: stage.changed for stage in found.stages}
    assert not changed["original"] and not changed["polarity"]
    assert changed["background"] and changed["crop"] and changed["orientation"] and changed["clahe"] and changed["resize"]
    assert "Mirrored" in next(stage.words for stage in found.stages if stage.name == "orientation")


def test_every_step_is_timed_and_the_sum_is_the_whole(found: Inspection) -> None:
    parts = [step.milliseconds for step in found.reading] + [stage.step.milliseconds for stage in found.stages]
    assert found.milliseconds == pytest.approx(sum(parts))
    assert all(
        part > 0
        for name, part in zip([s.name for s in found.stages], parts[len(found.reading) :], strict=True)
        if name != "original"
    )


def test_millimetres_follow_the_resize_and_are_not_invented(found: Inspection) -> None:
    crop = next(stage.shape for stage in found.stages if stage.name == "crop")
    x0, y0, x1, y1 = found.prepared.breast
    assert found.spacing == pytest.approx((0.07 * crop[0] / (y1 - y0), 0.07 * crop[1] / (x1 - x0)))
    assert "mm" in geometry(found)
    assert f"{0.07 * crop[0]:.0f} × {0.07 * crop[1]:.0f} mm" in geometry(found)
    without = inspect(cv2.imencode(".png", (breast() // 16).astype(np.uint8))[1].tobytes(), RECIPE)
    assert without.spacing is None
    assert "does not say" in geometry(without)


def test_other_window_of_the_file_is_another_recipe_with_other_grey_levels(found: Inspection) -> None:
    second = inspect(mammogram_file(), RECIPE.model_copy(update={"voi_index": 2}))
    assert len(found.meta.windows) == 2
    assert second.prepared.recipe_hash != found.prepared.recipe_hash
    assert not np.array_equal(second.stages[0].picture, found.stages[0].picture)


def test_frame_is_the_one_asked_for_and_the_default_says_what_it_took() -> None:
    stack = np.stack([breast() // (1 + index) for index in range(3)])
    content = make_dicom(stack, BitsStored=12)
    first, default = inspect(content, RECIPE, frame=0), inspect(content, RECIPE)
    assert (first.meta.frame, first.meta.frames) == (0, 3)
    assert ("Frame", "2 of 3") in facts(default.meta, default.stages[0].shape)
    assert any("frame 2 was taken" in warning for warning in default.warnings)
    assert not any("was taken" in warning for warning in first.warnings)


def test_facts_hold_no_identity_and_the_pseudonym_only_on_request(found: Inspection) -> None:
    plain = dict(facts(found.meta, found.stages[0].shape))
    assert plain["Laterality"] == "right" and plain["View"] == "CC" and plain["Pixel spacing"] == "0.07 mm"
    assert plain["Intent"].startswith("FOR PROCESSING")
    assert "Pseudonym" not in plain
    asked = dict(facts(found.meta, found.stages[0].shape, pseudonym=True))
    assert asked["Pseudonym"] == found.meta.patient != ""
    assert not any(part in value for part in PERSON for value in asked.values())


def test_html_is_one_file_that_loads_nothing_and_names_nobody(found: Inspection) -> None:
    visible = re.sub(r"data:image/[a-z]+;base64,[A-Za-z0-9+/=]+", "", to_html(found))
    assert not re.search(r"//|<script|<link|@import|url\(", visible)
    assert not any(part in visible for part in PERSON)
    assert found.meta.patient not in visible
    assert RECIPE.hash in visible
    for stage in found.stages:
        assert f". {stage.title}</h2>" in visible
    assert to_html(found).count("data:image/") == visible.count("<img") == len(found.stages)


def test_html_shows_the_pixels_of_the_model_input(found: Inspection) -> None:
    import base64

    encoded = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", to_html(found))
    shown = cv2.imdecode(np.frombuffer(base64.b64decode(encoded[-1]), np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(shown, found.prepared.pixels)


def test_html_of_the_same_file_and_recipe_is_the_same_bytes_whatever_the_clock_says(found: Inspection) -> None:
    assert to_html(inspect(mammogram_file(), RECIPE)) == to_html(found)
    assert to_html(inspect(mammogram_file(), RECIPE, side=None)) == to_html(found)


def test_html_escapes_what_a_header_says() -> None:
    html = to_html(inspect(mammogram_file(Manufacturer="<img src=x onerror=alert(1)>"), RECIPE))
    assert "<img src=x" not in html and "&lt;img src=x" in html


def test_doubts_of_reader_and_steps_are_all_there_once(found: Inspection) -> None:
    assert any("FOR PROCESSING" in warning for warning in found.warnings)
    flat = inspect_image(read(cv2.imencode(".png", np.full((64, 64), 90, np.uint8))[1].tobytes()), RECIPE)
    assert any("no breast was found" in warning for warning in flat.warnings)
    assert len(set(flat.warnings)) == len(flat.warnings)


@pytest.mark.parametrize(
    ("view", "sentence"),
    [("CC", "Nothing was removed: a view CC shows no muscle."), ("MLO", "Nothing was removed: ")],
)
def test_what_became_of_the_pectoral_muscle_is_said_in_words(view: str, sentence: str) -> None:
    stages_by_name = {stage.name: stage for stage in inspect(mammogram_file(ViewPosition=view), RECIPE).stages}
    assert stages_by_name["pectoral"].words.startswith(sentence)


def test_places_of_the_original_are_known_after_every_step() -> None:
    """A bright spot is where its coordinates are mapped to, however the image was turned, cut and enlarged."""
    spot = (130.0, 90.0)  # x, y
    image = np.zeros((240, 200), np.float32)
    image[40:200, 60:] = 0.4  # the breast, chest wall on the right
    image[86:94, 126:134] = 1.0
    recipe = Recipe(clahe=False, size=(128, 96))
    found = inspect_image(Mammogram(image, ImageMeta()), recipe, side=None)
    assert {"crop", "orientation", "resize"} <= {stage.name for stage in found.stages}
    assert any(stage.step.parameters.get("mirrored") for stage in found.stages)
    for index, stage in enumerate(found.stages):
        ys, xs = np.nonzero(stage.picture > 0.8 * stage.picture.max())
        place = xs.mean() + 0.5, ys.mean() + 0.5
        assert map_points(np.array([spot]), stage.matrix)[0] == pytest.approx(place, abs=1.5), stage.name
        earlier = found.stages[max(0, index - 1)]
        if stage.name in ("crop", "resize"):  # compared where the step before has it
            compared = map_points(np.array([place]), found.laid_over(index))[0]
            assert compared == pytest.approx(map_points(np.array([spot]), earlier.matrix)[0], abs=2.5), stage.name
        else:
            assert np.array_equal(found.laid_over(index), np.eye(3))
