"""What a step of an architecture costs: measured in a process of its own, kept for this machine and set-up only."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace

import pytest

from core.config import Config
from core.errors import BadConfig, TrainingFailed
from core.model import SUGGESTED
from core.training import model_costs
from core.training.model_costs import ModelCosts, known_costs, measure_costs
from core.training.model_list import list_models, measure_models, with_model

MakeConfig = Callable[..., Config]


def measured_here(
    command: list[str], *, input: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **_: object
) -> SimpleNamespace:
    """What the process of its own would say, without the seconds in which it loads its libraries."""
    assert command[1:] == ["-m", model_costs.__name__]
    monkeypatch.setattr("sys.stdin", io.StringIO(input))
    capsys.readouterr()
    return SimpleNamespace(returncode=model_costs.main(), stdout=capsys.readouterr().out, stderr="")


@pytest.mark.parametrize("own_process", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_measured_step_is_kept_for_its_set_up(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], own_process: bool
) -> None:
    if not own_process:
        here = partial(measured_here, monkeypatch=monkeypatch, capsys=capsys)
        monkeypatch.setattr(model_costs, "subprocess", SimpleNamespace(run=here, TimeoutExpired=subprocess.TimeoutExpired))
    config = make_config(training__batch_size=3)
    assert known_costs(config) is None
    costs = measure_costs(config)
    assert costs.batch_size == 3 and costs.seconds > 0 and costs.device == "cpu" and costs.precision == "fp32"
    assert costs.images_per_second == pytest.approx(3 / costs.seconds)
    assert 0 < costs.memory < 2 << 30
    assert known_costs(config) == costs
    assert known_costs(make_config(training__batch_size=3, model__weights="auto")) == costs  # weights change no time
    for changes in ({"training__batch_size": 4}, {"preprocessing__size": 48}, {"model__options": "{width: 16}"}):
        assert known_costs(make_config(**{"training__batch_size": 3} | changes)) is None
    monkeypatch.setattr(model_costs.metadata, "version", lambda name: "another")
    assert known_costs(config) is None


def test_a_damaged_file_counts_as_not_measured(make_config: MakeConfig) -> None:
    config = make_config()
    path = model_costs._file(config)
    path.parent.mkdir(parents=True)
    path.write_text('{"seconds": "quick"}', encoding="utf-8")
    assert known_costs(config) is None


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (SimpleNamespace(stdout="", stderr="", returncode=-9), r"its process ended with -9 \(nothing was said\)"),
        (SimpleNamespace(stdout='result: {"error": "too large"}\n', stderr="", returncode=0), "small_cnn: too large"),
    ],
)
def test_what_cannot_be_measured_is_said(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, result: SimpleNamespace, said: str
) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: result)
    with pytest.raises(TrainingFailed, match=said):
        measure_costs(make_config())
    assert known_costs(make_config()) is None


def test_a_process_that_does_not_end_is_given_up(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def late(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("python", 900)

    monkeypatch.setattr(subprocess, "run", late)
    assert list(measure_models(make_config(), ["small_cnn"])) == ["small_cnn"]


def test_the_list_has_the_suggested_ones_with_their_weights(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_config()
    found = {each.name: each for each in list_models(config)}
    assert list(found) == list(SUGGESTED)
    assert found["small_cnn"].weights.kind == "none" and found["small_cnn"].parameters > 400_000
    lite = found["tf_efficientnet_lite0"]
    assert (lite.weights.kind, lite.weights.licence, lite.parameters) == ("package", "apache-2.0", 3_371_713)
    assert all(each.costs is None for each in found.values())
    assert list_models(make_config(model__name="resnet10t", model__options="{}"))[-1].name == "resnet10t"
    assert [each.name for each in list_models(config, ["mobilenetv2_035"])] == ["mobilenetv2_035"]
    with pytest.raises(BadConfig, match="resnet18"):
        list_models(config, ["resnet17"])


def test_models_are_measured_one_after_the_other(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[str] = []

    def measure(config: Config) -> ModelCosts:
        measured.append(config.model.name)
        if config.model.name == "resnet50":
            raise TrainingFailed("resnet50: too large")
        return ModelCosts(1.0, 2, 3, "cpu", "fp32", "2026-01-01")

    monkeypatch.setattr("core.training.model_list.measure_costs", measure)
    seen: list[tuple[int, int]] = []
    config = make_config()
    assert measure_models(config, ["resnet50", "small_cnn"], lambda *now: seen.append(now)) == {
        "resnet50": "resnet50: too large"
    }
    assert measured == ["resnet50", "small_cnn"] and seen == [(0, 2), (1, 2), (2, 2)]
    assert with_model(config, "resnet50").model.options == {}  # those of small_cnn are not its
