"""The head phase on stored features: the numbers of stepping the frozen network, without stepping it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from builders.toy_training import EVERY_STEP, draw_frame, toy_config

from core.config import Config
from core.data.cache import PreparedCache, clear_all
from core.files.paths import cache_root
from core.model import Classifier, build_model
from core.model.device import DeviceConfig
from core.runs import Run
from core.training import head_features
from core.training.checkpoint import Checkpointer, TrainState
from core.training.distributed import World
from core.training.head_features import feature_cache, feature_count
from core.training.image_preparation import Rows
from core.training.loop import train
from core.training.phases import plan_phases
from core.training.timing import LoopTiming
from core.training.trainer import Trainer

MakeRun = Callable[..., Run]

PLAIN = {
    "augmentation__horizontal_flip": "false",
    **{f"augmentation__{name}": 0 for name in ("rotation", "zoom", "brightness", "contrast")},
}


FULL = 20 + 12  # 18 training and 10 validation images in batches of 4, the last ones filled up

HEAD = {"training__epochs": 3, "training__freeze_epochs": 3}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Weights of a network that was trained a little."""
    folder = tmp_path_factory.mktemp("pretrained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAMMOLAB_CACHE", str(folder / "cache"))
        first = Run.create(toy_config(folder / "runs", training__epochs=1), draw_frame(folder / "images"))
        list(train(first))
    return (first.path / "model.safetensors").as_posix()


@pytest.fixture
def make_head_run(make_run: MakeRun, weights: str) -> MakeRun:
    """Runs of a pretrained network of which, unless other settings are given, only the head trains."""

    def make(name: str, **changes: Any) -> Run:
        return make_run(name, **{"model__weights": weights} | HEAD | changes)

    return make


def losses(run: Run) -> list[tuple[Any, ...]]:
    return [
        (event["type"], event["epoch"], event.get("step"), event.get("loss", event.get("train_loss")), event.get("val_loss"))
        for event in run.events()
        if event["type"] in ("step", "epoch")
    ]


