"""Tiles of the image viewer: whether they are the picture's own grey levels, and what is asked for in vain."""

from __future__ import annotations

import gzip
from pathlib import Path

import cv2
import numpy as np
import pytest
from builders.dicom_factory import make_dicom
from builders.lab_pages import draw_breast
from starlette.applications import Starlette
from starlette.testclient import TestClient

from core.config import Recipe
from core.preprocessing import stages
from dashboard.asgi import server
from dashboard.cache import images, previews, tiles
from dashboard.cache.tiles import TILE, Place


@pytest.fixture
def image(workspace: Path) -> images.ImageRef:
    """A picture of 12 bits with a tag that makes it lie on its other side; no multiple of a tile."""
    fine = np.random.default_rng(0).integers(0, 16, (1301, 701)).astype(np.uint16)
    levels = draw_breast(3, height=1301, width=701).astype(np.uint16) * 16 + fine
    content = make_dicom(levels[:, ::-1], BitsStored=12, PatientName="Doe^Jane", PatientID="ID-4711")
    return images.image_ref(content, "Doe_Jane.dcm")


@pytest.fixture
def client(workspace: Path) -> TestClient:
    return TestClient(Starlette(routes=[server.preview_route("/base")]))


def unpacked(content: bytes, shape: tuple[int, int]) -> np.ndarray:
    """The grey levels of a packed tile; written from the format's description, not from the code."""
    planes = np.frombuffer(content, np.uint8).reshape(2, *shape).astype(np.int64)
    numbers = planes[0] * 256 + planes[1]
    steps = np.where(numbers % 2 == 0, numbers // 2, -(numbers + 1) // 2)
    return np.cumsum(steps, axis=1) % 65_536


def assembled(image: images.ImageRef, stage: str, level: int, shape: tuple[int, int]) -> np.ndarray:
    rows = [
        np.hstack([tiles.tile(image, Recipe(), stage, Place(level, x, y)) for x in range(-(-shape[1] // TILE))])
        for y in range(-(-shape[0] // TILE))
    ]
    return np.vstack(rows)


def test_the_tiles_of_level_0_are_the_image_after_each_step(image: images.ImageRef) -> None:
    for stage in stages(images.mammogram(image, Recipe()), Recipe()):
        expected = np.floor(stage.pixels.astype(np.float64) * 65_535 + 0.5)
        found = assembled(image, stage.name, 0, stage.pixels.shape)
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() <= 1, stage.name
    assert len(np.unique(assembled(image, "original", 0, (1301, 701)))) > 1000  # more than 8 bits


def test_each_level_has_the_means_of_the_one_below(image: images.ImageRef) -> None:
    below, level = assembled(image, "original", 0, (1301, 701)).astype(np.float64), 1
    while max(below.shape) > TILE:
        padded = np.pad(below, [(0, size % 2) for size in below.shape], mode="edge")
        expected = padded.reshape(padded.shape[0] // 2, 2, padded.shape[1] // 2, 2).mean((1, 3))
        found = assembled(image, "original", level, expected.shape).astype(np.float64)
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() <= 0.5
        below, level = found, level + 1
    assert level == 3
    with pytest.raises(tiles.NoSuchTile, match="from 0 to 2"):
        tiles.tile(image, Recipe(), "original", Place(level, 0, 0))


@pytest.mark.parametrize("kind", ["noise", "ends", "one pixel"])
def test_what_is_sent_unpacks_to_the_same_grey_levels(kind: str) -> None:
    random = np.random.default_rng(0)
    levels = {
        "noise": random.integers(0, 65_536, (37, 53)),
        "ends": random.choice([0, 65_535, 32_767, 32_768], (20, 20)),
        "one pixel": np.array([[65_535]]),
    }[kind].astype(np.uint16)
    assert np.array_equal(unpacked(gzip.decompress(tiles.packed(levels)), levels.shape), levels)


def test_a_tile_comes_by_its_address_and_names_nobody(image: images.ImageRef, client: TestClient) -> None:
    token = previews.open_image(image)
    query = {"recipe": Recipe().model_dump_json(), "stage": "original", "level": "0", "column": "1", "row": "2"}
    answer = client.get(f"/base/tune/{token}/tile", params=query)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store" and answer.headers["content-encoding"] == "gzip"
    expected = tiles.tile(image, Recipe(), "original", Place(0, 1, 2))
    assert expected.shape == (1301 - 2 * TILE, 701 - TILE)
    assert np.array_equal(unpacked(answer.content, expected.shape), expected)
    assert not any(word in str(answer.url) + str(answer.headers) for word in ("Doe", "4711"))


@pytest.mark.parametrize(
    "query",
    [
        {"level": "3"},
        {"level": "-1"},
        {"column": "2"},
        {"row": "3"},
        {"row": "9999999999999"},
        {"column": "0.5"},
        {"column": "²"},
        {"stage": "../original"},
        {"recipe": "{"},
        {"recipe": '{"gamma": -1}'},
    ],
    ids=str,
)
def test_what_does_not_exist_is_refused_in_words(image: images.ImageRef, client: TestClient, query: dict[str, str]) -> None:
    answer = client.get(f"/base/tune/{previews.open_image(image)}/tile", params=query)
    assert answer.status_code == 422
    assert answer.json()["reason"]


def test_an_unknown_token_is_not_found(client: TestClient) -> None:
    assert client.get(f"/base/tune/{'0' * 32}/tile").status_code == 404


def test_a_file_that_cannot_be_read_says_why(workspace: Path, client: TestClient) -> None:
    path = workspace / "bad.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    answer = client.get(f"/base/tune/{previews.open_image(images.image_ref(path))}/tile")
    assert answer.status_code == 422 and answer.json()["reason"]


def test_a_small_image_is_a_single_tile(workspace: Path) -> None:
    path = workspace / "small.png"
    cv2.imwrite(str(path), draw_breast(1))
    found = tiles.tile(images.image_ref(path), Recipe(), "original", Place(0, 0, 0))
    assert np.array_equal(found, draw_breast(1).astype(np.uint16) * 257)
