from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from builders.toy_training import draw_frame, toy_config

from core.config import Config
from core.errors import BadConfig, NotEnoughData
from core.metrics.intervals import Interval
from core.studies import Design, probe

DESIGN = Design(folds=2, factors={"preprocessing.clahe": [False, True]})


@pytest.fixture
def images(tmp_path: Path) -> pd.DataFrame:
    return draw_frame(tmp_path / "images")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A network without weights is probed as it is: no file is read."""
    monkeypatch.setattr("core.studies.quick_probe._with_weights", lambda config, compared: config)
    return toy_config(tmp_path, evaluation__bootstrap_samples=100)


def test_a_probe_answers_without_a_training_and_leaves_the_test_split_alone(images: pd.DataFrame, config: Config) -> None:
    seen: list[tuple[int, int]] = []
    found = probe(DESIGN, config, images, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (56, 56) and found.unreadable == {} and found.backbones == ("small_cnn",)
    reference, other = found.results.cells
    assert reference.images == other.images == 28 and reference.folds == 2
    assert isinstance(other.difference, Interval) and other.adjusted_p is not None
    assert found.as_dict()["notice"].startswith("A probe is not a full training")
    again = probe(DESIGN, config, images).results.cells[1].difference
    assert isinstance(again, Interval) and again.value == pytest.approx(other.difference.value)


def test_images_that_cannot_be_read_are_listed_and_left_out_everywhere(images: pd.DataFrame, config: Config) -> None:
    Path(images["path"][3]).write_bytes(b"nothing")
    found = probe(DESIGN, config, images)
    assert list(found.unreadable) == [images["path"][3]] and found.results.cells[0].images == 27
    for path in images["path"]:
        Path(path).write_bytes(b"nothing")
    with pytest.raises(NotEnoughData, match="none of the 28 images"):
        probe(DESIGN, config, images)


def test_networks_without_weights_are_compared_with_none(images: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="small_cnn starts without weights"):
        probe(Design(folds=2, factors={"model.name": ["small_cnn", "tf_efficientnet_lite0"]}), toy_config(tmp_path), images)


def test_what_a_probe_cannot_see_is_refused(images: pd.DataFrame, config: Config) -> None:
    with pytest.raises(BadConfig, match=r"model\.dropout: a probe trains no network"):
        probe(Design(folds=2, factors={"model.dropout": [0.1, 0.5]}), config, images)
    with pytest.raises(BadConfig, match="trains no network"):
        probe(Design(folds=2, factors={"training.epochs": [1, 2]}), config, images)


@pytest.mark.slow
def test_a_recipe_that_differs_in_several_settings_is_one_comparison(images: pd.DataFrame, config: Config) -> None:
    design = Design(folds=2, factors={"preprocessing": [{}, {"clahe": False, "gamma": 0.5}]})
    reference, other = probe(design, config, images).results.cells
    assert (reference.label, other.label) == ("configured settings", "clahe false + gamma 0.5")
    with pytest.raises(BadConfig, match=r"training.epochs: a probe trains no network"):
        probe(Design(folds=2, factors={"training": [{}, {"epochs": 3}]}), config, images)
