"""What the sliders' pictures are made of, and the address they come from."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from builders.lab_pages import draw_breast
from starlette.applications import Starlette
from starlette.testclient import TestClient

from core.config import Recipe
from core.data.lesion_places import Outline
from core.images.mammogram import ImageMeta
from core.preprocessing import normalise_intensity, preview, resize_to_input
from dashboard.asgi import server
from dashboard.cache import image_memory, images, lesions, previews
from dashboard.views.preprocess import live_preview, recipes

FULL = 65_535


def unpack(message: bytes) -> tuple[dict[str, Any], list[bytes]]:
    length = int.from_bytes(message[:4], "little")
    header = json.loads(message[4 : 4 + length])
    blobs, at = [], 4 + length
    for size in header["sizes"]:
        blobs.append(message[at : at + size])
        at += size
    assert at == len(message)
    return header, blobs


def pixels(blob: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(blob, np.uint8), cv2.IMREAD_UNCHANGED)


@pytest.fixture
def image(workspace: Path) -> images.ImageRef:
    path = workspace / "large.png"
    cv2.imwrite(str(path), draw_breast(3, height=2200, width=1500).astype(np.uint16) * 257)
    return images.image_ref(path)


@pytest.fixture
def client(workspace: Path) -> TestClient:
    return TestClient(Starlette(routes=[server.preview_route("/base")]))


# ---------------------------------------------------------------- pieces


@pytest.mark.parametrize(
    ("x", "y"), [(250, 300), (0, 0), (499, 699), (0, 699), (7, 650)], ids=["middle", "corner", "far corner", "edge", "near"]
)
def test_the_loupes_centre_is_the_pixel_pointed_at(x: int, y: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (700, 500)).astype(np.uint16) * 257
    window = preview.loupe(picture, x, y, 320)
    assert window.shape == (320, 320)
    assert window[160, 160] == picture[y, x] // 257
    padded = np.pad(picture // 257, 320)  # independent: cut from a padded copy
    assert np.array_equal(window, padded[y + 160 : y + 480, x + 160 : x + 480])


def test_a_loupe_larger_than_the_picture_is_black_around_it() -> None:
    window = preview.loupe(np.full((10, 8), FULL, np.uint16), 4, 5, 64)
    assert int((window == 255).sum()) == 80 and int((window == 0).sum()) == 64 * 64 - 80


@pytest.mark.parametrize("shape", [(3000, 1500), (3001, 1501), (1025, 700), (4096, 3328)])
def test_a_preview_is_shrunk_in_proportion_and_averages(shape: tuple[int, int]) -> None:
    ramp = np.linspace(0, FULL, shape[1]).astype(np.uint16)[None].repeat(shape[0], 0)
    shown = preview.fit(ramp, 1024)
    assert max(shown.shape) == 1024
    assert shown.shape[0] / shown.shape[1] == pytest.approx(shape[0] / shape[1], rel=0.01)
    expected = cv2.resize(ramp.astype(np.float64), shown.shape[::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(shown - expected).max() < 0.002 * FULL


def test_a_preview_is_never_enlarged() -> None:
    assert preview.fit(np.zeros((30, 15), np.uint8), 1024).shape == (30, 15)


def test_histogram_counts_only_inside() -> None:
    levels = np.array([[0, 0, 4, 255]], np.uint8)
    shares = preview.histogram(levels, np.array([[0, 1, 1, 1]], np.uint8))
    assert (shares[0], shares[1], shares[63]) == pytest.approx((33.333, 33.333, 33.333), abs=0.01)
    assert preview.histogram(levels, np.zeros((1, 4), np.uint8)) == [0.0] * 64


# ---------------------------------------------------------------- one message a tick


@pytest.mark.slow
def test_all_of_a_message_comes_from_the_enhanced_picture_of_its_recipe(image: images.ImageRef) -> None:
    recipe = Recipe(clip_limit=5.0, gamma=1.5)
    header, (after, before, loupe_before, loupe_after) = unpack(previews.picture(image, recipe, (0.4, 0.5)))
    full = normalise_intensity(images.arranged(image, recipe), recipe)
    x, y = int(0.4 * full.pixels.shape[1]), int(0.5 * full.pixels.shape[0])
    assert (header["height"], header["width"]) == full.pixels.shape
    assert pixels(loupe_after)[160, 160] == (int(full.pixels[y, x]) + 128) // 257
    plain = normalise_intensity(images.arranged(image, recipe), preview.neutral(recipe))
    assert pixels(loupe_before)[160, 160] == (int(plain.pixels[y, x]) + 128) // 257
    assert pixels(after).shape == pixels(before).shape
    assert np.abs(pixels(after).astype(int) - preview.fit(full.pixels, 1024) // 257).mean() < 3  # JPEG
    assert header["contrast"] > 1 and header["noise"] > 1 and header["ms"] > 0
    assert sum(header["histogram_after"]) == pytest.approx(100, abs=0.1)


@pytest.mark.slow
def test_what_the_browser_has_is_not_sent_again(image: images.ImageRef) -> None:
    spot = (0.4, 0.5)
    header, _ = unpack(previews.picture(image, Recipe(), spot))
    moved, blobs = unpack(
        previews.picture(image, Recipe(clip_limit=3.0), spot, previews.Shown(header["geometry"], header["lens"]))
    )
    assert [bool(blob) for blob in blobs] == [True, False, False, True]
    assert (moved["geometry"], moved["lens"]) == (header["geometry"], header["lens"])
    turned, blobs = unpack(
        previews.picture(image, Recipe(crop=False), spot, previews.Shown(header["geometry"], header["lens"]))
    )
    assert all(blobs) and turned["geometry"] != header["geometry"]


def test_a_moved_slider_arranges_and_decodes_nothing_again(image: images.ImageRef, monkeypatch: pytest.MonkeyPatch) -> None:
    previews.picture(image, Recipe(), (0.5, 0.5))

    def refuse(*arguments: Any, **named: Any) -> None:
        raise AssertionError("only `normalise_intensity` may run")

    for name in ("read", "normalise_spatially", "analyse"):
        monkeypatch.setattr(images, name, refuse)
    assert previews.picture(image, Recipe(clip_limit=7.0, tile_grid=3, window_low=3.0, gamma=0.7), (0.1, 0.9))


@pytest.mark.slow
def test_the_models_input_comes_from_the_same_enhanced_picture(image: images.ImageRef) -> None:
    recipe = Recipe(clip_limit=5.0, size=128)
    previews.picture(image, recipe, (0.5, 0.5))
    expected = resize_to_input(images.enhanced(image, recipe), recipe)
    assert np.array_equal(images.prepared(image, recipe).pixels, expected.pixels)


# ---------------------------------------------------------------- zoomed


@pytest.mark.slow
def test_a_part_at_native_resolution_is_the_enhanced_pictures_own_pixels(image: images.ImageRef) -> None:
    recipe = Recipe(clip_limit=5.0)
    full = normalise_intensity(images.arranged(image, recipe), recipe).pixels
    height, width = full.shape
    cut = preview.Cut(0.3, 0.4, 0.5, 0.6, 3000)  # more screen pixels than there are: nothing is enlarged
    header, (after, before) = unpack(previews.native(image, recipe, cut))
    x0, y0, x1, y1 = (round(edge * size) for edge, size in zip(header["part"], (width, height) * 2, strict=True))
    assert (x0, y0) == (int(0.3 * width), int(0.4 * height)) and x1 >= 0.5 * width and y1 >= 0.6 * height
    assert np.abs(pixels(after).astype(int) - full[y0:y1, x0:x1] // 257).mean() < 3  # JPEG
    assert pixels(before).shape == pixels(after).shape == (y1 - y0, x1 - x0)
    fewer = unpack(previews.native(image, recipe, preview.Cut(0.3, 0.4, 0.5, 0.6, 50)))[1][0]
    assert pixels(fewer).shape[1] in (50, 51)


@pytest.mark.slow
def test_the_zoomed_part_follows_the_sliders_in_the_same_message(image: images.ImageRef) -> None:
    cut = preview.Cut(0.3, 0.4, 0.5, 0.6, 500)
    header, blobs = unpack(previews.picture(image, Recipe(), (0.4, 0.5), cut=cut))
    moved = Recipe(clip_limit=4.0)
    seen = previews.Shown(header["geometry"], header["lens"], header["cut"])
    again, changed = unpack(previews.picture(image, moved, (0.4, 0.5), seen, cut))
    assert again["cut"] == header["cut"] and [bool(blob) for blob in changed] == [True, False, False, True, True, False]
    assert changed[4] == unpack(previews.native(image, moved, cut))[1][0] != blobs[4]


@pytest.mark.parametrize("edges", [(0.0, 0.0, 1e-9, 1e-9), (0.9999, 0.9999, 1.0, 1.0), (0.0, 0.0, 1.0, 1.0)])
def test_every_part_has_a_pixel_and_none_is_larger_than_may_be_sent(edges: tuple[float, float, float, float]) -> None:
    levels = np.zeros((40, 5000), np.uint16)
    found = preview.cut_out(levels, preview.Cut(*edges, preview.CUT_SIDE))
    assert min(found.shape) >= 1 and max(found.shape) <= preview.CUT_SIDE


@pytest.mark.slow
def test_a_dicom_files_pixel_spacing_reaches_the_scale_bar(image: images.ImageRef) -> None:
    meta = ImageMeta(pixel_spacing=(0.07, 0.08))
    assert preview.make_before(images.arranged(image, Recipe()), Recipe(), meta).spacing == 0.08
    assert unpack(previews.picture(image, Recipe(), (0.5, 0.5)))[0]["spacing"] is None  # a PNG says nothing


# ---------------------------------------------------------------- over HTTP


@pytest.mark.slow
def test_a_picture_is_answered_to_who_has_the_token_and_kept_by_nobody(client: TestClient, image: images.ImageRef) -> None:
    token = previews.open_image(image)
    assert previews.open_image(image) == token
    recipe = Recipe(clip_limit=3.0)
    answer = client.get(f"/base/tune/{token}/picture", params={"recipe": recipe.model_dump_json(), "x": "0.3", "y": "0.6"})
    assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store"
    assert unpack(answer.content)[0]["recipe"] == recipe.hash
    part = unpack(client.get(f"/base/tune/{token}/native", params={"part": "0,0,0.5,0.5,300"}).content)
    assert len(part[1]) == 2
    lens = unpack(client.get(f"/base/tune/{token}/loupe", params={"recipe": recipe.model_dump_json()}).content)
    assert len(lens[1]) == 2


@pytest.mark.parametrize(
    ("what", "query", "status", "words"),
    [
        ("picture", {"recipe": '{"clip_limit": 900}'}, 422, "clip_limit"),
        ("picture", {"recipe": "{"}, 422, "Invalid JSON"),
        ("picture", {"x": "2"}, 422, "between 0 and 1"),
        ("picture", {"x": "nan"}, 422, "between 0 and 1"),
        ("native", {}, 422, "left,top,right,bottom"),
        ("native", {"part": "0.2,0.2,0.1,0.4,100"}, 422, "left,top,right,bottom"),
        ("native", {"part": "0,0,1,1,1e9"}, 422, "3072"),
        ("native", {"part": "0,0,nan,1,100"}, 422, "left,top,right,bottom"),
        ("picture", {"part": "0,0,1"}, 422, "left,top,right,bottom"),
        ("grid", {}, 404, "no longer open"),
        ("other", {}, 404, "no longer open"),
    ],
)
def test_a_wrong_request_is_refused_in_words(
    client: TestClient, image: images.ImageRef, what: str, query: dict[str, str], status: int, words: str
) -> None:
    answer = client.get(f"/base/tune/{previews.open_image(image)}/{what}", params=query)
    assert answer.status_code == status
    assert words in answer.json()["reason"]


def test_a_guessed_token_opens_nothing(client: TestClient, image: images.ImageRef) -> None:
    token = previews.open_image(image)
    other = "0" * len(token)
    assert len(token) >= 32
    for what in ("picture", "native?part=0,0,1,1,100"):
        assert client.get(f"/base/tune/{other}/{what}").status_code == 404
        assert client.get(f"/base/tune/{token}/{what}").status_code == 200
    previews.close(image.key)  # the session has ended, or others have pushed it out
    assert client.get(f"/base/tune/{token}/native?part=0,0,1,1,100").status_code == 404


@pytest.mark.slow
def test_parts_are_kept_by_nobody(client: TestClient, image: images.ImageRef) -> None:
    token = previews.open_image(image)
    client.get(f"/base/tune/{token}/native?part=0,0,1,1,100")
    total = image_memory.total()
    for step in range(8):
        client.get(f"/base/tune/{token}/native?part=0,0,0.{step + 1},1,500")
    assert image_memory.total() == total


def test_an_unreadable_file_is_said(client: TestClient, workspace: Path) -> None:
    (workspace / "a.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    answer = client.get(f"/base/tune/{previews.open_image(images.image_ref(workspace / 'a.png'))}/picture")
    assert answer.status_code == 422 and answer.json()["reason"]


def test_only_the_last_images_stay_open(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(previews, "MOST_OPEN", 8)
    tokens = [previews.open_image(images.image_ref(bytes([number]))) for number in range(9)]
    assert tokens[0] not in previews._known and set(tokens[1:]) <= set(previews._known)


def test_the_wall_reads_in_the_background_and_names_what_it_cannot_read(workspace: Path, manifest: Path) -> None:
    (workspace / "broken.png").write_bytes(b"no image")
    refs = [images.image_ref(path) for path in (manifest.parent / "p00_CC.png", workspace / "broken.png")]
    found = previews._known[previews.open_grid(refs)]
    assert isinstance(found, previews.ImageGrid)
    header, blobs = unpack(previews.grid(found, Recipe()))
    assert header["waiting"] == 2 and not any(blobs)
    for _ in range(200):
        header, blobs = unpack(previews.grid(found, Recipe(clip_limit=4.0)))
        if not header["waiting"]:
            break
        time.sleep(0.05)
    assert pixels(blobs[0]).size and header["states"][0] == ""
    assert blobs[1] == b"" and header["states"][1]


# ---------------------------------------------------------------- choices


def test_the_wall_mixes_labels_and_views_and_the_same_seed_gives_the_same_images() -> None:
    frame = pd.DataFrame(
        [
            {"path": f"{patient}{view}", "label": label, "view": view, "patient_id": patient}
            for label, patients in (("benign", range(20)), ("malignant", range(20, 24)))
            for patient in patients
            for view in ("CC", "MLO")
        ]
    )
    chosen = live_preview.choose(frame, 8, 1)
    assert chosen["label"].value_counts().to_dict() == {"benign": 4, "malignant": 4}
    assert chosen["view"].value_counts().to_dict() == {"CC": 4, "MLO": 4}
    assert chosen["patient_id"].nunique() == 8
    assert chosen.equals(live_preview.choose(frame, 8, 1)) and not chosen.equals(live_preview.choose(frame, 8, 2))
    assert len(live_preview.choose(frame.head(3), 8, 0)) == 3


@pytest.mark.parametrize("name", recipes.PRESETS)
def test_every_preset_is_a_recipe_of_its_own_within_the_sliders(name: str) -> None:
    recipe = Recipe.model_validate(recipes.PRESETS[name])
    for slide in live_preview.SLIDES:
        assert slide.low <= getattr(recipe, slide.name) <= slide.high
    assert sum(recipes.PRESETS[name] == other for other in recipes.PRESETS.values()) == 1


def test_standard_is_the_default_recipe() -> None:
    assert Recipe.model_validate(recipes.PRESETS["Standard"]) == Recipe()


def test_a_sliders_range_grows_to_the_recipes_bound_only_for_a_value_beyond_it() -> None:
    clip = next(slide for slide in live_preview.SLIDES if slide.name == "clip_limit")
    low = next(slide for slide in live_preview.SLIDES if slide.name == "window_high")
    assert live_preview._limits(clip, 2.0) == (0.1, 10.0)
    assert live_preview._limits(clip, 25.0) == (0.1, 40.0)
    assert live_preview._limits(low, 60.0) == (51.0, 100.0)


def test_differences_name_the_fields_and_both_values() -> None:
    (found,) = recipes.differences(Recipe(clahe=False), Recipe())
    assert (found.field, found.ours, found.theirs) == ("clahe", "off", "on")


def test_the_loupe_opens_where_there_is_something_to_see() -> None:
    from core.preprocessing.preview import salient_spot

    levels = np.zeros((400, 300), np.uint8)
    inside = np.zeros_like(levels)
    cv2.ellipse(inside, (0, 200), (220, 180), 0, -90, 90, 255, -1)
    levels[inside > 0] = 120
    rng = np.random.default_rng(0)
    for dx, dy in rng.integers(-12, 12, (12, 2)):
        cv2.circle(levels, (110 + int(dx), 260 + int(dy)), 2, 230, -1)  # calcifications
    x, y = salient_spot(levels, inside)
    assert abs(x * 300 - 110) < 25 and abs(y * 400 - 260) < 25


@pytest.mark.parametrize("shape", [(1, 1), (2, 300), (400, 3)])
def test_a_picture_without_room_has_a_spot_as_well(shape: tuple[int, int]) -> None:
    from core.preprocessing.preview import salient_spot

    for inside in (np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8)):
        assert all(0 <= value <= 1 for value in salient_spot(np.zeros(shape, np.uint8), inside))


def test_the_loupe_keeps_off_the_muscle_of_views_that_show_it() -> None:
    from core.images.mammogram import Mammogram
    from core.preprocessing import normalise_spatially

    picture = draw_breast(0, height=400, width=300).astype(np.float32) / 255
    picture[:120, :90] = 0.9  # a bright block in the upper corner at the chest wall
    for pixels_, at in ((picture, 20), (picture[:, ::-1].copy(), 280)):
        arranged = normalise_spatially(Mammogram(pixels_, ImageMeta()), Recipe(crop=False, orient=False))
        inside = np.full((400, 300), 255, np.uint8)
        assert preview.without_muscle(inside, arranged, "MLO")[10, at] == 0
        assert preview.without_muscle(inside, arranged, "MLO")[300, at] == 255
        assert preview.without_muscle(inside, arranged, "CC").all()


def square(middle: tuple[float, float]) -> Outline:
    x, y = middle
    return Outline(((x - 20, y - 30), (x + 20, y - 30), (x + 20, y + 30), (x - 20, y + 30)))


@pytest.mark.slow
def test_the_loupe_opens_at_the_lesion_wherever_the_picture_was_cut_and_turned_to(image: images.ImageRef) -> None:
    arranged = images.arranged(image, Recipe())
    x, y = (np.linalg.inv(arranged.matrix) @ [200, 300, 1])[:2]  # where pixel (200, 300) of the picture is in the file
    drawn = lesions.Lesions(tuple(map(square, ((-85, -85), (x, y)))))
    height, width = arranged.levels.shape
    spot = lesions.spot(lesions.mapped(drawn, arranged.matrix), (width, height))
    assert spot == pytest.approx((200 / width, 300 / height))
    assert lesions.spot([], (width, height)) is None


@pytest.mark.parametrize("inverted", [False, True])
def test_a_gallery_knows_which_images_are_stored_inverted_and_the_recipe_turns_them(workspace: Path, inverted: bool) -> None:
    drawn = draw_breast(3, height=300, width=200)
    cv2.imwrite(str(workspace / "a.png"), 255 - drawn if inverted else drawn)
    image = images.image_ref(workspace / "a.png")
    stored, prepared = images.thumbnail(image), images.thumbnail(image, Recipe(crop=False))
    assert stored.inverted == prepared.inverted == inverted
    assert (pixels(stored.picture)[:, -5:].mean() > 127) == inverted  # air
    assert pixels(prepared.picture)[:, -5:].mean() < 20