def passes_counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Images of each pass through the backbone from now on."""
    real, counts = Classifier.forward_features, []

    def forward_features(self: Classifier, images: torch.Tensor) -> torch.Tensor:
        counts.append(len(images))
        return real(self, images)

    monkeypatch.setattr(Classifier, "forward_features", forward_features)
    return counts


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        pytest.param(
            {"training__imbalance": "sampler", "training__advanced__accumulation_steps": 2, "training__monitor": "loss"},
            marks=pytest.mark.slow,
        ),
        {"training__precision": "bf16", "training__advanced__ema_decay": 0.9},
        pytest.param({"training__loss": "focal", "training__advanced__label_smoothing": 0.1}, marks=pytest.mark.slow),
    ],
    ids=["plain", "sampler and accumulation", "bf16 and average", "focal"],
)
def test_without_augmentation_the_losses_are_those_of_stepping_the_network(
    make_head_run: MakeRun, changes: dict[str, Any]
) -> None:
    light, stepped = (
        make_head_run(name, **PLAIN, **changes, training__advanced__cache_backbone_features=name == "light")
        for name in ("light", "stepped")
    )
    list(train(light, timing=EVERY_STEP))
    list(train(stepped, timing=EVERY_STEP))
    ours, theirs = losses(light), losses(stepped)
    assert [row[:3] for row in ours] == [row[:3] for row in theirs]
    values = [[value for row in rows for value in row[3:] if value is not None] for rows in (ours, theirs)]
    tolerance = 1e-2 if "training__precision" in changes else 1e-4
    np.testing.assert_allclose(values[0], values[1], rtol=tolerance)


@pytest.mark.slow
def test_the_network_sees_each_view_of_an_image_once(make_head_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = passes_counted(monkeypatch)
    run = make_head_run(
        "run", training__epochs=9, training__freeze_epochs=9, training__advanced__cached_augmentations=3, training__patience=0
    )
    told = [event for event in train(run) if event["type"] == "prepare" and event.get("what") == "features"]
    assert sum(count for count in counts if count > 1) == 18 * 3 + FULL, "four views of the training images, one of the others"
    assert told[-1]["done"] == told[-1]["total"] == 18 * 4 + 10


@pytest.mark.slow
def test_there_are_never_more_views_than_epochs_and_one_without_augmentation(
    make_head_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = passes_counted(monkeypatch)
    list(train(make_head_run("few", training__epochs=2, training__freeze_epochs=2, training__advanced__cached_augmentations=9)))
    assert sum(count for count in counts if count > 1) == 18 + FULL
    counts.clear()
    clear_all(cache_root())
    list(train(make_head_run("plain", **PLAIN, training__advanced__cached_augmentations=9)))
    assert sum(count for count in counts if count > 1) == FULL


@pytest.mark.slow
def test_what_one_training_computes_of_an_image_others_find_on_disk_and_end_alike(
    make_head_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(train(make_head_run("first", **PLAIN), timing=EVERY_STEP))
    counts = passes_counted(monkeypatch)
    second = make_head_run("second", **PLAIN)
    list(train(second, timing=EVERY_STEP))
    batch = second.config().training.batch_size
    assert sum(count for count in counts if count > 1) == batch, "one batch, to see how fast the network is"
    damaged = sorted(cache_root().rglob("*.features"))
    assert len(damaged) == 28
    damaged[0].write_bytes(damaged[0].read_bytes()[:-1] + b"?")
    damaged[1].write_bytes(b"")
    counts.clear()
    third = make_head_run("third", **PLAIN)
    list(train(third, timing=EVERY_STEP))
    assert sum(count for count in counts if count > 1) <= 2 * batch and losses(third) == losses(second)
    clear_all(cache_root())
    assert not list(cache_root().rglob("*.features"))
    alone = make_head_run("alone", **PLAIN)
    list(train(alone, timing=EVERY_STEP))
    assert losses(alone) == losses(second), "the same to the last digit, whoever computes it"


@pytest.mark.slow_for("weights")
@pytest.mark.parametrize("changes", [{"model__weights": "none"}, {"preprocessing__gamma": 0.5}], ids=["weights", "recipe"])
def test_features_of_another_network_or_recipe_are_not_taken(make_head_run: MakeRun, changes: dict[str, Any]) -> None:
    run = make_head_run("run", **PLAIN)
    list(train(run))
    images = PreparedCache(cache_root(), run.config().preprocessing)
    path = str(run.manifest()["path"].iloc[0])

    def known(config: Config) -> Any:
        model = build_model(config.model)
        of = PreparedCache(cache_root(), config.preprocessing)
        count = feature_count(model, config, DeviceConfig(torch.device("cpu"), "fp32"))
        return feature_cache(model, of, config, "cpu", "fp32", count).get(path)

    assert images.has(path) and known(run.config()) is not None
    assert known(make_head_run("other", **PLAIN | changes).config()) is None


@pytest.mark.slow
def test_features_that_do_not_fit_are_fewer_views_or_none(make_head_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = 4 * 6 * 8  # bytes of an image's features: six times the width
    monkeypatch.setattr(head_features, "LARGEST", numbers * (10 + 2 * 18))
    counts = passes_counted(monkeypatch)
    list(train(make_head_run("one view")))
    assert sum(count for count in counts if count > 1) == FULL
    counts.clear()
    monkeypatch.setattr(head_features, "LARGEST", numbers * 40)
    list(train(make_head_run("none")))
    assert sum(count for count in counts if count > 1) == 3 * 18, "each epoch steps the network"


class Recorded(World):
    """One of several processes, alone: what the processes do together is written down."""

    def __init__(self, rank: int, size: int) -> None:
        super().__init__(rank, size)
        self.together: list[str] = []

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        self.together.append("sum")
        return tensor


@pytest.mark.slow_but("1-2", "2-3", "3-2", "5-3", "8-2")
@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("images", [1, 2, 3, 5, 8, 9, 13, 16, 17])
def test_processes_meet_equally_often_whoever_has_an_image_less(
    make_trainer: Callable[..., Trainer], size: int, images: int
) -> None:
    """The loop agrees on something after each batch: a process that skipped one would wait for ever for the others."""
    trainer = make_trainer(
        **PLAIN, training__epochs=3, training__freeze_epochs=3, training__advanced__cache_backbone_features="true"
    )
    rows = trainer.rows
    rows = Rows(rows.train.iloc[:images], rows.val.iloc[: max(1, images // 2)], rows.cache, rows.recipe)
    phase = plan_phases(trainer.config.training, pretrained=True)[0]

    def stored(world: Recorded) -> head_features.Features:
        storing = head_features.store_features(trainer.model, rows, trainer.config, trainer.device, phase, world)
        while True:
            try:
                done, total = next(storing)
            except StopIteration as end:
                return end.value
            world.together.append("end" if done == total else "step")

    alone = stored(Recorded(0, 1))
    worlds = [Recorded(rank, size) for rank in range(size)]
    shares = [stored(world) for world in worlds]
    course = worlds[0].together
    assert course.count("sum") == 2 and course[-2:] == ["end", "sum"] and course.count("end") == 1
    for world in worlds:
        assert [each == "sum" for each in world.together] == [each == "sum" for each in course]
    for name in ("train", "val"):
        together = sum(getattr(share, name) for share in shares)
        torch.testing.assert_close(together, getattr(alone, name), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_other_phases_and_a_single_epoch_step_the_network(make_head_run: MakeRun) -> None:
    for name, freeze in (("single", 1), ("never", 0)):
        events = list(train(make_head_run(name, training__freeze_epochs=freeze)))
        assert not any(event.get("what") == "features" for event in events)


@pytest.mark.slow
def test_an_image_shows_different_views_in_different_epochs(make_head_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[head_features.Features] = []
    real = head_features.Features.__init__

    def remember(self: head_features.Features, *values: Any) -> None:
        real(self, *values)
        kept.append(self)

    monkeypatch.setattr(head_features.Features, "__init__", remember)
    list(train(make_head_run("run", training__advanced__cached_augmentations=2)))
    (stored,) = kept

    def shown(epoch: int) -> dict[int, torch.Tensor]:
        rows = stored.batches(batch_size=5, seed=0, epoch=epoch, order="shuffle", start=0)
        return {int(row): image for batch in rows for row, image in zip(batch.indices, batch.images, strict=True)}

    first, second = shown(1), shown(2)
    assert sorted(first) == list(range(18)) == sorted(second)
    assert 0 < sum(not torch.equal(first[row], second[row]) for row in first) < 18
    assert all(any(torch.equal(first[row], view) for view in stored.train[:, row]) for row in first)
    again = list(stored.batches(batch_size=5, seed=0, epoch=1, order="shuffle", start=2))
    assert all(
        torch.equal(first[int(row)], image) for batch in again for row, image in zip(batch.indices, batch.images, strict=True)
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, weights: str) -> Run:
    """A training on stored features and then of the whole network, that nothing disturbed."""
    folder = tmp_path_factory.mktemp("reference")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAMMOLAB_CACHE", str(folder / "cache"))
        config = toy_config(folder / "runs", model__weights=weights, **HEAD | LONGER)
        run = Run.create(config, draw_frame(folder / "images"), name="whole")
        list(train(run, timing=EVERY_STEP))
    return run


LONGER = {"training__epochs": 4, "training__advanced__ema_decay": 0.9}


@pytest.mark.slow_but("5")
@pytest.mark.parametrize("count", [5, 11, *(pytest.param(count, marks=pytest.mark.slow) for count in (7, 9, 14))])
def test_cut_off_anywhere_it_ends_as_if_it_had_not_been(make_head_run: MakeRun, whole: Run, count: int) -> None:
    seldom = LoopTiming(between_steps=0.0, between_checkpoints=3600.0, between_light_checkpoints=3600.0)
    timing = seldom if count % 2 else EVERY_STEP
    cut = make_head_run("cut", **LONGER)
    training = train(cut, timing=timing)
    list(itertools.islice(training, count))
    training.close()  # type: ignore[attr-defined]
    list(train(cut, resume=True, timing=timing))
    assert losses(cut) == losses(whole)
    ends = [torch.load(run.path / "last.pt", weights_only=True) for run in (whole, cut)]
    for part in ("model", "average"):
        assert ends[0][part] and all(torch.equal(ends[0][part][name], ends[1][part][name]) for name in ends[0][part])


@pytest.mark.slow
def test_a_stop_is_heard_while_features_are_computed(make_head_run: MakeRun) -> None:
    whole, run = make_head_run("whole"), make_head_run("run")
    list(train(whole, timing=EVERY_STEP))
    for event in train(run, timing=EVERY_STEP):
        if event.get("what") == "features":
            run.request("stop")
    assert run.status().state == "stopped"
    assert not any(event["type"] == "step" for event in run.events())
    list(train(run, resume=True, timing=EVERY_STEP))
    assert losses(run) == losses(whole)


@pytest.mark.slow
def test_light_epochs_do_not_each_write_a_checkpoint(make_head_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[int] = []
    real = Checkpointer.save

    def save(self: Checkpointer, state: TrainState, states: dict[str, Any]) -> None:
        saved.append(state.epoch)
        real(self, state, states)

    monkeypatch.setattr(Checkpointer, "save", save)
    run = make_head_run("run", training__epochs=6, training__freeze_epochs=5)
    for event in train(run, timing=LoopTiming(between_light_checkpoints=3600.0)):
        if event["type"] == "epoch" and event["epoch"] == 3:
            run.request("stop")
    assert saved == [1, 4], "at the start, and because a stop was requested"
    list(train(run, resume=True))
    assert saved == [1, 4, 6, 6, 7], "the head's last epoch, the next phase's start, the end"
