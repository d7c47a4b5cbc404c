"""Batches: every image when it should come, the same however they are made, and no thread left behind."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from core.config import AugmentationConfig, Recipe
from core.data import batches as module
from core.data.batches import Batch, batch_count, batches, epoch_order
from core.data.cache import PreparedCache
from core.errors import BadManifest, RecipeMismatch, UnreadableImage

RECIPE = Recipe(size=32, remove_background=False, crop=False, clahe=False)
COUNT = 23


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, PreparedCache]:
    folder = tmp_path_factory.mktemp("batches")
    rng = np.random.default_rng(0)
    paths = []
    for number in range(COUNT):
        pixels = np.zeros((40, 30), np.uint8)
        pixels[5:35, :20] = rng.integers(40, 250, (30, 20))
        paths.append(folder / f"{number}.png")
        assert cv2.imwrite(str(paths[-1]), pixels)
    frame = pd.DataFrame(
        {"path": [str(path) for path in paths], "label": ["malignant" if n % 4 == 0 else "benign" for n in range(COUNT)]}
    )
    cache = PreparedCache(folder / "cache", RECIPE)
    assert not any(cache.iter_prepare(paths))
    return frame, cache


def run(material: tuple[pd.DataFrame, PreparedCache], **changes) -> list[Batch]:
    frame, cache = material
    settings = {"batch_size": 4, "augmentation": None, "seed": 0, "epoch": 0} | changes
    return list(batches(frame, cache, RECIPE, **settings))


def rows(found: list[Batch]) -> list[int]:
    return [int(index) for batch in found for index in batch.indices]


def own_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("batches")]


def test_batches_hold_the_cached_pixels_labels_and_rows(material) -> None:
    frame, cache = material
    found = run(material, order="sequence")
    assert rows(found) == list(range(COUNT))
    assert [len(batch.labels) for batch in found] == [4, 4, 4, 4, 4, 3]
    for batch in found:
        assert batch.images.dtype == batch.labels.dtype == torch.float32 and batch.indices.dtype == torch.int64
        assert batch.images.shape == (len(batch.labels), 1, 32, 32)
        for image, label, index in zip(batch.images, batch.labels, batch.indices.tolist(), strict=True):
            pixels = cache.get(frame["path"].iloc[index]).pixels
            assert torch.equal(image[0], torch.tensor(np.array(pixels)).float() / 255)
            assert label == float(frame["label"].iloc[index] == "malignant")
        batch.images.add_(1)  # writable, and nobody else's memory
    assert cache.get(frame["path"].iloc[0]).pixels.max() > 1


def test_shuffle_takes_every_image_once_in_an_order_of_seed_and_epoch(material) -> None:
    first = rows(run(material))
    assert sorted(first) == list(range(COUNT)) and first != sorted(first)
    assert rows(run(material)) == first
    assert rows(run(material, epoch=1)) != first
    assert rows(run(material, seed=1)) != first


def test_an_augmented_image_depends_on_seed_epoch_and_row_alone(material) -> None:
    augmentation = AugmentationConfig()

    def images(**changes) -> dict[int, torch.Tensor]:
        found = run(material, augmentation=augmentation, **changes)
        return {int(index): image for batch in found for index, image in zip(batch.indices, batch.images, strict=True)}

    reference = images()
    for changes in ({"batch_size": 7}, {"order": "sequence"}, {"workers": 3, "prefetch": 5}, {"start": 2}):
        for index, image in images(**changes).items():
            assert torch.equal(image, reference[index]), changes
    assert not torch.equal(images(epoch=1)[0], reference[0])
    assert not torch.equal(images(seed=1)[0], reference[0])


@pytest.mark.parametrize("order", ["shuffle", "sampler", "sequence"])
@pytest.mark.parametrize("start", [0, 1, 5, 6, 99])
def test_start_skips_whole_batches_for_resume(material, order: str, start: int) -> None:
    whole = run(material, order=order, augmentation=AugmentationConfig())
    rest = run(material, order=order, augmentation=AugmentationConfig(), start=start)
    assert len(rest) == max(0, len(whole) - start)
    for left, right in zip(whole[start:], rest, strict=True):
        assert torch.equal(left.images, right.images) and torch.equal(left.indices, right.indices)


def test_the_sampler_draws_both_labels_as_often_and_changes_a_repeated_image() -> None:
    labels = (np.arange(4000) % 20 == 0).astype(np.float32)
    drawn = epoch_order(labels, "sampler", seed=0, epoch=0)
    assert len(drawn) == 4000
    assert labels[drawn].mean() == pytest.approx(0.5, abs=0.03)
    assert set(drawn[labels[drawn] == 1]) == set(np.flatnonzero(labels)), "every rare image comes up in 2,000 draws of 200"
    np.testing.assert_array_equal(drawn, epoch_order(labels, "sampler", seed=0, epoch=0))
    assert not np.array_equal(drawn, epoch_order(labels, "sampler", seed=0, epoch=1))


def test_an_image_drawn_twice_is_augmented_anew(material) -> None:
    found = run(material, order="sampler", augmentation=AugmentationConfig())
    by_row: dict[int, list[torch.Tensor]] = {}
    for batch in found:
        for index, image in zip(batch.indices.tolist(), batch.images, strict=True):
            by_row.setdefault(index, []).append(image)
    repeated = [images for images in by_row.values() if len(images) > 1]
    assert repeated and all(not torch.equal(images[0], images[1]) for images in repeated)


@pytest.mark.parametrize("world", [2, 3, 5])
def test_ranks_together_are_one_process_with_the_larger_batch(material, world: int) -> None:
    alone = run(material, batch_size=4 * world)
    ranks = [run(material, rank=rank, world_size=world) for rank in range(world)]
    assert {len(found) for found in ranks} == {len(alone)} == {batch_count(COUNT, 4, world)}
    for number, batch in enumerate(alone):
        shares = [found[number].indices.tolist() for found in ranks]
        assert len({len(share) for share in shares}) == 1, "equally many images on each rank"
        together = {index for share in shares for index in share}
        assert set(batch.indices.tolist()) <= together
        if number < len(alone) - 1:
            assert sum(map(len, shares)) == len(batch.indices) and together == set(batch.indices.tolist())


@pytest.mark.parametrize("world", [1, 2, 3, 5, 30])
def test_each_image_counts_once_and_what_fills_the_ranks_up_does_not(material, world: int) -> None:
    ranks = [run(material, rank=rank, world_size=world) for rank in range(world)]
    counted = [
        index
        for found in ranks
        for batch in found
        for index, counts in zip(batch.indices.tolist(), batch.sample_mask.tolist(), strict=True)
        if counts
    ]
    assert sorted(counted) == list(range(COUNT))
    assert sum(len(batch.indices) for found in ranks for batch in found) == -(-COUNT // world) * world


@pytest.mark.parametrize("world", [1, 2, 3, 30])
def test_in_sequence_each_image_comes_exactly_once_over_all_ranks(material, world: int) -> None:
    everything = [
        index for rank in range(world) for index in rows(run(material, order="sequence", rank=rank, world_size=world))
    ]
    assert sorted(everything) == list(range(COUNT))


def test_reading_ahead_is_bounded_and_ends_with_the_iterator(material, monkeypatch: pytest.MonkeyPatch) -> None:
    frame, cache = material
    loaded = []
    monkeypatch.setattr(module, "_load", lambda task, *rest: loaded.append(task) or task)
    found = batches(frame, cache, RECIPE, batch_size=1, augmentation=None, seed=0, epoch=0, prefetch=2)
    assert loaded == [] and own_threads() == [], "nothing runs before the first batch is asked for"
    next(found)
    next(found)
    found.close()
    assert 2 <= len(loaded) <= 4
    assert own_threads() == []


@pytest.mark.slow
def test_an_abandoned_iterator_leaves_no_thread(material) -> None:
    frame, cache = material
    found = batches(frame, cache, RECIPE, batch_size=2, augmentation=None, seed=0, epoch=0)
    next(found)
    del found
    gc.collect()
    assert own_threads() == []


def test_an_unreadable_image_is_raised_in_its_turn_and_replaced_by_nothing(material) -> None:
    frame, cache = material
    broken = frame.copy()
    broken["path"] = [*frame["path"][:9], str(Path(frame["path"].iloc[0]).with_name("gone.png")), *frame["path"][10:]]
    found = batches(broken, cache, RECIPE, batch_size=4, augmentation=None, seed=0, epoch=0, order="sequence")
    assert rows([next(found), next(found)]) == list(range(8))
    with pytest.raises(UnreadableImage, match=r"gone\.png"):
        next(found)
    assert own_threads() == []


def test_refuses_another_recipe_no_rows_and_one_label(material) -> None:
    frame, cache = material
    common = {"batch_size": 4, "augmentation": None, "seed": 0, "epoch": 0}
    with pytest.raises(RecipeMismatch):
        batches(frame, cache, Recipe(size=64), **common)
    with pytest.raises(BadManifest, match="empty"):
        batches(frame.iloc[:0], cache, RECIPE, **common)
    with pytest.raises(BadManifest, match="one label"):
        batches(frame[frame["label"] == "benign"], cache, RECIPE, order="sampler", **common)
    for wrong in ({"batch_size": 0}, {"start": -1}, {"rank": 2, "world_size": 2}, {"prefetch": 0}, {"workers": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))}="):
            batches(frame, cache, RECIPE, **(common | wrong))


def test_rows_are_positions_whatever_the_index_of_the_frame(material) -> None:
    frame, cache = material
    part = frame.iloc[[20, 3, 11]]
    (batch,) = batches(part, cache, RECIPE, batch_size=8, augmentation=None, seed=0, epoch=0, order="sequence")
    assert batch.indices.tolist() == [0, 1, 2]
    assert batch.labels.tolist() == [float(label == "malignant") for label in part["label"]]
