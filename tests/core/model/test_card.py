"""model.json as a typed card: refused with the place of what is wrong, and nothing lost of what this version does not know."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.config import ModelConfig, Recipe
from core.errors import BadRun
from core.metrics import ThresholdRule
from core.metrics.frozen import Frozen
from core.model import ModelCard, build_model, read_card, save_model, update_card

CONFIG = ModelConfig(options={"width": 8})
CARD = ModelCard(
    run="b0",
    model=CONFIG,
    recipe=Recipe(size=64),
    recipe_hash=Recipe(size=64).hash,
    threshold=0.4,
    thresholds={"breast": 0.3, "patient": "too few patients"},
    threshold_rule=ThresholdRule("youden"),
    best_epoch=3,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(tmp_path, build_model(CONFIG), CARD)
    return tmp_path


def rewrite(folder: Path, **changes: Any) -> None:
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def test_a_card_comes_back_with_the_types_it_had(folder: Path) -> None:
    card = read_card(folder)
    assert {name: getattr(card, name) for name in CARD.model_fields_set} == {
        name: getattr(CARD, name) for name in CARD.model_fields_set
    }
    assert card.level_thresholds == {"image": 0.4, "breast": 0.3, "patient": "too few patients"}
    assert card.rule == ThresholdRule("youden") and card.same_recipe() == Recipe(size=64)
    with pytest.raises(ValueError, match="frozen"):
        card.threshold = 0.1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"best_epoch": "3"}, r"best_epoch: expected a valid integer, got '3'"),
        ({"synthetic": "no"}, "synthetic: expected true or false"),
        ({"versions": ["torch"]}, "versions: expected an object|versions: expected a valid dictionary"),
        ({"validation": {"auc": "high"}}, r"validation\.auc: expected a valid number"),
        ({"validation": [0.5]}, "validation"),
        ({"thresholds": [0.5]}, "thresholds: expected one a level, got"),
        ({"view_thresholds": {"CC": 2}}, r"view_thresholds\.CC: expected a number from 0 to 1, got 2"),
        ({"calibration": {"method": "isotonic", "x": [0.1, 0.2], "y": [0.5, 0.4]}}, "calibration: .*rising map"),
        ({"calibrations": {"patient": {}}}, r"calibrations\.patient: expected a method"),
        ({"target_sensitivity": "0.9"}, "target_sensitivity: expected a valid number"),
        ({"recipe": "the usual"}, "recipe"),
        ({"normalisation": {"mean": "x"}}, r"normalisation\.mean"),
    ],
    ids=str,
)
def test_a_field_that_is_not_what_it_should_be_is_named(folder: Path, changes: dict[str, Any], said: str) -> None:
    rewrite(folder, **changes)
    with pytest.raises(BadRun, match=rf"model\.json: {said}"):
        read_card(folder)


def test_what_a_later_version_wrote_stays_when_the_card_is_changed(folder: Path) -> None:
    later = {
        "licence": {"name": "CC0"},
        "recipe": Recipe(size=64).model_dump(mode="json") | {"sharpen": 2},
        "threshold_rule": {"kind": "npv", "target": 0.99},
        "validation": {"auc": 0.8, "kappa": 0.5},
    }
    rewrite(folder, **later)
    update_card(folder, Frozen(threshold=0.2))
    stored = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    assert stored["threshold"] == 0.2 and {name: stored[name] for name in later} == later
    card = read_card(folder)
    for asked in (card.known_recipe, lambda: card.rule):
        with pytest.raises(BadRun, match=r"not one this version knows|of another version"):
            asked()


def test_a_change_that_is_not_what_its_field_should_be_changes_nothing(folder: Path) -> None:
    before = (folder / "model.json").read_bytes()
    with pytest.raises(BadRun, match="threshold: expected a number from 0 to 1"):
        update_card(folder, {"threshold": 1.5})
    assert (folder / "model.json").read_bytes() == before
