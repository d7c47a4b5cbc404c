from __future__ import annotations

import errno
import itertools
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pandas as pd
import pytest
import torch
from builders.textured import textured_breast
from builders.toy_training import EVERY_STEP, draw_frame, toy_config
from safetensors.torch import load_file

from core.errors import BadRun, LabError, Leakage, TrainingFailed
from core.model import load_model
from core.runs import Run, event_log
from core.runs.split_origin import read_split_origin
from core.training import loop as loop_module
from core.training.loop import train
from core.training.timing import LoopTiming
from core.training.trainer import Trainer

MakeRun = Callable[..., Run]
Event = dict[str, Any]

_BY_THE_CLOCK = ("seq", "time", "images_per_second", "eta_seconds", "seconds", "memory")


def timeless(events: list[Event]) -> list[Event]:
    """Events as they would be on any clock, without what a resumption adds."""
    return [
        {key: value for key, value in event.items() if key not in _BY_THE_CLOCK}
        for event in events
        if event["type"] not in ("resume", "prepare")
    ]


def last_weights(run: Run) -> dict[str, torch.Tensor]:
    return torch.load(run.path / "last.pt", weights_only=True)["model"]


def same_weights(one: Run, other: Run) -> bool:
    first, second = last_weights(one), last_weights(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def cut_after(run: Run, count: int, **options: Any) -> list[Event]:
    """Let the launcher vanish after so many events: nothing after the last checkpoint counts."""
    training = train(run, **options)
    seen = list(itertools.islice(training, count))
    training.close()  # type: ignore[attr-defined]
    return seen


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A training with the settings of all others here that nothing disturbed. No test image is one."""
    folder = tmp_path_factory.mktemp("reference")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAMMOLAB_CACHE", str(folder / "cache"))
        frame = draw_frame(folder / "images")
        for path in frame.loc[frame["split"] == "test", "path"]:
            Path(path).write_text(f"{path} is no image at all", encoding="utf-8")
        run = Run.create(toy_config(folder / "runs"), frame, name="whole")
        assert list(train(run, timing=EVERY_STEP)) == run.events()
    return run


# ---------------------------------------------------------------- the plain course of things


@pytest.mark.slow
def test_a_training_tells_its_story_in_order(whole: Run) -> None:
    run, events = whole, whole.events()
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    kinds = [kind for kind, _ in itertools.groupby(event["type"] for event in events)]
    assert kinds == ["start", "prepare", "warning", "phase", "step", "epoch", "step", "epoch", "prepare", "done"]
    start, done = events[0], events[-1]
    assert start["images"] == {"train": 18, "val": 10, "test": 4}
    assert (start["device"], start["precision"], start["threads"], start["run"]) == ("cpu", "fp32", 1, "whole")
    steps = [event for event in events if event["type"] == "step"]
    assert [(step["epoch"], step["step"]) for step in steps] == [(e, s) for e in (1, 2) for s in (1, 2, 3, 4, 5)]
    assert [step["global_step"] for step in steps] == list(range(1, 11))
    assert all(step["steps"] == 5 and step["learning_rate"] > 0 for step in steps)
    epochs = [event for event in events if event["type"] == "epoch"]
    assert [event["epoch"] for event in epochs] == [1, 2]
    assert {"auc", "average_precision", "sensitivity_at_90_specificity", "specificity_at_90_sensitivity"} <= set(
        epochs[0]["val"]
    )
    assert done["state"] == "done"
    best = [event["epoch"] for event in epochs if event["best"]][-1]
    card = run.model_card()
    assert done["best_epoch"] == card.best_epoch == best == run.status().best_epoch
    assert done["threshold"] == card.threshold
    status = run.status()
    assert (status.state, status.epoch, status.epochs, status.reason) == ("done", 2, 2, "")
    assert status.started and status.finished and status.started <= status.finished
    assert "done" in (run.path / "train.log").read_text(encoding="utf-8")


def test_the_test_images_are_never_prepared(whole: Run) -> None:
    assert whole.status().state == "done" and not whole.excluded()
    assert set(pd.read_csv(whole.path / "predictions" / "val.csv")["split"]) == {"val"}


@pytest.mark.slow
def test_fitting_the_gate_is_told_as_the_last_step_and_can_be_skipped(make_run: MakeRun) -> None:
    run = make_run()
    seen: list[Event] = []
    for event in train(run, timing=EVERY_STEP):
        seen.append(event)
        if event.get("what") == "gate":
            assert run.status().state == "running" and run.status().phase == "gate"
            run.request("stop")
    gate = [event for event in seen if event.get("what") == "gate"]
    assert 0 < gate[0]["done"] < gate[0]["total"] == 28, "it ended after the batch in which it was asked to"
    assert len(gate) == 1
    assert (seen[-1]["type"], seen[-1]["state"]) == ("done", "done"), "the training itself has come to its end"
    assert "skipped as asked" in seen[-2]["message"] and run.has_model
    assert not (run.path / "gate.safetensors").exists() and not run.requested("stop")


@pytest.mark.slow
def test_steps_are_reported_at_a_pace_a_page_can_follow(make_run: MakeRun) -> None:
    seldom = LoopTiming(between_steps=3600.0)
    steps = [event["step"] for event in train(make_run(), timing=seldom) if event["type"] == "step"]
    assert steps == [1, 5, 1, 5], "the first of an epoch and its last"


def test_two_runs_with_one_seed_are_equal_bit_for_bit_and_another_seed_is_not(make_run: MakeRun) -> None:
    runs = [make_run(name, training__seed=seed, training__epochs=1) for name, seed in (("a", 3), ("b", 3), ("c", 4))]
    stories = [timeless(list(train(run, timing=EVERY_STEP))) for run in runs]
    assert same_weights(runs[0], runs[1])
    assert stories[0][1:] == stories[1][1:]
    assert not same_weights(runs[0], runs[2])


@pytest.mark.slow
def test_the_clock_does_not_touch_the_arithmetic(make_run: MakeRun, whole: Run) -> None:
    run = make_run("run")
    for _ in train(run):
        torch.rand(10)  # and neither does a reader that draws random numbers
    assert same_weights(whole, run)


@pytest.mark.slow
def test_training_learns_what_can_be_learnt(make_run: MakeRun) -> None:
    run = make_run(training__epochs=20, training__learning_rate=0.005, training__patience=0)
    epochs = [event for event in train(run) if event["type"] == "epoch"]
    assert epochs[-1]["train_loss"] < 0.6 * epochs[0]["train_loss"]
    assert run.model_card().validation.auc > 0.9


@pytest.mark.slow
def test_a_pretrained_model_trains_its_head_then_everything(make_run: MakeRun) -> None:
    first = make_run("first")
    list(train(first))
    second = make_run("second", model__weights=(first.path / "model.safetensors").as_posix(), training__freeze_epochs=1)
    phases = [event for event in train(second) if event["type"] == "phase"]
    assert [(event["phase"], event["first_epoch"], event["last_epoch"]) for event in phases] == [
        ("head", 1, 1),
        ("fine_tune", 2, 2),
    ]
    assert second.status().phase == "fine_tune"


@pytest.mark.slow
@pytest.mark.parametrize("monitor", ["loss", "auc"])
def test_without_improvement_it_stops_early_and_says_so(make_run: MakeRun, monitor: str) -> None:
    run = make_run(
        training__epochs=30, training__patience=2, training__monitor=monitor, training__learning_rate=1e-9, model__dropout=0
    )
    events = list(train(run))
    epochs = [event for event in events if event["type"] == "epoch"]
    assert len(epochs) < 30
    assert not any(event["best"] for event in epochs[-2:]) or monitor == "auc"
    assert events[-1]["state"] == "done"
    assert "Stopped early" in events[-1]["reason"] and monitor in events[-1]["reason"]
    assert run.status().reason == events[-1]["reason"]


@pytest.mark.slow
def test_a_network_of_depthwise_layers_goes_on_bit_for_bit_in_bf16(make_run: MakeRun) -> None:
    settings = {"model__name": "mobilenetv2_035", "model__options": "{}", "training__precision": "bf16", "training__epochs": 1}
    whole, cut = make_run("whole", **settings), make_run("cut", **settings)
    list(train(whole, timing=EVERY_STEP))
    cut_after(cut, 4, timing=EVERY_STEP)
    list(train(cut, resume=True, timing=EVERY_STEP))
    assert same_weights(whole, cut)


@pytest.mark.slow
def test_bf16_trains_on_the_processor(make_run: MakeRun) -> None:
    run = make_run(training__precision="bf16", training__epochs=1)
    events = list(train(run))
    assert events[0]["precision"] == "bf16"
    assert events[-1]["state"] == "done"
    assert {tensor.dtype for tensor in last_weights(run).values()} == {torch.float32}


# ---------------------------------------------------------------- killed and resumed


@pytest.mark.slow_for("1-True")
@pytest.mark.parametrize(
    ("count", "often"),
    [
        *((1, True), (8, False)),
        *(
            pytest.param(count, often, marks=pytest.mark.slow)
            for count, often in ((2, False), (3, True), (4, True), (6, True), (9, True), (10, False), (13, True), (15, False))
        ),
    ],
)
def test_a_run_cut_off_anywhere_ends_as_if_it_had_not_been(make_run: MakeRun, whole: Run, count: int, often: bool) -> None:
    timing = EVERY_STEP if often else replace(EVERY_STEP, between_checkpoints=3600.0)
    cut, expected = make_run("cut"), timeless(whole.events())
    assert len(cut_after(cut, count, timing=timing)) == count
    assert cut.status().state == "stopped"
    list(train(cut, resume=True, timing=timing))
    assert same_weights(whole, cut)
    assert timeless(cut.events())[1:] == expected[1:]
    assert [event["seq"] for event in cut.events()] == list(range(1, len(cut.events()) + 1))
    ours, theirs = (json.loads((run.path / "model.json").read_text(encoding="utf-8")) for run in (whole, cut))
    assert ours["threshold"] == theirs["threshold"]
    kept = [load_file(run.path / "model.safetensors") for run in (whole, cut)]
    assert all(torch.equal(kept[0][name], kept[1][name]) for name in kept[0])


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(
            {"training__freeze_epochs": 1, "training__imbalance": "sampler", "training__advanced__accumulation_steps": 2}
            | {"training__schedule": "cosine"},
            marks=pytest.mark.slow,
        ),
        {"training__freeze_epochs": 2, "training__advanced__ema_decay": 0.9, "augmentation__mixup": 0.4, "model__dropout": 0.5},
        pytest.param(
            {"training__freeze_epochs": 0, "training__schedule": "plateau", "training__advanced__plateau_patience": 0}
            | {
                "training__advanced__gradual_unfreezing_epochs": 1,
                "training__advanced__layerwise_learning_rate_decay": 0.7,
                "training__learning_rate": 0.3,
            }
            | {"training__frozen_backbone_fraction": 0.3, "augmentation__vertical_flip": "true"},
            marks=pytest.mark.slow,
        ),
    ],
    ids=["sampler and accumulation", "features, average, mixup, dropout", "stages, the first one frozen, and plateau"],
)
def test_a_run_cut_off_again_and_again_ends_the_same_with_phases(make_run: MakeRun, settings: dict[str, Any]) -> None:
    start = make_run("start", training__epochs=1)
    list(train(start, timing=EVERY_STEP))
    settings = settings | {
        "model__weights": (start.path / "model.safetensors").as_posix(),
        "training__epochs": 3,
        "training__patience": 0,
    }
    whole, cut = make_run("whole", **settings), make_run("cut", **settings)
    expected = timeless(list(train(whole, timing=EVERY_STEP)))
    cut_after(cut, 5, timing=EVERY_STEP)
    for _ in range(40):
        if cut.status().state == "done":
            break
        training, steps = train(cut, resume=True, timing=EVERY_STEP), 0
        for event in training:
            steps += event["type"] == "step"
            if steps == 4:  # the first three have their checkpoint now, the fourth is lost
                break
        training.close()  # type: ignore[attr-defined]
    assert cut.status().state == "done"
    assert same_weights(whole, cut)
    assert timeless(cut.events())[1:] == expected[1:]
    averages = [torch.load(run.path / "last.pt", weights_only=True)["average"] for run in (whole, cut)]
    assert all(torch.equal(averages[0][name], averages[1][name]) for name in averages[0])
    assert len(averages[0]) == ("training__advanced__ema_decay" in settings) * len(last_weights(whole))


@pytest.mark.slow
def test_the_plateau_schedule_cuts_the_rate_where_the_validation_loss_no_longer_falls(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([0.7, 0.8, 0.9, 0.6, 0.7])
    real = loop_module.validate

    def validate(*arguments: Any, **options: Any) -> Any:
        result = real(*arguments, **options)
        return replace(result, metrics={**result.metrics, "loss": next(losses)})

    monkeypatch.setattr(loop_module, "validate", validate)
    run = make_run(
        training__epochs=5, training__schedule="plateau", training__advanced__plateau_patience=1, training__patience=0
    )
    rates = {event["epoch"]: event["learning_rate"] for event in train(run, timing=EVERY_STEP) if event["type"] == "step"}
    assert rates == pytest.approx({1: 1e-3, 2: 1e-3, 3: 1e-3, 4: 1e-3 / 3, 5: 1e-3 / 3})


@pytest.mark.slow
def test_warnings_in_words_come_after_the_epoch_that_shows_them(make_run: MakeRun, frame: pd.DataFrame) -> None:
    frame.loc[frame["split"] == "train", "label"] = ["malignant"] * 3 + ["benign"] * 15
    settings: dict[str, Any] = {"training__imbalance": "none", "training__learning_rate": 1e-9, "training__epochs": 10}
    settings |= {"training__patience": 0, "model__dropout": 0, "augmentation__rotation": 0, "augmentation__zoom": 0}
    settings |= {"augmentation__brightness": 0, "augmentation__contrast": 0, "augmentation__horizontal_flip": "false"}
    whole, cut = make_run("whole", **settings), make_run("cut", **settings)
    events = list(train(whole, timing=EVERY_STEP))
    places = [(place, event["about"]) for place, event in enumerate(events) if event["type"] == "warning"]
    assert [about for _, about in places] == ["imbalance", "plateau"]
    assert events[places[0][0] + 1]["type"] == "phase"
    assert (events[places[1][0] - 1]["type"], events[places[1][0] - 1]["epoch"]) == ("epoch", 6)
    cut_after(cut, places[1][0], timing=EVERY_STEP)  # the epoch is told, the warning is not
    list(train(cut, resume=True, timing=EVERY_STEP))
    assert [event["about"] for event in cut.events() if event["type"] == "warning"] == ["imbalance", "plateau"]


@pytest.mark.slow
def test_a_wait_for_images_is_told(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.training.advice._WORTH_A_WARNING", 0.0)
    monkeypatch.setattr("core.training.advice._WAITING", 0.0)
    told = [event["about"] for event in train(make_run(training__epochs=3)) if event["type"] == "warning"]
    assert told == ["imbalance", "data_wait"]  # the set is so small that a class is rare in a batch


@pytest.mark.slow
def test_resuming_needs_no_starting_weights_any_more(make_run: MakeRun, tmp_path: Path) -> None:
    start = make_run("start", training__epochs=1)
    list(train(start, timing=EVERY_STEP))
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes((start.path / "model.safetensors").read_bytes())
    run = make_run("run", model__weights=weights.as_posix())
    cut_after(run, 6, timing=EVERY_STEP)
    weights.unlink()
    events = list(train(run, resume=True, timing=EVERY_STEP))
    assert events[0]["type"] == "resume"
    assert events[-1]["state"] == "done"


def test_a_damaged_checkpoint_is_said_and_the_run_is_left_as_it_is(make_run: MakeRun) -> None:
    run = make_run()
    cut_after(run, 8, timing=EVERY_STEP)
    (run.path / "last.pt").write_bytes(b"PK\x03\x04 half a zip file")
    with pytest.raises(BadRun, match="damaged"):
        list(train(run, resume=True, timing=EVERY_STEP))
    assert run.status().state == "failed"
    assert "damaged" in run.status().reason


@pytest.mark.slow
def test_a_finished_run_is_neither_started_nor_resumed_again(make_run: MakeRun) -> None:
    run = make_run()
    list(train(run))
    for resume in (False, True):
        with pytest.raises(BadRun, match="finished"):
            list(train(run, resume=resume))
    assert run.status().state == "done"


@pytest.mark.slow
def test_an_image_changed_between_start_and_resume_is_refused(make_run: MakeRun, frame: pd.DataFrame) -> None:
    run = make_run()
    cut_after(run, 6, timing=EVERY_STEP)
    first, second = (Path(path) for path in frame["path"][:2])
    first.write_bytes(second.read_bytes())
    with pytest.raises(TrainingFailed, match="has changed since"):
        list(train(run, resume=True, timing=EVERY_STEP))


# ---------------------------------------------------------------- asked to stop or to pause


def test_stop_finishes_the_step_keeps_a_model_and_can_be_resumed(make_run: MakeRun, whole: Run) -> None:
    run, expected = make_run("run"), timeless(whole.events())
    events = []
    for event in train(run, timing=EVERY_STEP):
        events.append(event)
        if event["type"] == "step" and event["global_step"] == 3:
            run.request("stop")
    kinds = [kind for kind, _ in itertools.groupby(event["type"] for event in events)]
    assert kinds[-4:] == ["step", "warning", "prepare", "done"]
    assert events[-1]["state"] == run.status().state == "stopped"
    assert not run.requested("stop")
    assert run.model_card().best_epoch == 0
    load_model(run.path)
    list(train(run, resume=True, timing=EVERY_STEP))
    assert run.status().state == "done"
    assert same_weights(whole, run)
    assert timeless(run.events())[1:] == expected[1:]


@pytest.mark.slow
def test_stop_in_a_later_epoch_keeps_the_best(make_run: MakeRun) -> None:
    run = make_run()
    for event in train(run, timing=EVERY_STEP):
        if event["type"] == "step" and event["global_step"] == 7:
            run.request("stop")
    assert run.status().state == "stopped"
    assert run.model_card().best_epoch == 1
    assert run.events()[-1]["best_epoch"] == 1


@pytest.mark.slow
def test_a_run_stopped_before_it_began_has_no_model_and_says_so(make_run: MakeRun) -> None:
    run = make_run()
    run.request("stop")
    events = list(train(run))
    assert events[-1]["state"] == "stopped"
    assert events[-1]["threshold"] is None
    assert not run.has_model
    for event in train(run, resume=True):
        if event["type"] == "phase":
            run.request("stop")
    assert not run.has_model and "There is no model yet" in run.status().reason
    assert list(train(run, resume=True))[-1]["state"] == "done"


@pytest.mark.slow
def test_pause_holds_still_and_changes_nothing(make_run: MakeRun, whole: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run("run")
    states: list[str] = []

    def wait(seconds: float) -> None:
        states.append(run.status().state)
        if len(states) == 3:
            run.withdraw("pause")

    monkeypatch.setattr(time, "sleep", wait)
    for event in train(run, timing=EVERY_STEP):
        if event["type"] == "step" and event["global_step"] == 4:
            run.request("pause")
    assert states == ["paused"] * 3
    assert run.status().state == "done"
    assert same_weights(whole, run)


@pytest.mark.slow
def test_a_paused_run_can_be_stopped(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run()
    monkeypatch.setattr(time, "sleep", lambda seconds: run.request("stop"))
    for event in train(run, timing=EVERY_STEP):
        if event["type"] == "epoch":
            run.request("pause")
    assert run.status().state == "stopped"
    assert not run.requested("pause")


# ---------------------------------------------------------------- what goes wrong


def spoil(monkeypatch: pytest.MonkeyPatch, at_step: int, act: Callable[[torch.Tensor], torch.Tensor]) -> None:
    real = Trainer._loss

    def loss(self: Trainer, batch: Any) -> tuple[torch.Tensor, torch.Tensor | float]:
        value, beside = real(self, batch)
        return (act(value) if self.state.global_step == at_step else value), beside

    monkeypatch.setattr(Trainer, "_loss", loss)


def out_of_memory(loss: torch.Tensor) -> torch.Tensor:
    raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB")


def no_memory(loss: torch.Tensor) -> torch.Tensor:
    raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried 1 byte")


def bug(loss: torch.Tensor) -> torch.Tensor:
    raise ZeroDivisionError("who would have thought")


@pytest.mark.slow_but("nan")
@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda loss: loss * float("nan"), ["NaN", "training.learning_rate"]),
        pytest.param(lambda loss: loss * float("inf"), ["infinite", "training.learning_rate"], marks=pytest.mark.slow),
        pytest.param(out_of_memory, ["GPU ran out of memory", "training.batch_size"], marks=pytest.mark.slow),
        (no_memory, ["computer ran out of memory", "training.batch_size"]),
        (bug, ["ZeroDivisionError", "who would have thought", "train.log"]),
    ],
    ids=["nan", "inf", "gpu memory", "memory", "bug"],
)
def test_a_failure_leaves_its_reason_the_best_model_and_a_good_checkpoint(
    make_run: MakeRun, whole: Run, monkeypatch: pytest.MonkeyPatch, act: Callable, words: list[str]
) -> None:
    run = make_run("run")
    with monkeypatch.context() as broken:
        spoil(broken, 7, act)
        with pytest.raises(TrainingFailed) as raised:
            list(train(run, timing=EVERY_STEP))
    status, last = run.status(), run.events()[-1]
    assert status.state == "failed"
    assert last["type"] == "error"
    assert status.reason == last["message"] == str(raised.value)
    assert all(word in status.reason for word in words)
    assert "Traceback" in (run.path / "train.log").read_text(encoding="utf-8")
    assert run.model_card().best_epoch == 1
    assert all(torch.isfinite(tensor).all() for tensor in last_weights(run).values())
    list(train(run, resume=True, timing=EVERY_STEP))  # whatever it was is over
    assert same_weights(whole, run)


@pytest.mark.slow
def test_a_full_disk_keeps_the_last_checkpoint_and_says_what_to_do(
    make_run: MakeRun, whole: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run("run")
    real, calls = torch.save, itertools.count()

    def fills_up(content: Any, stream: Any) -> None:
        if next(calls) == 4:
            stream.write(b"x" * 100)
            raise OSError(errno.ENOSPC, "No space left on device")
        real(content, stream)

    with monkeypatch.context() as full:
        full.setattr(torch, "save", fills_up)
        with pytest.raises(TrainingFailed, match="disk is full"):
            list(train(run, timing=EVERY_STEP))
    assert run.status().state == "failed"
    assert "Free some space" in run.status().reason
    assert not list(run.path.glob(".*.tmp"))
    list(train(run, resume=True, timing=EVERY_STEP))
    assert same_weights(whole, run)


@pytest.mark.slow
def test_unreadable_images_are_left_out_by_name_and_stay_out(make_run: MakeRun, frame: pd.DataFrame) -> None:
    broken = [Path(frame["path"][1]), Path(frame["path"][20])]
    for path in broken:
        path.write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    run = make_run()
    seen = cut_after(run, 8, timing=EVERY_STEP)
    excluded = [event for event in seen if event["type"] == "excluded"]
    assert [Path(event["path"]) for event in excluded] == broken
    assert all(event["reason"] for event in excluded)
    assert [Path(path) for path in run.excluded()] == broken
    assert list(train(run, resume=True, timing=EVERY_STEP))[-1]["state"] == "done"
    scored = pd.read_csv(run.path / "predictions" / "val.csv")
    assert len(scored) == 9
    assert str(broken[1]) not in set(scored["path"])


def test_an_identical_file_in_two_splits_is_leakage(make_run: MakeRun, frame: pd.DataFrame) -> None:
    Path(frame["path"][31]).write_bytes(Path(frame["path"][0]).read_bytes())  # test and train
    run = make_run()
    with pytest.raises(Leakage, match="identical content"):
        list(train(run))
    assert run.status().state == "failed"
    assert not (run.path / "last.pt").exists()


@pytest.mark.slow
def test_a_changed_copy_in_two_splits_is_leakage_and_what_to_do_is_said(make_run: MakeRun, frame: pd.DataFrame) -> None:
    copied(frame)
    run = make_run()
    with pytest.raises(Leakage, match=r"1 picture in several versions stands in several splits.*data repair.*allow_leakage"):
        list(train(run))
    assert run.status().state == "failed" and not (run.path / "last.pt").exists()


@pytest.mark.slow
def test_copies_in_a_split_that_was_drawn_here_are_moved_together_before_the_first_step(
    make_run: MakeRun, frame: pd.DataFrame
) -> None:
    drawn = make_run(rows=frame.assign(split="")).manifest()
    apart = [drawn.index[drawn["split"] == split][0] for split in ("train", "test")]
    picture = textured_breast(1)
    for row, altered in zip(apart, (picture, picture[:, ::-1]), strict=True):
        assert cv2.imwrite(drawn["path"][row], altered)
    run = make_run(rows=frame.assign(split=""))
    assert run.manifest()["split"].tolist() == drawn["split"].tolist()
    seen = list(train(run))
    (said,) = [event["message"] for event in seen if event.get("about") == "split"]
    assert "copies of images stood on several of its sides: 1 group of images stood in several splits" in said
    after = run.manifest().set_index("path")["split"]
    assert after[drawn["path"][apart[0]]] == after[drawn["path"][apart[1]]]
    moved = int((after.reindex(drawn["path"]).to_numpy() != drawn["split"].to_numpy()).sum())
    origin = read_split_origin(run.path)
    assert origin is not None and moved == origin.moved > 0
    assert "moved to another set, so that copies of an image stand in one" in origin.words("patients")
    assert run.status().state == "done" and run.model_card().leakage == ""


@pytest.mark.slow
def test_copies_between_a_given_test_set_and_a_drawn_validation_set_are_refused(make_run: MakeRun, frame: pd.DataFrame) -> None:
    copied(frame)
    run = make_run(rows=frame.assign(split=frame["split"].replace("val", "train")))
    with pytest.raises(Leakage, match="1 picture in several versions"):
        list(train(run))


@pytest.mark.slow
def test_allowed_leakage_is_warned_of_and_recorded_with_the_model_also_after_a_resume(
    make_run: MakeRun, frame: pd.DataFrame
) -> None:
    copied(frame)
    run = make_run(data__allow_leakage=True)
    seen = cut_after(run, 8, timing=EVERY_STEP)
    said = "1 picture in several versions stands in several splits"
    assert [event["message"] for event in seen if event.get("about") == "leakage"] == [
        f"Leakage is allowed: {said}. Every metric of this run carries that mark."
    ]
    list(train(run, resume=True, timing=EVERY_STEP))
    assert run.status().state == "done" and run.model_card().leakage == said


def copied(frame: pd.DataFrame) -> None:
    """Make the picture of a test image the mirrored one of a training image."""
    picture = textured_breast(1)
    assert cv2.imwrite(frame["path"][0], picture) and cv2.imwrite(frame["path"][31], picture[:, ::-1])


@pytest.mark.slow
def test_content_hashes_are_noted_in_the_manifest(make_run: MakeRun) -> None:
    run = make_run(training__epochs=1)
    list(train(run))
    hashes = run.manifest()["content_hash"]
    assert hashes.str.fullmatch("[0-9a-f]{64}").all()
    assert hashes.is_unique


def test_a_size_the_architecture_refuses_is_said_before_the_first_image(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.errors import BadConfig
    from core.model import Classifier

    def refuse(self: Classifier, height: int, width: int) -> None:
        raise BadConfig(f"does not take images of {height} x {width} pixels")

    monkeypatch.setattr(Classifier, "check_input", refuse)
    run = make_run()
    with pytest.raises(BadConfig, match="32 x 32"):
        list(train(run))
    assert [event["type"] for event in run.events()] == ["error"]


def test_a_run_that_is_trained_elsewhere_is_left_alone(make_run: MakeRun) -> None:
    run = make_run()
    lock = run.acquire()
    with pytest.raises(BadRun, match="being trained already"):
        next(iter(train(Run.open(run.path))))
    lock.release()
    assert run.status().state == "queued"
    assert run.events() == []


@pytest.mark.slow
def test_ctrl_c_in_a_step_leaves_a_run_that_can_be_resumed(
    make_run: MakeRun, whole: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(loss: torch.Tensor) -> torch.Tensor:
        raise KeyboardInterrupt

    run = make_run("run")
    with monkeypatch.context() as keyboard:
        spoil(keyboard, 8, interrupt)
        with pytest.raises(KeyboardInterrupt):
            list(train(run, timing=EVERY_STEP))
    assert run.status().state == "stopped"
    list(train(run, resume=True, timing=EVERY_STEP))
    assert same_weights(whole, run)


@pytest.mark.slow
def test_a_launcher_that_leaves_at_the_last_event_does_no_harm(make_run: MakeRun) -> None:
    run = make_run()
    training = train(run)
    for event in training:
        if event["type"] == "done":
            break
    training.close()  # type: ignore[attr-defined]
    assert run.status().state == "done"


@pytest.mark.slow
def test_events_that_no_longer_fit_on_the_disk_end_the_run_with_its_reason(
    make_run: MakeRun, whole: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run("run")
    expected = timeless(whole.events())
    real, calls = event_log._write_all, itertools.count()

    def fills_up(stream: Any, content: bytes) -> None:
        if next(calls) >= 6:
            stream.write(content[:9])
            raise OSError(errno.ENOSPC, "No space left on device")
        real(stream, content)

    with monkeypatch.context() as full:
        full.setattr(event_log, "_write_all", fills_up)
        with pytest.raises(TrainingFailed, match="disk is full"):
            list(train(run, timing=EVERY_STEP))
    assert "disk is full" in run.status().reason
    assert len(run.events()) == 6
    list(train(run, resume=True, timing=EVERY_STEP))
    assert same_weights(whole, run)
    assert timeless(run.events())[1:] == expected[1:]


@pytest.mark.slow
def test_errors_are_all_ours(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch, 1, bug)
    run = make_run()
    with pytest.raises(LabError) as raised:
        list(train(run))
    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    status = run.status()
    assert status.state == "failed" and status.reason == run.events()[-1]["message"] == str(raised.value)
    assert all(word in status.reason for word in ("ZeroDivisionError", "who would have thought", "train.log"))
    assert "Traceback" in (run.path / "train.log").read_text(encoding="utf-8")
