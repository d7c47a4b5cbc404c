"""The first batch that is shown is the first batch that is trained on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import numpy as np
import pytest

from core.data.batches import batches
from core.data.cache import PreparedCache
from core.files.paths import cache_root
from core.runs import Run
from core.training.batch_preview import first_batch, used_rows


@pytest.mark.parametrize("imbalance", ["weights", "sampler"])
def test_the_images_are_those_of_the_first_training_batch_with_its_augmentation(
    make_run: Callable[..., Run], imbalance: str
) -> None:
    run = make_run(training__imbalance=imbalance, training__batch_size=6, training__seed=3)
    assert first_batch(run.config(), run.manifest()) is None  # nothing is prepared yet, and a look prepares nothing
    config = run.config()
    rows = used_rows(run)
    train = rows[rows["split"] == "train"].reset_index(drop=True)
    cache = PreparedCache(cache_root(), config.preprocessing)
    assert not any(cache.iter_prepare(train["path"]))
    source = batches(
        train,
        cache,
        config.preprocessing,
        batch_size=6,
        augmentation=config.augmentation,
        seed=3,
        epoch=1,
        order="sampler" if imbalance == "sampler" else "shuffle",
    )
    with closing(source):
        expected = next(source)
    for limit in (6, 4, 16):
        seen = first_batch(config, rows, limit)
        assert seen is not None
        count = min(limit, 6)
        np.testing.assert_array_equal(seen.pixels, np.round(expected.images[:count, 0].numpy() * 255).astype(np.uint8))
        assert [label == "malignant" for label in seen.labels] == (expected.labels[:count] > 0.5).tolist()
        assert list(seen.paths) == [train["path"][index] for index in expected.indices[:count].tolist()]


def test_images_that_were_left_out_are_not_shown(make_run: Callable[..., Run]) -> None:
    run = make_run()
    train = run.manifest().query("split == 'train'")
    (run.path / "excluded.csv").write_text(f"path,reason\n{train['path'].iloc[0]},damaged\n", encoding="utf-8")
    assert not any(PreparedCache(cache_root(), run.config().preprocessing).iter_prepare(train["path"].iloc[1:]))
    seen = first_batch(run.config(), used_rows(run))
    assert seen is not None and train["path"].iloc[0] not in seen.paths
