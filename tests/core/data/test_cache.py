"""The cache: what `prepare` gives, once per file and recipe, whatever happens to the folder."""

from __future__ import annotations

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

import core.data.cache as cache_module
from core.config import Recipe
from core.data.cache import PreparedCache, Rejected, clear_all, size_of
from core.errors import LabError, UnreadableImage
from core.files.paths import cache_root
from core.images import read
from core.preprocessing import prepare

RECIPE = Recipe(size=(48, 32))


def picture(path: Path, seed: int = 0) -> Path:
    """A bright half-ellipse on black, 60 × 80 px: enough of a breast for the recipe."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:80, :60]
    inside = (x / 40) ** 2 + ((y - 40) / 35) ** 2 < 1
    pixels = (inside * rng.integers(60, 220, (80, 60))).astype(np.uint8)
    assert cv2.imwrite(str(path), pixels)
    return path


@pytest.fixture
def count_decodes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    calls: list[int] = []

    def counting(content, *, window, name):
        calls.append(len(content))
        return read(content, window=window, name=name)

    monkeypatch.setattr(cache_module, "read", counting)
    return calls


def test_gives_exactly_what_prepare_gives(tmp_path: Path) -> None:
    path = picture(tmp_path / "1.png")
    expected = prepare(read(path), RECIPE)
    cache = PreparedCache(tmp_path / "cache", RECIPE)
    for image in (cache.get(path), cache.get(path), PreparedCache(tmp_path / "cache", RECIPE).get(str(path))):
        np.testing.assert_array_equal(image.pixels, expected.pixels)
        np.testing.assert_array_equal(image.matrix, expected.matrix)
        assert image.pixels.dtype == np.uint8 and not image.pixels.flags.writeable
        assert image.breast == tuple(expected.breast)
        assert image.original_shape == (80, 60)
        assert image.content_hash == hashlib.sha256(path.read_bytes()).hexdigest()
        assert image.warnings == (*read(path).warnings, *expected.warnings)
        assert image.meta["format"] == "PNG"
    for _ in range(2):
        np.testing.assert_array_equal(cache.read_pixels(path), expected.pixels)


def test_a_file_is_decoded_once_per_recipe_and_again_when_it_changes(tmp_path: Path, count_decodes: list[int]) -> None:
    path = picture(tmp_path / "1.png")
    cache = PreparedCache(tmp_path / "cache", RECIPE)
    assert not cache.has(path)
    first = cache.get(path)
    cache.get(path)
    PreparedCache(tmp_path / "cache", RECIPE).get(path)
    assert len(count_decodes) == 1 and cache.has(path)
    PreparedCache(tmp_path / "cache", Recipe(size=(48, 32), clip_limit=3.0)).get(path)
    assert len(count_decodes) == 2
    picture(path, seed=1)
    os.utime(path, ns=(1, 1))
    changed = cache.get(path)
    assert len(count_decodes) == 3
    assert changed.content_hash != first.content_hash
    assert not np.array_equal(changed.pixels, first.pixels)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def _flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("suffix", "damage"),
    [
        (".npy", _truncate),
        (".npy", _flip_a_bit),
        (".npy", lambda path: path.write_bytes(b"")),
        (".npy", lambda path: np.save(path, np.zeros((2, 2), np.uint8))),
        (".npy", lambda path: np.save(path, np.array([{"a": 1}], dtype=object))),
        (".npy", Path.unlink),
        (".json", _truncate),
        (".json", lambda path: path.write_text("{}", encoding="utf-8")),
        (".json", lambda path: path.write_text("[]", encoding="utf-8")),
        (".json", lambda path: path.write_bytes(b"\xff\x00")),
        (".json", Path.unlink),
    ],
)
def test_a_damaged_entry_is_made_again(tmp_path: Path, suffix: str, damage) -> None:
    path = picture(tmp_path / "1.png")
    expected = PreparedCache(tmp_path / "cache", RECIPE).get(path).pixels.copy()
    (entry,) = (tmp_path / "cache").rglob(f"*{suffix}")
    damage(entry)
    cache = PreparedCache(tmp_path / "cache", RECIPE)
    assert not cache.has(path)
    np.testing.assert_array_equal(cache.read_pixels(path), expected)
    np.testing.assert_array_equal(PreparedCache(tmp_path / "cache", RECIPE).get(path).pixels, expected)


def test_two_writers_of_one_entry_both_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = picture(tmp_path / "1.png")
    expected = prepare(read(path), RECIPE).pixels
    together = threading.Barrier(4, timeout=20)

    def meet(content, *, window, name):
        mammogram = read(content, window=window, name=name)
        together.wait()  # all four are past the look-up and will write
        return mammogram

    monkeypatch.setattr(cache_module, "read", meet)
    with ThreadPoolExecutor(4) as pool:
        images = list(pool.map(lambda _: PreparedCache(tmp_path / "cache", RECIPE).get(path), range(4)))
    for image in images:
        np.testing.assert_array_equal(image.pixels, expected)
    assert sorted(file.suffix for file in (tmp_path / "cache").rglob("*.*")) == [".json", ".npy"]


def test_preparing_many_lists_what_it_cannot_read_and_goes_on(tmp_path: Path, count_decodes: list[int]) -> None:
    good = [picture(tmp_path / f"{number}.png", number) for number in range(5)]
    text = tmp_path / "notes.png"
    text.write_bytes(b"\x89PNG\r\n\x1a\n" + b"no picture" * 9)
    missing = tmp_path / "gone.png"
    cache = PreparedCache(tmp_path / "cache", RECIPE)
    results = list(cache.iter_prepare([good[0], missing, *good[1:], text], workers=2))
    assert [index for index, each in enumerate(results) if each is not None] == [1, 6]
    rejected = [each for each in results if each is not None]
    assert [entry.path for entry in rejected] == [str(missing), str(text)]
    assert "no such file" in rejected[0].reason and rejected[1].reason.startswith("notes.png: ")
    assert all(cache.has(path) for path in good)
    decoded = len(count_decodes)
    assert [entry.path for entry in cache.iter_prepare([*good, text]) if entry] == [str(text)]
    assert len(count_decodes) == decoded + 1, "only the unreadable one is tried again"


def test_preparing_many_ends_with_its_iterator_and_goes_on_later(tmp_path: Path, count_decodes: list[int]) -> None:
    paths = [picture(tmp_path / f"{number}.png", number) for number in range(30)]
    cache = PreparedCache(tmp_path / "cache", RECIPE)
    results = cache.iter_prepare(paths, workers=1)
    for _ in range(3):
        next(results)
    results.close()
    assert 3 <= len(count_decodes) < 30
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("prepare")]
    assert not any(cache.iter_prepare(paths))
    assert len(count_decodes) == 30


def test_missing_and_unreadable_files_are_refused_by_name(tmp_path: Path) -> None:
    cache = PreparedCache(tmp_path / "cache", RECIPE)
    with pytest.raises(UnreadableImage, match=r"gone\.png: no such file"):
        cache.get(tmp_path / "gone.png")
    with pytest.raises(UnreadableImage):
        cache.get("a\0b.png")
    with pytest.raises(UnreadableImage):
        cache.get(tmp_path)
    assert not (tmp_path / "cache").exists(), "a refusal leaves nothing behind"


def test_a_cache_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    path = picture(tmp_path / "1.png")
    (tmp_path / "cache").write_text("a file where the folder should be", encoding="utf-8")
    cache = PreparedCache(tmp_path / "cache", RECIPE)
    with pytest.raises(LabError, match="MAMMOLAB_CACHE"):
        cache.get(path)
    with pytest.raises(LabError, match="MAMMOLAB_CACHE"):
        list(cache.iter_prepare([path]))


def test_no_path_or_name_is_stored(tmp_path: Path) -> None:
    folder = tmp_path / "Jane_Doe"
    folder.mkdir()
    PreparedCache(tmp_path / "cache", RECIPE).get(picture(folder / "Jane_Doe_L_CC.png"))
    for entry in (tmp_path / "cache").rglob("*"):
        assert "Doe" not in entry.name
        assert entry.is_dir() or b"Doe" not in entry.read_bytes()


def test_rejected_is_a_plain_record() -> None:
    assert Rejected("a", "b") == Rejected("a", "b")


def test_what_the_picture_gives_away_is_kept_with_it(tmp_path: Path) -> None:
    plain = cv2.imread(str(picture(tmp_path / "plain.png")), cv2.IMREAD_GRAYSCALE)
    labelled = plain.copy()
    labelled[6:14, 46:54] = 255
    files = {"plain": plain, "white": 255 - plain, "label": labelled}
    for name, pixels in files.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), pixels)
    cache = PreparedCache(tmp_path / "cache", RECIPE)
    for _ in range(2):  # made, then read back
        found = {name: cache.get(tmp_path / f"{name}.png") for name in files}
        assert {name: (image.white_air, image.objects) for name, image in found.items()} == {
            "plain": (False, False),
            "white": (True, False),
            "label": (False, True),
        }


@pytest.mark.parametrize("chosen", ["", "workspace", "link"])
def test_clearing_takes_nothing_that_is_not_ours_wherever_the_cache_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: str
) -> None:
    """MAMMOLAB_CACHE may be empty, the workspace itself, or hold a link in a recipe's place."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home" / "cache"))
    workspace = tmp_path / "ws"
    name = "0" * 40
    foreign = [
        workspace / "data" / "patients.csv",
        workspace / "checkpoints" / "one" / "model.safetensors",
        workspace / "0123456789ab" / "thesis.docx",
        workspace / "0123456789ab" / "00" / "thesis.npy",
        workspace / "0123456789ab" / "other" / f"{name}.npy",
        workspace / "elsewhere" / "00" / f"{name}.npy",
    ]
    for path in foreign:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (workspace / "ba9876543210").symlink_to(workspace / "elsewhere", target_is_directory=True)
    ours = workspace / "0123456789ab" / "00" / f"{name}.json"
    ours.write_bytes(b"12345")
    monkeypatch.chdir(workspace)
    monkeypatch.setenv("MAMMOLAB_CACHE", {"": "", "workspace": str(workspace), "link": "."}[chosen])
    root = cache_root()
    assert size_of(root) == (5 if chosen else 0)
    assert clear_all(root) == (1 if chosen else 0)
    assert all(path.exists() for path in foreign)
    assert ours.exists() == (not chosen)
