"""Trainings whose samples are breasts: repeatable, resumable, with stored features, and with what is written down."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from builders.toy_breasts import draw_breasts
from builders.toy_training import EVERY_STEP, toy_config

from core.data.breasts import breasts_of, paths_of
from core.errors import BadManifest
from core.runs import Run
from core.training.batch_preview import first_batch, used_rows
from core.training.loop import train
from core.training.mixing import partners
from core.training.preflight import preflight

MakeRun = Callable[..., Run]
PLAIN = {
    "augmentation__horizontal_flip": "false",
    **{f"augmentation__{name}": 0 for name in ("rotation", "zoom", "brightness", "contrast")},
}


@pytest.fixture
def breasts(tmp_path: Path) -> pd.DataFrame:
    return draw_breasts(tmp_path / "breasts")


@pytest.fixture
def make(tmp_path: Path, breasts: pd.DataFrame) -> MakeRun:
    """Runs of two views; keywords as of toy_config."""

    def made(name: str, rows: pd.DataFrame | None = None, **changes: Any) -> Run:
        config = toy_config(tmp_path / "runs", **({"model__views": 2} | changes))
        return Run.create(config, breasts if rows is None else rows, name=name)

    return made


def weights(run: Run) -> bytes:
    return (run.path / "model.safetensors").read_bytes()


@pytest.fixture
def few(breasts: pd.DataFrame) -> pd.DataFrame:
    """Half of the breasts that train, where their number is not what matters; the others serve the other sets."""
    return breasts[(breasts["split"] != "train") | (breasts["patient_id"] < "p12")].reset_index(drop=True)


def losses(run: Run) -> list[float]:
    names = ("loss", "train_loss", "val_loss")
    return [event[name] for event in run.events() if event["type"] in ("step", "epoch") for name in names if name in event]


@pytest.mark.slow
def test_steps_scores_and_thresholds_are_of_breasts(make: MakeRun, breasts: pd.DataFrame) -> None:
    run = make("two", training__patience=0)
    events = list(train(run, timing=EVERY_STEP))
    steps = [event for event in events if event["type"] == "step"]
    assert {step["steps"] for step in steps} == {6}, "24 breasts of 44 images, 4 in a batch"
    told = next(event["message"] for event in events if event.get("about") == "views")
    assert "44 images make 24 breasts; 4 breasts lack CC or MLO" in told
    table = pd.read_csv(run.path / "predictions" / "val.csv")
    val = breasts[breasts["split"] == "val"]
    assert len(table) == len(breasts_of(val)) == 12
    assert sorted(path for cell in table["paths"] for path in paths_of(cell)) == sorted(val["path"])
    card = run.model_card()
    assert card.scored == "breast" and card.threshold == (card.thresholds or {})["breast"]
    assert (
        card.level_thresholds["image"] == "the model judges a breast from all its images: there are no scores of single images"
    )


@pytest.mark.slow_but("mixed-concat")
@pytest.mark.parametrize("fusion", ["concat", "attention"])
@pytest.mark.parametrize(
    "changes", [{}, {"training__imbalance": "sampler", "augmentation__mixup": 0.4}], ids=["plain", "mixed"]
)
def test_a_run_that_was_cut_off_ends_as_one_that_was_not(
    make: MakeRun, few: pd.DataFrame, fusion: str, changes: dict[str, Any]
) -> None:
    settings = {"model__fusion": fusion, "training__advanced__ema_decay": 0.9, **changes}
    whole, cut = make("whole", few, **settings), make("cut", few, **settings)
    list(train(whole, timing=EVERY_STEP))
    events = train(cut, timing=EVERY_STEP)
    for event in events:
        if event["type"] == "step" and (event["epoch"], event["step"]) == (1, 2):
            break
    events.close()  # type: ignore[attr-defined]
    list(train(cut, resume=True, timing=EVERY_STEP))
    assert weights(cut) == weights(whole)
    assert (cut.path / "predictions" / "val.csv").read_text() == (whole.path / "predictions" / "val.csv").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("fusion", ["mean", "max", "attention", "concat"])
def test_a_head_on_stored_features_has_the_losses_of_stepping_the_network(
    make: MakeRun, few: pd.DataFrame, fusion: str
) -> None:
    first = make("first", few, model__views=1, training__epochs=1)
    list(train(first))
    start = {"model__weights": (first.path / "model.safetensors").as_posix(), "model__fusion": fusion, **PLAIN}
    phases = {"training__epochs": 2, "training__freeze_epochs": 2, "training__patience": 0}
    found = {}
    for stored in (True, False):
        run = make(f"stored-{stored}", few, **start, **phases, training__advanced__cache_backbone_features=stored)
        events = list(train(run, timing=EVERY_STEP))
        assert any(event.get("what") == "features" for event in events) is stored
        found[stored] = losses(run)
    np.testing.assert_allclose(found[True], found[False], rtol=1e-4)


@pytest.mark.slow
def test_augmented_copies_are_stored_by_image_and_chosen_by_breast(make: MakeRun) -> None:
    first = make("first", model__views=1, training__epochs=1)
    list(train(first))
    start = {"model__weights": (first.path / "model.safetensors").as_posix()}
    run = make("run", **start, training__epochs=4, training__freeze_epochs=4)
    told = [event for event in train(run) if event.get("what") == "features"]
    assert told[-1]["done"] == 3 * 44 + 22, "images, not breasts"
    assert run.status().state == "done"


@pytest.mark.slow
def test_checkpointing_gives_the_same_losses(make: MakeRun) -> None:
    plain, saving = make("plain"), make("saving", model__gradient_checkpointing="true")
    for run in (plain, saving):
        list(train(run, timing=EVERY_STEP))
    np.testing.assert_allclose(losses(saving), losses(plain), rtol=1e-5)


@pytest.mark.slow
def test_an_unreadable_image_is_a_missing_view_and_is_listed(make: MakeRun, breasts: pd.DataFrame) -> None:
    gone = breasts.loc[breasts["split"] == "val", "path"].iloc[1]
    Path(gone).write_bytes(b"no image at all")
    run = make("run", training__epochs=1)
    list(train(run))
    assert list(run.excluded()) == [gone]
    table = pd.read_csv(run.path / "predictions" / "val.csv")
    assert len(table) == 12 and not any(gone in paths_of(cell) for cell in table["paths"])
    assert table["view"].iloc[0] == "CC"


def test_partners_of_blended_images_are_of_the_same_view_of_the_reversed_batch() -> None:
    device = torch.device("cpu")
    assert partners(4, None, None, device).tolist() == [3, 2, 1, 0]
    slots = torch.tensor([[0, 1, -1], [2, -1, -1], [3, 4, 5]])  # CC MLO | MLO | CC CC MLO
    views = torch.tensor([1, 2, 2, 1, 1, 2])
    assert partners(6, slots, views, device).tolist() == [3, 5, 2, 0, 0, 1]


@pytest.mark.slow
def test_the_first_batch_is_shown_in_whole_breasts(make: MakeRun, breasts: pd.DataFrame) -> None:
    run = make("run")
    list(train(run))
    rows = used_rows(run)
    seen = first_batch(run.config(), rows, limit=5)
    assert seen is not None and 3 <= len(seen.paths) <= 5 and len(seen.pixels) == len(seen.labels) == len(seen.paths)
    keys = breasts.set_index("path").loc[list(seen.paths), ["patient_id", "laterality"]].agg("".join, axis=1)
    counts = breasts[["patient_id", "laterality"]].agg("".join, axis=1).value_counts()
    assert all(counts[key] == count for key, count in keys.value_counts().items())


def test_the_preflight_counts_breasts_and_refuses_where_there_are_none(tmp_path: Path, breasts: pd.DataFrame) -> None:
    config = toy_config(tmp_path / "runs", model__views=2)
    found = preflight(config, breasts)
    assert found.ready and (found.breasts, found.steps) == (24, 6)
    assert any("44 images make 24 breasts" in note for note in found.notes)
    single = breasts[breasts["view"] == "CC"].drop_duplicates(["patient_id", "laterality"])
    refused = preflight(config, single)
    assert any("no breast has a second image" in problem for problem in refused.problems)
    with pytest.raises(BadManifest, match="no breast has a second image"):
        Run.create(config, single)
