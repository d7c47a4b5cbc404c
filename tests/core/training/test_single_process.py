"""Batches of one image, and classes of which hardly any update would see one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from builders.toy_training import EVERY_STEP
from PIL import Image
from torch import nn

from core.config import Config, TrainingConfig
from core.data import read_manifest
from core.data.batches import epoch_order, malignant_draws
from core.model import SUGGESTED
from core.runs import Run
from core.training import advice
from core.training.loop import train
from core.training.losses import class_weights
from core.training.single_process import single_image_batch_norm

MakeConfig = Callable[..., Config]


def _labels(malignant: int, count: int) -> np.ndarray[Any, Any]:
    labels = np.zeros(count, np.float32)
    labels[np.random.default_rng(0).choice(count, malignant, replace=False)] = 1
    return labels


# ---------------------------------------------------------------------- one image


def test_a_norm_that_sees_one_value_takes_its_running_statistics() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 3, 2), nn.BatchNorm2d(3)).train()
    model[1].running_mean.uniform_(), model[1].running_var.uniform_(0.5, 2)
    before = model[1].running_mean.clone()
    image = torch.rand(1, 1, 2, 2)
    with single_image_batch_norm(model, image):
        found = model(image)
    assert model.training and model[1].training and torch.equal(model[1].running_mean, before)
    torch.testing.assert_close(found, model.eval()(image))


@pytest.mark.parametrize("shape", [(1, 1, 5, 5), (2, 1, 2, 2)], ids=["larger maps", "two images"])
def test_where_there_is_more_than_one_value_nothing_changes(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 3, 2), nn.BatchNorm2d(3)).train()
    images = torch.rand(shape)
    expected = model(images)
    with single_image_batch_norm(model, images):
        torch.testing.assert_close(model(images), expected)


def test_an_error_leaves_the_norms_as_they_were() -> None:
    norm = nn.BatchNorm2d(3).train()
    with pytest.raises(RuntimeError), single_image_batch_norm(norm, torch.rand(1, 3, 1, 1)):
        norm(torch.rand(1, 3, 1, 1).to(torch.float64).to("meta"))
    assert norm.training and not norm._forward_hooks and not norm._forward_pre_hooks


@pytest.fixture
def rows(tmp_path: Path) -> Callable[[int, int], Path]:
    """A manifest of breasts, the malignant ones with a spot, and so many of each in training."""

    def make(malignant: int, count: int) -> Path:
        y, x = np.mgrid[0:96, 0:64]
        inside = ((y - 48) / 40) ** 2 + (x / 51) ** 2 < 1
        lines = ["path,label,patient_id,split"]
        wanted = [("train", index < malignant) for index in range(count)]
        wanted += [(split, bool(index % 2)) for split in ("val", "test") for index in range(4)]
        for number, (split, spotted) in enumerate(wanted):
            pixels = np.where(inside, 110 + np.random.default_rng(number).normal(0, 8, inside.shape), 0)
            pixels += 90 * np.exp(-((y - 43) ** 2 + (x - 19) ** 2) / 18) * spotted
            path = tmp_path / f"{number}.png"
            Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)
            lines.append(f"{path},{'malignant' if spotted else 'benign'},p{number},{split}")
        (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return tmp_path / "rows.csv"

    return make


@pytest.fixture
def events(make_config: MakeConfig, rows: Callable[[int, int], Path]) -> Any:
    def run(malignant: int, count: int, **settings: Any) -> list[dict[str, Any]]:
        manifest = rows(malignant, count)
        settings = {"training__epochs": 1, "training__imbalance": "weights", "preprocessing__size": 64, **settings}
        if "model__name" in settings:
            settings["model__options"] = "{}"
        config = make_config(data__manifest=manifest.as_posix(), **settings)
        return list(train(Run.create(config, read_manifest(manifest)), timing=EVERY_STEP))

    return run


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 4])
def test_a_last_batch_of_one_image_is_trained_on(batch_size: int, events: Any) -> None:
    found = events(
        4, 9, model__name="resnet10t", preprocessing__size=32, training__batch_size=batch_size, training__precision="auto"
    )
    assert found[-1]["type"] == "done"
    assert all(np.isfinite(event["loss"]) for event in found if event["type"] == "step")
    told = [event["about"] for event in found if event["type"] == "warning"]
    assert ("batch_norm" in told) is (batch_size == 1)


# ---------------------------------------------------------------------- rare classes


@pytest.mark.parametrize("together", [1, 2, 8, 16, 64, 1000])
@pytest.mark.parametrize("malignant", [1, 2, 10, 25, 50, 75, 98, 99])
def test_every_update_sees_both_classes(malignant: int, together: int) -> None:
    labels = _labels(malignant, 100)
    order = epoch_order(labels, "spread", seed=3, epoch=2, together=together)
    drawn = int(labels[order].sum())
    assert len(order) == 100 and drawn == malignant_draws(malignant, 100, together)
    rarer = min(malignant, 100 - malignant)
    if min(drawn, 100 - drawn) > rarer:  # drawn more often: never missing from an update, and nobody left behind
        for start in range(0, 100 - together + 1, together):
            part = labels[order[start : start + together]]
            assert together < 4 or 0 < part.sum() < together
        rows, times = np.unique(order, return_counts=True)
        rare = labels[rows] == (malignant <= 50)
        assert np.ptp(times[rare]) <= 1 and set(times[~rare]) == {1} and rare.sum() == rarer
    else:
        assert np.array_equal(order, epoch_order(labels, "shuffle", seed=3, epoch=2))
    benign_weight, malignant_weight = class_weights(drawn, 100)
    assert drawn * malignant_weight == pytest.approx((100 - drawn) * benign_weight)
    assert max(malignant_weight, benign_weight) / min(malignant_weight, benign_weight) <= max(together / 2, 1.0) + 1e-6


def test_the_order_is_another_one_each_epoch_and_the_same_each_time() -> None:
    labels = _labels(2, 100)
    first, again, next_one = (epoch_order(labels, "spread", seed=0, epoch=epoch, together=8) for epoch in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, next_one)


@pytest.mark.slow
@pytest.mark.parametrize("malignant", [1, 8, *(pytest.param(count, marks=pytest.mark.slow) for count in (2, 4, 13, 30))])
def test_weights_are_stable_from_one_in_a_hundred_to_half(malignant: int, events: Any) -> None:
    found = events(malignant, 60, training__batch_size=8)
    steps = [event["loss"] for event in found if event["type"] == "step"]
    assert max(steps) < 3, "a step loss of 962 and every score 0.000 is what came of 3 in 150"
    (epoch,) = (event for event in found if event["type"] == "epoch")
    assert epoch["val_loss"] < 1.5


@pytest.mark.slow
@pytest.mark.parametrize("malignant", [1, 5, 10, 50])
@pytest.mark.parametrize("name", SUGGESTED)
def test_weights_are_stable_for_every_suggested_model(name: str, malignant: int, events: Any) -> None:
    found = events(malignant, 100, model__name=name, training__batch_size=8, training__epochs=2)
    assert max(event["loss"] for event in found if event["type"] == "step") < 5
    assert all(event["val_loss"] < 3 for event in found if event["type"] == "epoch")


@pytest.mark.parametrize(
    ("malignant", "batch_size", "accumulation", "said"),
    [
        (1, 8, 1, ["25.0 times as often, and count 3.0 times", "training.imbalance=sampler"]),
        (5, 8, 1, ["5.0 times as often", "Set training.advanced.accumulation_steps to 5 and"]),
        (95, 8, 1, ["Only 5 of 100 training images are benign"]),
        (5, 8, 5, []),
        (30, 8, 1, []),
    ],
)
def test_a_rare_class_is_told_with_a_setting_that_helps(
    malignant: int, batch_size: int, accumulation: int, said: list[str]
) -> None:
    rows = pd.DataFrame({"label": ["malignant"] * malignant + ["benign"] * (100 - malignant)})
    settings = TrainingConfig(imbalance="weights", batch_size=batch_size, advanced={"accumulation_steps": accumulation})
    told = advice.about_classes(rows, settings)
    assert len(told) == bool(said)
    for warning in told:
        assert warning["about"] == "imbalance" and all(words in warning["message"] for words in said)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
