"""Plans: which study the data, the machine and the time ask for."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from builders.toy_training import draw_frame, toy_config

from core.config import Config
from core.data import write_manifest
from core.errors import BadConfig, NotEnoughData, TrainingFailed
from core.studies import Study
from core.studies.fingerprint import Fingerprint, Machine, fingerprint
from core.studies.plan import REAL, Plan, choose, plan
from core.training.model_costs import ModelCosts

DATA = Fingerprint(
    images=2_000,
    patients=600,
    malignant_images=600,
    malignant_patients=200,
    benign_patients=400,
    both_views=0.1,
    synthetic=False,
    sample=60,
    unreadable=0,
    height=3_000,
    width=2_400,
    breast_height=2_400,
    breast_width=1_500,
    spacing=0.07,
    lesion=None,
    seconds=0.02,
)
LAPTOP = Machine("cuda:0 (RTX 4050)", gpu=True, cores=8, memory=5_500_000_000)


def costs(memory: int = 3_000_000_000, seconds: float = 0.1, most: int = 1_000) -> Any:
    """Steps of this many seconds at 512 x 320 and batch 16, and of a memory that grows with both."""

    def measure(config: Config) -> ModelCosts:
        batch = config.training.batch_size
        if batch > most:
            raise TrainingFailed("out of memory")
        share = math.prod(config.preprocessing.shape) / (512 * 320) * batch / 16
        return ModelCosts(seconds * share, batch, int(memory * share), "cuda:0", "bf16", "2026-01-01")

    return measure


def of(data: Fingerprint = DATA, minutes: float = 120, machine: Machine = LAPTOP, **given: Any) -> Plan:
    config = toy_config(Path("runs"), preprocessing__size="[512,320]", training__batch_size=16)
    return choose(config, data, machine, minutes, costs=costs(**given))


def values(found: Plan) -> dict[str, Any]:
    return {each.setting: each.value for each in found.choices}


def test_real_images_start_from_weights_and_every_choice_has_a_reason() -> None:
    found = of()
    said = values(found)
    assert said["model.name"] == found.config.model.name == REAL
    assert said["preprocessing.size"] == [512, 320] and said["folds"] == found.design.folds == 5
    assert said["training.epochs"] == 15 and found.config.training.freeze_epochs < 15
    assert all(each.why for each in found.choices) and found.minutes <= found.budget and not found.notes


def test_synthetic_images_keep_the_configured_network() -> None:
    assert of(replace(DATA, synthetic=True)).config.model.name == "small_cnn"


def test_less_time_gives_smaller_images_then_fewer_folds_and_says_so_when_nothing_fits() -> None:
    shorter = [of(minutes=minutes) for minutes in (240, 8, 4, 2, 0.5)]
    pixels = [math.prod(each.config.preprocessing.shape) for each in shorter]
    folds = [each.design.folds for each in shorter]
    assert pixels == sorted(pixels, reverse=True) and pixels[-1] < pixels[0]
    assert folds == sorted(folds, reverse=True) and folds[-1] < 5
    assert all(each.minutes <= each.budget for each in shorter[:-1])
    assert "30 s is too little" in shorter[-1].notes[0] and shorter[-1].minutes > 0.5
    assert "smaller than the 512 × 320" in {each.setting: each.why for each in shorter[1].choices}["preprocessing.size"]


def test_time_that_is_left_goes_into_repeats() -> None:
    assert of(minutes=100_000).design.repeats == 3 and of(minutes=16).design.repeats == 1


@pytest.mark.parametrize(
    ("data", "height"),
    [
        (replace(DATA, breast_height=400, breast_width=250), 320),
        (replace(DATA, breast_height=100, breast_width=90), 96),
        (replace(DATA, lesion=400.0), 512),
        (replace(DATA, lesion=60.0), 640),
        (replace(DATA, lesion=5.0), 768),
    ],
    ids=["small files", "tiny files", "large lesions", "small lesions", "tiny lesions"],
)
def test_the_input_is_as_large_as_the_images_and_their_lesions_ask_for(data: Fingerprint, height: int) -> None:
    assert of(data, minutes=10_000).config.preprocessing.shape[0] == height


def test_the_batch_is_the_largest_that_fits_and_updates_stay_as_large() -> None:
    said = values(of(memory=10_000_000_000))
    assert (said["training.batch_size"], said["training.advanced.accumulation_steps"]) == (4, 4)
    small = of(most=2)
    assert (values(small)["training.batch_size"], values(small)["training.advanced.accumulation_steps"]) == (2, 8)
    assert "out of memory" in {each.setting: each.why for each in small.choices}["training.batch_size"]
    with pytest.raises(TrainingFailed, match="no batch fits"):
        of(most=0)


def test_where_the_memory_is_short_a_smaller_size_is_taken_and_its_own_step_is_stated() -> None:
    found = of(memory=90_000_000_000)
    said = {each.setting: each.why for each in found.choices}
    assert found.config.preprocessing.shape == (320, 192) and "512 × 320 would be better" in said["preprocessing.size"]
    memory = costs(memory=90_000_000_000)(found.config).memory
    assert f"a step takes {memory / 1e9:.1f} GB" in said["training.batch_size"]
    cheap = of(memory=10_000_000_000, minutes=8)
    assert values(cheap)["training.batch_size"] == 16, "what fits at the size that the time allows"


@pytest.mark.parametrize(("malignant", "folds"), [(200, 5), (24, 4), (12, 2), (2, 2)])
def test_rare_patients_give_fewer_folds(malignant: int, folds: int) -> None:
    assert of(replace(DATA, malignant_patients=malignant), minutes=1_000).design.folds == folds


def test_folds_need_two_patients_of_each_label() -> None:
    with pytest.raises(NotEnoughData, match="two patients of each label"):
        of(replace(DATA, malignant_patients=1))


@pytest.mark.parametrize("minutes", [0.0, -1.0, math.nan, math.inf])
def test_impossible_minutes_are_refused(minutes: float, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="a positive number"):
        plan(toy_config(tmp_path), draw_frame(tmp_path / "images"), minutes=minutes)


def test_the_fingerprint_leaves_the_test_split_and_unreadable_files_out(tmp_path: Path) -> None:
    rows = draw_frame(tmp_path / "images")
    seen = fingerprint(rows, toy_config(tmp_path))
    outside = rows[rows["split"] != "test"]
    assert seen.images == len(outside) and seen.patients == outside["patient_id"].nunique() and seen.unreadable == 0
    assert 0 < seen.breast_height <= seen.height and 0 < seen.breast_width <= seen.width
    Path(str(outside["path"].iloc[0])).write_bytes(b"no image")
    assert fingerprint(rows, toy_config(tmp_path)).unreadable == 1
    for path in outside["path"].iloc[1:20]:
        Path(str(path)).write_bytes(b"no image")
    with pytest.raises(NotEnoughData, match="cannot be read"):
        fingerprint(rows, toy_config(tmp_path))
    with pytest.raises(NotEnoughData, match="with a label"):
        fingerprint(rows.assign(split="test"), toy_config(tmp_path))


@pytest.mark.slow
def test_a_study_keeps_the_reasons_of_its_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.studies.plan.costs_of", costs())
    rows = draw_frame(tmp_path / "images")
    write_manifest(rows, tmp_path / "toy.csv")
    found = plan(toy_config(tmp_path / "runs"), rows, minutes=600)
    study = Study.create("planned", found.design, found.config, rows, plan=found.as_dict())
    assert [each["setting"] for each in study.plan()["choices"]] == list(values(found))
    assert study.config().training.epochs == values(found)["training.epochs"]
    (study.path / "plan.json").write_text("[", encoding="utf-8")
    assert study.plan() == {}
