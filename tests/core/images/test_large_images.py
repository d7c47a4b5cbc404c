from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.config import Recipe
from core.data.cache import PreparedCache
from core.errors import UnreadableImage
from core.images import large_images, one_large_at_a_time, read
from core.images.large_images import wait_if_large
from core.images.row_bands import in_row_bands


@pytest.fixture
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of more than 1,000 pixels take turns."""
    monkeypatch.setattr(large_images, "LARGE", 1000)


@pytest.fixture(autouse=True)
def nobody_is_left_waiting() -> Iterator[None]:
    yield
    assert not large_images._lock.locked()


def _png(side: int) -> bytes:
    stream = io.BytesIO()
    pixels = np.zeros((side, side), np.uint8)
    pixels[side // 4 : side // 2, : side // 3] = 150
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


class _Crowd:
    """Counts how many are inside at once."""

    def __init__(self) -> None:
        self.inside = self.most = 0
        self._guard = threading.Lock()

    def __enter__(self) -> None:
        with self._guard:
            self.inside += 1
            self.most = max(self.most, self.inside)
        time.sleep(0.01)

    def __exit__(self, *_: object) -> None:
        with self._guard:
            self.inside -= 1


def _in_threads(work: Callable[[int], object], count: int = 8) -> list[object]:
    with ThreadPoolExecutor(count) as pool:
        return [future.result(timeout=60) for future in [pool.submit(work, index) for index in range(count)]]


def test_of_eight_threads_one_has_a_large_image_until_it_is_done_with_it(small_is_large: None) -> None:
    crowd, content = _Crowd(), _png(64)

    def work(_: int) -> None:
        with one_large_at_a_time():
            read(content)
            with crowd:
                pass

    _in_threads(work)
    assert crowd.most == 1


def test_small_images_do_not_wait_for_a_large_one() -> None:
    content = _png(64)
    done = threading.Event()

    def small() -> None:
        with one_large_at_a_time():
            read(content)
        done.set()

    with one_large_at_a_time():
        wait_if_large(large_images.LARGE + 1)
        threading.Thread(target=small).start()
        assert done.wait(30)


def test_blocks_inside_one_another_are_one_turn(small_is_large: None) -> None:
    with one_large_at_a_time():
        read(_png(64))
        with one_large_at_a_time():
            read(_png(64))
        assert large_images._lock.locked()  # the outer block has not ended
    assert not large_images._lock.locked()


def test_reading_alone_ends_its_turn_itself(small_is_large: None) -> None:
    read(_png(64))
    assert not large_images._lock.locked()


@pytest.mark.parametrize("error", [UnreadableImage, KeyboardInterrupt, MemoryError])
def test_a_turn_ends_with_an_error(error: type[BaseException], small_is_large: None) -> None:
    with pytest.raises(error), one_large_at_a_time():
        read(_png(64))
        raise error
    assert not large_images._lock.locked()


def test_a_damaged_large_image_ends_its_turn(small_is_large: None) -> None:
    with pytest.raises(UnreadableImage):
        read(_png(64)[:-40])
    assert not large_images._lock.locked()


def test_the_size_in_the_header_counts_not_that_of_the_file(small_is_large: None, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    monkeypatch.setattr("core.images.limits.wait_if_large", taken.append)
    read(_png(64))
    assert max(taken) == 64 * 64


def test_the_cache_prepares_large_images_one_at_a_time(
    small_is_large: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowd = _Crowd()
    from core.data import cache as module

    real = module.analyse

    def watched(*arguments: object) -> object:
        with crowd:
            return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "analyse", watched)
    paths = [tmp_path / f"{index}.png" for index in range(8)]
    for path in paths:
        path.write_bytes(_png(64))
    assert not any(PreparedCache(tmp_path / "cache", Recipe(size=64)).iter_prepare(paths, workers=8))
    assert crowd.most == 1


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (1500, 1501), (2, 2_000_000)])
def test_bands_give_what_the_whole_gives(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).random(shape, np.float32)

    def halves(part: np.ndarray) -> np.ndarray:
        return (part * 0.5).astype(np.float32)

    assert np.array_equal(in_row_bands(halves, pixels, np.float32), halves(pixels))
