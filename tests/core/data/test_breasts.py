"""Which images of a manifest are of one breast, and batches of breasts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from builders.toy_breasts import draw_breasts
from builders.toy_training import toy_config

from core.config import AugmentationConfig, load_config
from core.data.batches import Batch, batches
from core.data.breasts import breast_notes, breast_rows, breasts_of, paths_of, require_breasts
from core.data.cache import PreparedCache
from core.errors import BadConfig, BadManifest
from core.model.view_codes import CC, MLO


def table(*rows: tuple[str, str, str, str], exams: tuple[str, ...] = ()) -> pd.DataFrame:
    """Rows of patient, side, view, label; a path each."""
    frame = pd.DataFrame(rows, columns=["patient_id", "laterality", "view", "label"])
    frame.insert(0, "path", [f"/{number}.png" for number in range(len(rows))])
    return frame.assign(exam_id=list(exams)) if exams else frame


def members(frame: pd.DataFrame) -> list[list[int]]:
    return [row[row >= 0].tolist() for row in breasts_of(frame).members]


def test_images_of_one_patient_and_side_are_one_breast_in_the_order_of_first_images() -> None:
    frame = table(
        ("a", "R", "MLO", "benign"),
        ("b", "L", "CC", "malignant"),
        ("a", "R", "CC", "malignant"),
        ("a", "L", "CC", "benign"),
        ("a", "R", "CC", "benign"),
    )
    breasts = breasts_of(frame)
    assert members(frame) == [[0, 2, 4], [1], [3]]
    assert breasts.labels.tolist() == [1.0, 1.0, 0.0], "malignant by any image"
    assert breasts.views.tolist() == [MLO, CC, CC, CC, CC]
    assert breasts.leaders.tolist() == [0, 1, 0, 3, 0]
    rows, slots, owners = breasts.select(np.array([2, 0]))
    assert rows.tolist() == [3, 0, 2, 4] and slots.tolist() == [[0, -1, -1], [1, 2, 3]] and owners.tolist() == [0, 1, 1, 1]


def test_examinations_are_apart_and_an_image_of_unknown_side_is_a_breast_of_its_own() -> None:
    rows = [("a", "L", "CC", "benign"), ("a", "L", "MLO", "benign"), ("a", "", "CC", ""), ("a", "", "MLO", "malignant")]
    assert members(table(*rows, exams=("1", "2", "1", "1"))) == [[0], [1], [2], [3]]
    assert members(table(*rows, exams=("1", "1", "1", "1"))) == [[0, 1], [2], [3]]
    labels = breasts_of(table(*rows)).labels
    assert np.isnan(labels[1]) and labels[[0, 2]].tolist() == [0.0, 1.0]


def test_a_breast_has_one_row_with_all_paths() -> None:
    frame = table(("a", "L", "MLO", "benign"), ("b", "L", "", "benign"), ("a", "L", "CC", "malignant"))
    found = breast_rows(frame.assign(site=["x", "y", "z"]))
    assert found["path"].tolist() == ["/0.png", "/1.png"] and list(found.index) == [0, 1]
    assert [paths_of(cell) for cell in found["paths"]] == [["/0.png", "/2.png"], ["/1.png"]]
    assert found["view"].tolist() == ["CC+MLO", ""] and found["label"].tolist() == ["malignant", "benign"]
    assert found["site"].tolist() == ["x", "y"], "what else is known is that of the first image"


def test_no_images_make_no_breasts() -> None:
    empty = table(("a", "L", "CC", "benign")).iloc[:0]
    assert len(breasts_of(empty)) == 0 and breast_rows(empty).empty


@pytest.mark.parametrize("cell", ["", "[]", "{}", "[1]", "a.png"])
def test_a_damaged_cell_of_paths_is_refused(cell: str) -> None:
    with pytest.raises(BadManifest, match="JSON list"):
        paths_of(cell)


def test_what_breasts_lack_is_counted() -> None:
    frame = table(
        ("a", "L", "CC", "benign"),
        ("a", "L", "MLO", "benign"),
        ("a", "L", "MLO", "benign"),
        ("b", "L", "CC", "benign"),
        ("c", "", "CC", "benign"),
        ("d", "R", "", "benign"),
        ("d", "R", "CC", "benign"),
    )
    notes = "; ".join(breast_notes(frame))
    assert "7 images make 4 breasts" in notes
    assert "2 breasts lack CC or MLO" in notes
    assert "in 1 case a breast has several images of one view" in notes
    assert "1 image does not say the side" in notes and "1 image is of no known view" in notes
    assert breast_notes(table(("a", "L", "CC", "benign"), ("a", "L", "MLO", "benign"))) == [
        "model.views 2: 2 images make 1 breast"
    ]


def test_two_views_need_a_breast_with_two_images_and_one_threshold() -> None:
    single = table(("a", "L", "CC", "benign"), ("a", "R", "CC", "benign"))
    require_breasts(single, load_config(None, []))
    with pytest.raises(BadManifest, match="no breast has a second image"):
        require_breasts(single, load_config(None, ["model.views=2"]))
    with pytest.raises(BadConfig, match="per_view_thresholds"):
        require_breasts(single, load_config(None, ["model.views=2", "evaluation.per_view_thresholds=true"]))


class TestBatches:
    """Batches of breasts."""

    @pytest.fixture
    def frame(self, tmp_path: Path) -> pd.DataFrame:
        return draw_breasts(tmp_path / "images", patients=12)

    @pytest.fixture
    def cache(self, tmp_path: Path) -> PreparedCache:
        return PreparedCache(tmp_path / "cache", toy_config(tmp_path).preprocessing)

    def epoch(self, frame: pd.DataFrame, cache: PreparedCache, **changes: object) -> list[Batch]:
        settings: dict = {"batch_size": 4, "augmentation": None, "seed": 1, "epoch": 1, "breasts": breasts_of(frame)} | changes
        return list(batches(frame, cache, cache.recipe, **settings))

    @pytest.mark.slow
    def test_each_breast_comes_once_with_all_its_images(self, frame: pd.DataFrame, cache: PreparedCache) -> None:
        breasts = breasts_of(frame)
        found = self.epoch(frame, cache)
        assert sorted(index for batch in found for index in batch.indices.tolist()) == list(range(len(breasts)))
        for batch in found:
            assert batch.slots is not None and batch.views is not None
            for breast, slots, label in zip(batch.indices, batch.slots, batch.labels, strict=True):
                own = breasts.members[int(breast)]
                rows = own[own >= 0]
                assert label == breasts.labels[int(breast)]
                images = batch.images[slots[slots >= 0]]
                expected = np.stack([cache.read_pixels(frame["path"].iloc[row]) for row in rows]) / np.float32(255)
                np.testing.assert_allclose(images[:, 0].numpy(), expected, atol=1e-6)
                assert batch.views[slots[slots >= 0]].tolist() == breasts.views[rows].tolist()

    @pytest.mark.slow
    def test_processes_share_the_breasts_of_a_batch(self, frame: pd.DataFrame, cache: PreparedCache) -> None:
        whole = self.epoch(frame, cache, batch_size=8)
        shares = [self.epoch(frame, cache, batch_size=4, rank=rank, world_size=2) for rank in (0, 1)]
        for batch, *parts in zip(whole, *shares, strict=True):
            assert sorted(batch.indices.tolist()) == sorted(index for part in parts for index in part.indices.tolist())

    def test_neither_threads_nor_a_later_start_change_a_pixel(self, frame: pd.DataFrame, cache: PreparedCache) -> None:
        changing = AugmentationConfig(vertical_flip=True)
        whole = self.epoch(frame, cache, augmentation=changing)
        rest = self.epoch(frame, cache, augmentation=changing, start=2, workers=3)
        for one, two in zip(whole[2:], rest, strict=True):
            assert one.lesions is None and two.lesions is None
            for name in vars(one).keys() - {"lesions"}:
                assert torch.equal(getattr(one, name), getattr(two, name)), name

    @pytest.mark.slow
    def test_images_of_a_breast_are_mirrored_alike_and_otherwise_augmented_apart(
        self, frame: pd.DataFrame, cache: PreparedCache
    ) -> None:
        still = dict.fromkeys(("rotation", "zoom", "brightness", "contrast"), 0.0)
        breasts = breasts_of(frame)
        mirrored: dict[int, bool] = {}
        for batch in self.epoch(frame, cache, augmentation=AugmentationConfig(**still), order="sequence"):
            rows, _, _ = breasts.select(batch.indices.numpy())
            for row, image in zip(rows.tolist(), batch.images[:, 0].numpy(), strict=True):
                plain = cache.read_pixels(frame["path"].iloc[row]) / np.float32(255)
                mirrored[row] = not np.allclose(image, plain, atol=1e-6)
                np.testing.assert_allclose(image, plain[:, ::-1] if mirrored[row] else plain, atol=1e-2)
        assert set(mirrored.values()) == {True, False}
        assert all(mirrored[row] == mirrored[int(breasts.leaders[row])] for row in mirrored)
        turned = AugmentationConfig(horizontal_flip=False)
        batch = self.epoch(frame, cache, augmentation=turned, batch_size=1)[0]
        alone = list(batches(frame, cache, cache.recipe, batch_size=1, augmentation=turned, seed=1, epoch=1, order="sequence"))
        rows, _, _ = breasts.select(batch.indices.numpy())
        for row, image in zip(rows.tolist(), batch.images, strict=True):
            assert (alone[row].images[0] == image).all(), "each as it would be augmented by itself"
