from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from core.config import ModelConfig, TrainingConfig
from core.model import build_model
from core.training.phases import Phase, parameter_groups, phase_of, plan_phases, rate_factor


def spans(config: TrainingConfig, pretrained: bool) -> list[tuple[str, int, int]]:
    return [(phase.name, phase.first_epoch, phase.last_epoch) for phase in plan_phases(config, pretrained=pretrained)]


@pytest.mark.parametrize(
    ("epochs", "freeze", "pretrained", "expected"),
    [
        (5, 2, True, [("head", 1, 2), ("fine_tune", 3, 5)]),
        (5, 0, True, [("fine_tune", 1, 5)]),
        (5, 5, True, [("head", 1, 5)]),
        (5, 9, True, [("head", 1, 5)]),
        (1, 1, True, [("head", 1, 1)]),
        (5, 2, False, [("scratch", 1, 5)]),
    ],
)
def test_the_plan(epochs: int, freeze: int, pretrained: bool, expected: list) -> None:
    assert spans(TrainingConfig(epochs=epochs, freeze_epochs=freeze), pretrained) == expected


@given(epochs=st.integers(1, 50), freeze=st.integers(0, 60), pretrained=st.booleans())
def test_every_epoch_is_in_exactly_one_phase(epochs: int, freeze: int, pretrained: bool) -> None:
    phases = plan_phases(TrainingConfig(epochs=epochs, freeze_epochs=freeze), pretrained=pretrained)
    for epoch in range(1, epochs + 1):
        assert sum(phase.first_epoch <= epoch <= phase.last_epoch for phase in phases) == 1
        assert phase_of(phases, epoch).first_epoch <= epoch
    assert sum(phase.epochs for phase in phases) == epochs


def test_fine_tuning_moves_the_backbone_more_slowly_than_the_head() -> None:
    _, fine = plan_phases(TrainingConfig(learning_rate=1e-2, fine_tune_learning_rate=1e-4), pretrained=True)
    assert (fine.learning_rate, fine.head_learning_rate) == (1e-4, 1e-2)


@given(schedule=st.sampled_from(["one_cycle", "cosine", "constant"]), updates=st.integers(1, 500))
def test_the_rate_rises_to_its_peak_then_never_again(schedule: str, updates: int) -> None:
    factors = [rate_factor(schedule, update, updates) for update in range(updates)]
    top = factors.index(max(factors))
    assert all(0 < factor <= 1 for factor in factors)
    assert max(factors) == pytest.approx(1.0)
    assert factors[: top + 1] == sorted(factors[: top + 1])
    assert factors[top:] == sorted(factors[top:], reverse=True)


@pytest.mark.parametrize("schedule", ["one_cycle", "cosine"])
def test_the_rate_ends_near_zero(schedule: str) -> None:
    assert rate_factor(schedule, 999, 1000) < 0.01


def test_a_phase_of_one_update_trains_at_its_full_rate() -> None:
    assert rate_factor("one_cycle", 0, 1) == rate_factor("cosine", 0, 1) == rate_factor("constant", 0, 1) == 1.0


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("name", ["small_cnn", "mobilenetv2_100"])
def test_each_trained_parameter_is_in_one_group_and_norms_and_biases_do_not_decay(name: str, frozen: bool) -> None:
    model = build_model(ModelConfig(name=name, options={"width": 8} if name == "small_cnn" else {}))
    phase = Phase("head" if frozen else "fine_tune", 1, 2, 1e-3 if frozen else 2e-4, 1e-3)
    if frozen:
        model.freeze_backbone()
    groups = parameter_groups(model, phase, 0.05)
    listed = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(listed) == sorted(id(parameter) for parameter in model.parameters() if parameter.requires_grad)
    assert len(set(listed)) == len(listed)
    decayed = {id(parameter) for group in groups if group["weight_decay"] for parameter in group["params"]}
    kernels = {
        id(module.weight)
        for module in model.modules()
        if isinstance(module, (nn.Conv2d, nn.Linear)) and module.weight.requires_grad
    }
    assert decayed == kernels
    assert groups[0]["peak"] == phase.learning_rate
    head = {id(parameter) for parameter in model.head_parameters()}
    assert all((group["peak"] == 1e-3) == (id(group["params"][0]) in head) for group in groups)
