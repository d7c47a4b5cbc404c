"""What a training computes in, and with: chosen once, kept on resuming, and no reason to fail."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch
from builders.toy_training import EVERY_STEP

from core.config import Config
from core.errors import BadConfig, BadRun
from core.model import build_model
from core.model.device import DeviceConfig, with_precision
from core.runs import Run
from core.training import device, setup
from core.training.checkpoint import TrainState, load_checkpoint
from core.training.device import choose_precision, images_per_second
from core.training.loop import train
from core.training.setup import compile_model, open_model, require_room

MakeRun = Callable[..., Run]
MakeConfig = Callable[..., Config]
CPU = torch.device("cpu")


def speeds(monkeypatch: pytest.MonkeyPatch, fp32: float, bf16: float) -> list[str]:
    """Let the measurement find these images a second; gives what was measured."""
    asked: list[str] = []

    def measured(model: Any, config: Any, machines: list[DeviceConfig]) -> dict[str, float]:
        asked.extend(each.precision for each in machines)
        return {"fp32": fp32, "bf16": bf16}

    monkeypatch.setattr(device, "images_per_second", measured)
    return asked


@pytest.mark.parametrize(("bf16", "expected"), [(5.0, "fp32"), (10.0, "fp32"), (12.0, "fp32"), (13.0, "bf16")])
def test_bf16_is_chosen_where_it_is_clearly_quicker(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, bf16: float, expected: str
) -> None:
    speeds(monkeypatch, 10.0, bf16)
    config = make_config(training__precision="auto")
    chosen, rates = choose_precision(DeviceConfig(CPU, "fp32"), build_model(config.model), config)
    assert chosen.precision == expected and rates["bf16"] == bf16


@pytest.mark.slow
@pytest.mark.parametrize("asked", ["fp32", "bf16"])
def test_what_is_asked_for_is_not_measured(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    measured = speeds(monkeypatch, 1.0, 100.0)
    start, *_ = train(make_run(training__precision=asked, training__epochs=1))
    assert start["precision"] == asked and "measured" not in start and measured == []


@pytest.mark.slow
def test_a_resumed_run_computes_as_it_began_whatever_is_quicker_now(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    speeds(monkeypatch, 10.0, 30.0)
    whole, cut = make_run("whole", training__precision="auto"), make_run("cut", training__precision="auto")
    start, *_ = train(whole, timing=EVERY_STEP)
    assert (start["precision"], start["measured"]) == ("bf16", {"fp32": 10.0, "bf16": 30.0})
    training = train(cut, timing=EVERY_STEP)
    list(itertools.islice(training, 6))
    training.close()  # type: ignore[attr-defined]
    measured = speeds(monkeypatch, 30.0, 10.0)
    resumed, *_ = train(cut, resume=True, timing=EVERY_STEP)
    assert resumed["precision"] == "bf16" and measured == []
    found = [load_checkpoint(run.path / "last.pt") for run in (whole, cut)]
    assert all(each is not None and each[0].precision == "bf16" for each in found)
    weights = [each[1]["model"] for each in found if each is not None]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.skipif(time.get_clock_info("thread_time").resolution > 1e-6, reason="this system counts no finer")
def test_other_work_on_the_processor_does_not_decide(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    wall = itertools.count(step=1000.0)  # a thousand seconds go by from one look at the clock to the next
    clocks = SimpleNamespace(perf_counter=lambda: next(wall), thread_time=time.thread_time, get_clock_info=time.get_clock_info)
    monkeypatch.setattr(device, "time", clocks)
    config = make_config()
    rates = images_per_second(build_model(config.model), config, [DeviceConfig(CPU, name) for name in ("fp32", "bf16")])
    assert min(rates.values()) > 1


@pytest.mark.slow
def test_a_measurement_leaves_the_model_as_it_is(make_config: MakeConfig) -> None:
    config = make_config(model__name="resnet10t", model__options="{}")
    model = build_model(config.model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    rates = images_per_second(model, config, [DeviceConfig(CPU, precision) for precision in ("fp32", "bf16")])
    assert list(rates) == ["fp32", "bf16"] and min(rates.values()) > 0
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("device", "own", "began", "expected"),
    [
        ("cpu", "fp32", "bf16", "bf16"),
        ("cpu", "fp32", "fp16", "fp32"),  # begun on a GPU
        ("cuda", "bf16", "fp16", "fp16"),
        ("cuda", "fp16", "bf16", "fp16"),  # an older GPU than before
        ("mps", "fp32", "bf16", "fp32"),
    ],
)
def test_a_precision_that_this_device_lacks_is_not_kept(device: str, own: str, began: str, expected: str) -> None:
    assert with_precision(DeviceConfig(torch.device(device), own), began).precision == expected


# ---------------------------------------------------------------- compiled


@pytest.mark.slow
def test_a_compiler_that_fails_is_a_warning_and_the_training_goes_on(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_compiler(model: torch.nn.Module) -> Callable[..., Any]:
        def call(images: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("Compiler: cl is not found.\nand pages of hints")

        return call

    plain, failing = make_run("plain"), make_run("failing", training__advanced__compile="true")
    list(train(plain, timing=EVERY_STEP))
    with monkeypatch.context() as broken:
        broken.setattr(torch, "compile", no_compiler)
        events = list(train(failing, timing=EVERY_STEP))
    (warning,) = [event for event in events if event["type"] == "warning" and event["about"] == "compile"]
    assert warning["message"].endswith("RuntimeError: Compiler: cl is not found.")
    assert events[-1]["state"] == "done"
    ends = [torch.load(run.path / "last.pt", weights_only=True)["model"] for run in (plain, failing)]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_a_trial_of_the_compiled_model_leaves_no_trace(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda model: model)
    config = make_config(model__name="resnet10t", model__options="{}")
    model = build_model(config.model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    compiled, problem = compile_model(model, DeviceConfig(CPU, "fp32"), config)
    assert compiled is model and problem == ""
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_a_compiled_network_trains_to_the_same_figures_under_the_same_names(make_run: MakeRun) -> None:
    plain, compiled = (
        make_run("plain", model__dropout=0),
        make_run("compiled", model__dropout=0, training__advanced__compile="true"),
    )
    stories = [list(train(run, timing=EVERY_STEP)) for run in (plain, compiled)]
    assert not [event for event in stories[1] if event["type"] == "warning" and event.get("about") == "compile"]
    losses = [[event["loss"] for event in story if event["type"] == "step"] for story in stories]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    ends = [torch.load(run.path / "last.pt", weights_only=True)["model"] for run in (plain, compiled)]
    assert ends[0].keys() == ends[1].keys()


@pytest.mark.parametrize("settings", [{"training__batch_size": 1024}, {"training__batch_size": 16}])
def test_a_training_that_cannot_fit_into_memory_is_refused_before_it_begins(
    settings: dict[str, Any], make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = type(psutil.virtual_memory())
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free(*[6 << 30] * len(free._fields)))
    config = make_config(preprocessing__size=4096, **settings)
    with pytest.raises(BadConfig, match=r"preprocessing\.size, training\.batch_size: .* GiB .* Choose smaller ones"):
        open_model(config, TrainState(), None, CPU)


def test_an_ordinary_training_fits(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    config, asked = make_config(), []
    real = setup.require_memory
    monkeypatch.setattr(setup, "require_memory", lambda size, what: (asked.append(size), real(size, what)))
    require_room(config, CPU)
    height, width = config.preprocessing.shape
    (size,) = asked
    assert 4 * config.training.batch_size * height * width <= size < 2**30


def test_a_checkpoint_of_another_network_is_refused_in_words(make_config: MakeConfig) -> None:
    states = {"model": {"w": torch.ones(2)}}
    with pytest.raises(BadRun, match=r"last\.pt: its weights are not those of small_cnn"):
        open_model(make_config(), TrainState(), states, CPU)


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_a_forks_own_weights_are_no_link(make_config: MakeConfig, tmp_path: Path) -> None:
    (tmp_path / "start.safetensors").symlink_to("/dev/zero")
    config = make_config(model__weights=(tmp_path / "start.safetensors").as_posix())
    with pytest.raises(BadRun, match="expected the run's own weights, got a symbolic link"):
        open_model(config, TrainState(), None, CPU)
