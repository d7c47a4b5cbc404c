"""find_copies: copies are found whatever was done to them, other images never, and nothing is computed twice."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from builders.textured import textured_breast

from benchmarks.alterations import ALTERATIONS
from core.data.copies import Copies, find_copies, verify
from core.data.copies import find as find_module
from core.data.copies.store import FILE, delete_fingerprints
from core.files.paths import cache_root


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAMMOLAB_CACHE", str(tmp_path / "cache"))


def written(folder: Path, pictures: dict[str, np.ndarray]) -> list[str]:
    paths = []
    for name, picture in pictures.items():
        paths.append(str(folder / name))
        assert cv2.imwrite(paths[-1], picture)
    return paths


def compared(paths: list[str]) -> Copies:
    return find_copies(paths, [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in paths])


@pytest.fixture(scope="module")
def common(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that keeps the fingerprints of pictures which several tests have."""
    return tmp_path_factory.mktemp("common")


@pytest.mark.slow_but("jpeg", "resized", "mirrored", "cropped", "inverted", "rotated")
@pytest.mark.parametrize("name", [name for name in ALTERATIONS if "combined" not in name])
def test_an_altered_copy_is_found_and_nothing_else(
    tmp_path: Path, common: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAMMOLAB_CACHE", str(common))
    pictures = {f"{seed}.png": textured_breast(seed) for seed in range(4)}
    altered = ALTERATIONS[name](textured_breast(2), np.random.default_rng(1))
    paths = written(tmp_path, pictures | {"copy.png": altered})
    found = compared(paths)
    assert (found.near, found.pixels) in {(((2, 4),), ()), ((), ((2, 4),))}


@pytest.mark.slow
def test_different_breasts_are_no_copies(tmp_path: Path) -> None:
    assert compared(written(tmp_path, {f"{seed}.png": textured_breast(seed) for seed in range(14)})) == Copies()


def test_the_same_label_burned_into_two_pictures_makes_no_copies(tmp_path: Path) -> None:
    pictures = {}
    for seed in range(3):
        picture = textured_breast(seed)
        cv2.putText(picture, "R MLO 12-03-2011", (90, 40), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 255, 2)
        pictures[f"{seed}.png"] = picture
    assert compared(written(tmp_path, pictures)).near == ()


def test_the_same_pixels_in_another_container_are_told_apart_from_changed_pictures(tmp_path: Path) -> None:
    picture = textured_breast(3)
    paths = written(tmp_path, {"a.png": picture, "b.tif": picture, "c.pgm": picture, "other.png": textured_breast(4)})
    deeper = str(tmp_path / "d.png")
    assert cv2.imwrite(deeper, picture.astype(np.uint16) * 257)
    found = compared([*paths, deeper])
    assert found.pixels == ((0, 1, 2, 4),) and found.near == ()


def test_pictures_of_one_shape_and_few_levels_are_no_copies(tmp_path: Path) -> None:
    blank = np.zeros((64, 48), np.uint8)
    half = blank.copy()
    half[:, :20] = 90
    brighter = blank.copy()
    brighter[:, :20] = 120
    assert compared(written(tmp_path, {"a.png": blank, "b.png": half, "c.png": brighter})) == Copies()


def test_pictures_of_a_few_pixels_are_compared_by_their_pixels_only(tmp_path: Path) -> None:
    small = textured_breast(1, height=80, width=60)
    paths = written(tmp_path, {"a.png": small, "b.tif": small, "c.png": ALTERATIONS["clahe"](small, rng(5))})
    assert compared(paths) == Copies(((0, 1),), ())


def test_an_unreadable_file_is_compared_with_nothing(tmp_path: Path) -> None:
    paths = written(tmp_path, {"a.png": textured_breast(1), "b.tif": textured_breast(1)})
    torn = tmp_path / "torn.png"
    torn.write_bytes(b"\x89PNG\r\n\x1a\n torn")
    found = find_copies([*paths, str(torn), str(torn)], ["a" * 64, "b" * 64, "c" * 64, ""])
    assert found == Copies(((0, 1),), ())


def test_nothing_is_computed_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = written(tmp_path, {"a.png": textured_breast(1), "b.png": ALTERATIONS["gamma"](textured_breast(1), rng(5))})
    before = compared(paths)
    assert before.near == ((0, 1),)
    monkeypatch.setattr(find_module, "read", refuse)
    monkeypatch.setattr(find_module, "same_picture", refuse)
    assert compared(paths) == before
    delete_fingerprints()
    assert not (cache_root() / FILE).exists()
    with pytest.raises(AssertionError, match="again"):
        compared(paths)


def test_where_nothing_can_be_stored_copies_are_found_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("MAMMOLAB_CACHE", str(tmp_path / "file" / "below"))
    paths = written(tmp_path, {"a.png": textured_breast(1), "b.png": ALTERATIONS["inverted"](textured_breast(1), rng(0))})
    assert compared(paths).near == ((0, 1),)


def test_progress_can_end_the_search(tmp_path: Path) -> None:
    paths = written(tmp_path, {f"{seed}.png": textured_breast(seed) for seed in range(3)})

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find_copies(paths, ["a" * 64, "b" * 64, "c" * 64], progress=stop)


def test_too_few_features_decide_nothing() -> None:
    nothing = (np.zeros((0, 2), np.float32), np.zeros((0, 64), np.float32))
    assert not verify.same_picture(nothing, nothing, 0)


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def refuse(*arguments: object) -> Callable[[], None]:
    raise AssertionError("computed again")


def test_the_edges_of_pictures_rotated_by_one_angle_make_no_copies() -> None:
    along = np.linspace(2, 222, 20, dtype=np.float32)
    edges = [(x, y) for x in along for y in (4.0 + x / 20, 208.0 + x / 20)]
    rim = np.array([*edges, *((y, x) for x, y in edges)], np.float32).clip(0, 223)
    inside = rng(0).uniform(40, 180, (40, 2)).astype(np.float32)
    known, one, other = (unit(rng(seed).random((number, 64))) for seed, number in ((1, 80), (2, 40), (3, 40)))
    first = (np.concatenate([rim, inside]), np.concatenate([known, one]))
    second = (np.concatenate([rim, inside]), np.concatenate([known, other]))
    assert verify.same_picture(first, first, 0)
    assert not verify.same_picture(first, second, 0)


def unit(descriptors: np.ndarray) -> np.ndarray:
    return (descriptors / np.linalg.norm(descriptors, axis=1, keepdims=True)).astype(np.float32)
