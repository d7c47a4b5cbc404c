"""Tiny trainings: 32 px images whose malignant ones have a bright spot, and the smallest network we have."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from core.config import Config, load_config
from core.data.cache import PreparedCache
from core.model import build_model
from core.model.device import DeviceConfig
from core.runs import Run
from core.training.checkpoint import TrainState
from core.training.image_preparation import Rows
from core.training.phases import plan_phases
from core.training.timing import LoopTiming
from core.training.trainer import Trainer

MakeConfig = Callable[..., Config]

EVERY_STEP = LoopTiming(between_steps=0.0, between_checkpoints=0.0)  # report and save after each


def draw(path: Path, number: int, malignant: bool) -> None:
    rng = np.random.default_rng(number)
    image = rng.integers(60, 110, (32, 32)).astype(np.uint8)
    if malignant:
        y, x = rng.integers(6, 24, 2)
        image[y : y + 4, x : x + 4] = 250
    assert cv2.imwrite(str(path), image)


def draw_frame(folder: Path) -> pd.DataFrame:
    """18 training, 10 validation and 4 test images in a new folder, each of its own patient; every third malignant."""
    folder.mkdir()
    rows = []
    for number in range(32):
        path = folder / f"{number:02}.png"
        malignant = number % 3 == 0
        draw(path, number, malignant)
        rows.append(
            {
                "path": str(path),
                "label": "malignant" if malignant else "benign",
                "patient_id": f"p{number:02}",
                "laterality": "L",
                "view": "CC",
                "split": "train" if number < 18 else "val" if number < 28 else "test",
            }
        )
    return pd.DataFrame(rows)


def toy_config(checkpoints: Path, **changes: Any) -> Config:
    """A configuration of a training that takes a second; keyword `training__epochs=3` sets training.epochs."""
    settings = {
        "checkpoints": checkpoints.as_posix(),
        "preprocessing.size": 32,
        "preprocessing.clahe": "false",
        "preprocessing.crop": "false",
        "preprocessing.remove_background": "false",
        "preprocessing.orient": "false",
        "preprocessing.polarity": "keep",
        "model.weights": "none",
        "model.options": "{width: 8}",
        "training.epochs": 2,
        "training.batch_size": 4,
        "training.frozen_backbone_fraction": 0,
        "training.advanced.ema_decay": 0,
        "training.advanced.threads": 1,
        "training.device": "cpu",
        "training.precision": "fp32",  # what is quicker is a matter of the moment
    } | {key.replace("__", "."): value for key, value in changes.items()}
    return load_config(None, [f"{key}={value}" for key, value in settings.items()])


@pytest.fixture
def frame(tmp_path: Path) -> pd.DataFrame:
    return draw_frame(tmp_path / "images")


@pytest.fixture
def make_config(tmp_path: Path) -> MakeConfig:
    return partial(toy_config, tmp_path / "runs")


@pytest.fixture
def make_run(make_config: MakeConfig, frame: pd.DataFrame) -> Callable[..., Run]:
    def make(name: str | None = None, rows: pd.DataFrame | None = None, **changes: Any) -> Run:
        return Run.create(make_config(**changes), frame if rows is None else rows, name=name)

    return make


@pytest.fixture
def make_trainer(make_config: Callable[..., Config], frame: pd.DataFrame, tmp_path: Path) -> Callable[..., Trainer]:
    def make(**changes: object) -> Trainer:
        config = make_config(model__dropout=0.0, **changes)
        torch.manual_seed(0)
        model = build_model(config.model)
        cache = PreparedCache(tmp_path / "cache", config.preprocessing)
        splits = {name: frame[frame["split"] == name].reset_index(drop=True) for name in ("train", "val")}
        rows = Rows(splits["train"], splits["val"], cache, config.preprocessing)
        trainer = Trainer(model, rows, config, DeviceConfig(torch.device("cpu"), "fp32"), TrainState())
        trainer.begin(plan_phases(config.training, pretrained=False)[0])
        return trainer

    return make


def toy_probe(config: Config, *, compared: bool) -> Config:
    """In place of core.studies.quick_probe._with_weights: a tiny network on tiny images, so that a probe takes no time."""
    preprocessing = config.preprocessing.model_copy(update={"size": (32, 32)})
    model = config.model.model_copy(update={"name": "small_cnn", "weights": "none", "options": {"width": 8}})
    return config.model_copy(update={"preprocessing": preprocessing, "model": model})
