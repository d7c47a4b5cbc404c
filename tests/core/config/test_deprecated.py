"""Settings keep their meaning under the names that version 0.1 had for them."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from core.config import Config, Recipe, load_config, save_section
from core.config.deprecated import RENAMED
from core.errors import BadConfig

OTHER = {
    "training.advanced.accumulation_steps": 4,
    "training.advanced.weight_decay": 0.01,
    "training.advanced.plateau_patience": 5,
    "training.advanced.gradient_clip_norm": 2.5,
    "training.advanced.ema_decay": 0.5,
    "training.advanced.focal_gamma": 3.0,
    "training.advanced.label_smoothing": 0.125,
    "training.advanced.compile": True,
    "training.advanced.threads": 3,
    "training.frozen_backbone_fraction": 0.25,
    "training.advanced.cache_backbone_features": False,
    "training.advanced.cached_augmentations": 7,
    "training.advanced.gradual_unfreezing_epochs": 2,
    "training.advanced.layerwise_learning_rate_decay": 0.75,
    "preprocessing.voi_index": 3,
}


def value_of(config: Config, name: str) -> object:
    value: object = config
    for part in name.split("."):
        value = getattr(value, part)
    return value


def test_every_renamed_setting_is_tried_here() -> None:
    assert set(OTHER) == set(RENAMED.values())


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_a_former_name_is_read_from_a_file_and_noted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, old: str, new: str
) -> None:
    path = tmp_path / "config.yaml"
    section, name = old.split(".")
    path.write_text(f"{section}:\n  {name}: {str(OTHER[new]).lower()}\n", encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        config = load_config(path)
    assert value_of(config, new) == OTHER[new]
    assert config == load_config(None, [f"{new}={str(OTHER[new]).lower()}"])
    assert [(old in message, new in message) for message in caplog.messages] == [(True, True)]
    caplog.clear()
    assert load_config(path, warn=False) == config
    assert not caplog.messages


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_a_former_name_is_read_from_the_command_line_and_wins_over_the_file(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("training:\n  advanced:\n    threads: 2\n    ema_decay: 0.9\n", encoding="utf-8")
    config = load_config(path, [f"{old}={str(OTHER[new]).lower()}"])
    assert value_of(config, new) == OTHER[new]


def test_a_setting_under_both_names_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("training:\n  ema_decay: 0.9\n  advanced:\n    ema_decay: 0.5\n", encoding="utf-8")
    with pytest.raises(BadConfig, match=r"training\.ema_decay is the former name of training\.advanced\.ema_decay"):
        load_config(path)


def test_a_mistake_under_a_former_name_has_its_line(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("training:\n  epochs: 3\n  ema_decay: 2\n", encoding="utf-8")
    with pytest.raises(BadConfig, match=r"line 3: training\.advanced\.ema_decay: got 2; allowed: a number"):
        load_config(path, warn=False)


def test_a_section_that_is_no_section_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("training:\n  ema_decay: 0.5\n  advanced: quick\n", encoding="utf-8")
    with pytest.raises(BadConfig, match=r"training\.advanced: got 'quick'"):
        load_config(path, warn=False)


def test_saving_a_section_leaves_former_names_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("training:\n  ema_decay: 0.5  # mine\n", encoding="utf-8")
    save_section(path, "preprocessing", {"clip_limit": 3.0})
    assert "ema_decay: 0.5  # mine" in path.read_text(encoding="utf-8")
    assert load_config(path, warn=False).training.advanced.ema_decay == 0.5


def test_a_recipe_stored_under_the_former_name_of_its_window_is_the_same_recipe() -> None:
    assert Recipe.model_validate({"voi": 2}) == Recipe(voi_index=2)
    assert (Recipe().hash, Recipe(voi_index=2).hash) == ("ee1dcf4eb4b6", "32eaa53342ec"), "as stored by earlier versions"
