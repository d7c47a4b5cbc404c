"""Averaged weights: what they are, and that they are what is validated and kept."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from builders.toy_training import EVERY_STEP
from safetensors.torch import load_file

from core.config import ModelConfig
from core.model import build_model
from core.runs import Run
from core.training.ema import EMA
from core.training.loop import train

MakeRun = Callable[..., Run]


@pytest.mark.slow
@pytest.mark.parametrize("frozen", [True, False])
def test_the_average_is_that_of_a_plain_loop(frozen: bool) -> None:
    torch.manual_seed(0)
    model = build_model(ModelConfig(weights="none", name="resnet10t"))
    if frozen:
        model.unfreeze_backbone(0)
    average = EMA(model, 0.7)
    average.track(model)
    expected = copy.deepcopy(model.state_dict())
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.3)
    for update in range(1, 5):
        model(torch.rand(4, 1, 32, 32)).sum().backward()
        optimizer.step()
        average.update(update)
        decay = min(0.7, (1 + update) / (10 + update))
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                expected[name] = decay * expected[name] + (1 - decay) * value
            else:
                expected[name] = value.clone()
    for name, value in average.model.state_dict().items():
        torch.testing.assert_close(value, expected[name], msg=name)
    assert not average.model.training


def test_after_many_updates_every_fourth_counts_for_four() -> None:
    torch.manual_seed(0)
    model = build_model(ModelConfig(weights="none", name="resnet10t"))
    average = EMA(model, 0.99)
    average.track(model)
    weight = model.head_parameters()[0]
    kept = average.model.head_parameters()[0]
    before, moved = kept.clone(), weight.detach() + 1
    weight.data.copy_(moved)
    seen = []
    for update in range(2001, 2009):
        average.update(update)
        seen.append(kept.clone())
    assert all(torch.equal(value, before) for value in seen[:3])
    torch.testing.assert_close(seen[3], moved - 0.99**4)
    assert all(torch.equal(value, seen[3]) for value in seen[4:7])
    torch.testing.assert_close(seen[7], moved - 0.99**8)


def test_the_averaged_weights_are_validated_kept_and_in_the_checkpoint(make_run: MakeRun) -> None:
    run = make_run("run", training__advanced__ema_decay=0.9, training__patience=0)
    validated: list[dict[str, torch.Tensor]] = []
    from core.training import loop

    real = loop.validate

    def remember(model: torch.nn.Module, *rest: object, **options: object) -> object:
        validated.append(copy.deepcopy(model.state_dict()))
        return real(model, *rest, **options)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "validate", remember)
        list(train(run, timing=EVERY_STEP))
    saved = torch.load(run.path / "last.pt", weights_only=True)
    assert all(torch.equal(saved["average"][name], value) for name, value in validated[-1].items())
    assert any(not torch.equal(saved["model"][name], value) for name, value in saved["average"].items())
    best = run.model_card().best_epoch
    kept = load_file(run.path / "model.safetensors")
    assert all(torch.equal(kept[name], value) for name, value in validated[best - 1].items())


@pytest.mark.slow
def test_without_an_average_the_checkpoint_holds_none(make_run: MakeRun) -> None:
    run = make_run(training__epochs=1)
    list(train(run))
    assert torch.load(run.path / "last.pt", weights_only=True)["average"] == {}
