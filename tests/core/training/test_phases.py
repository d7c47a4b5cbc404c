from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from timm.optim import param_groups_layer_decay
from torch import nn

from core.config import ModelConfig, TrainingConfig
from core.model import build_model
from core.training.phases import Phase, parameter_groups, phase_of, plan_phases, rate_cuts, rate_factor


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


@pytest.mark.parametrize(
    ("frozen", "stage_epochs", "expected"),
    [
        (0, 0, [("head", 0), ("fine_tune", None)]),
        (0.15, 0, [("head", 0), ("fine_tune", None)]),
        (0.6, 0, [("head", 0), ("fine_tune", 2)]),
        (0.7, 1, [("head", 0), ("stage 1", 1), ("fine_tune", 2)]),
        (0.99, 1, [("head", 0), ("fine_tune", 1)]),
    ],
)
def test_the_first_stages_can_stay_frozen(frozen: float, stage_epochs: int, expected: list) -> None:
    config = TrainingConfig(
        epochs=9, freeze_epochs=1, frozen_backbone_fraction=frozen, advanced={"gradual_unfreezing_epochs": stage_epochs}
    )
    assert [(phase.name, phase.stages) for phase in plan_phases(config, pretrained=True, stages=5)] == expected


@given(schedule=st.sampled_from(["one_cycle", "cosine", "plateau", "constant"]), updates=st.integers(1, 500))
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
    model = build_model(ModelConfig(weights="none", name=name, options={"width": 8} if name == "small_cnn" else {}))
    phase = Phase("head", 1, 2, 1e-3, 1e-3, 0) if frozen else Phase("fine_tune", 1, 2, 2e-4, 1e-3)
    if frozen:
        model.unfreeze_backbone(0)
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


@pytest.mark.parametrize(
    ("epochs", "freeze", "expected"),
    [
        (9, 2, [("head", 1, 2, 0), ("stage 1", 3, 4, 1), ("stage 2", 5, 6, 2), ("fine_tune", 7, 9, None)]),
        (6, 2, [("head", 1, 2, 0), ("stage 1", 3, 4, 1), ("stage 2", 5, 6, 2)]),
        (5, 2, [("head", 1, 2, 0), ("stage 1", 3, 4, 1), ("stage 2", 5, 5, 2)]),
        (5, 0, [("stage 1", 1, 2, 1), ("stage 2", 3, 4, 2), ("fine_tune", 5, 5, None)]),
    ],
)
def test_stages_join_the_head_one_after_the_other(epochs: int, freeze: int, expected: list) -> None:
    config = TrainingConfig(
        epochs=epochs, freeze_epochs=freeze, frozen_backbone_fraction=0, advanced={"gradual_unfreezing_epochs": 2}
    )
    phases = plan_phases(config, pretrained=True, stages=3)
    assert [(phase.name, phase.first_epoch, phase.last_epoch, phase.stages) for phase in phases] == expected
    assert [phase.frozen for phase in phases] == [phase.name == "head" for phase in phases]


@pytest.mark.slow_for("mobilenetv2_100", "vit_tiny_patch16_224")
@pytest.mark.parametrize("name", ["small_cnn", "mobilenetv2_100", "resnet10t", "vit_tiny_patch16_224"])
def test_a_stage_more_trains_what_lies_before_the_last_one(name: str) -> None:
    model = build_model(ModelConfig(weights="none", name=name))
    stages = model.stages()
    assert sum(map(len, stages)) == len(model.backbone_parameters())
    assert stages[0][0] is next(iter(model.backbone.parameters())), "the stem comes first"
    for count in range(len(stages) + 1):
        model.unfreeze_backbone(count)
        trained = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
        last = [parameter for stage in stages[len(stages) - count :] for parameter in stage]
        assert trained == {id(parameter) for parameter in [*last, *model.head_parameters()]}


@pytest.mark.slow_for("vit_tiny_patch16_224")
@pytest.mark.parametrize("name", ["mobilenetv2_100", "resnet10t", "vit_tiny_patch16_224", "convnext_atto"])
def test_lower_layers_learn_more_slowly_by_timms_own_grouping(name: str) -> None:
    model = build_model(ModelConfig(weights="none", name=name))
    phase = Phase("fine_tune", 1, 2, 2e-4, 1e-3)
    head = {id(parameter) for parameter in model.head_parameters()}
    expected = {
        id(parameter): 1e-3 if id(parameter) in head else 2e-4 * group["lr_scale"]
        for group in param_groups_layer_decay(model.backbone, layer_decay=0.75)
        for parameter in group["params"]
    }
    groups = parameter_groups(model, phase, 0.05, layer_decay=0.75)
    found = {id(parameter): group["peak"] for group in groups for parameter in group["params"]}
    assert found == pytest.approx(expected)
    assert len(set(found.values())) > 3


def test_small_cnn_has_layers_too() -> None:
    model = build_model(ModelConfig(options={"width": 8}))
    groups = parameter_groups(model, Phase("scratch", 1, 2, 1e-3, 1e-3), 0.05, layer_decay=0.5)
    peaks = {id(parameter): group["peak"] for group in groups for parameter in group["params"]}
    named = {name: peaks[id(parameter)] for name, parameter in model.backbone.named_parameters()}
    assert named["classifier.weight"] == 1e-3
    assert named["affine.weight"] == pytest.approx(5e-4)
    assert [named[f"stages.{number}.conv1.weight"] for number in (2, 1, 0)] == pytest.approx([2.5e-4, 1.25e-4, 6.25e-5])


@given(losses=st.lists(st.sampled_from([0.2, 0.5, 0.50001, 0.7, 1.0]), max_size=25), patience=st.integers(0, 4))
def test_the_plateau_schedule_cuts_when_torchs_does(losses: list[float], patience: int) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=1 / 3, patience=patience, eps=0.0)
    for loss in losses:
        reference.step(loss)
    assert 3.0 ** -rate_cuts(losses, patience) == pytest.approx(optimizer.param_groups[0]["lr"])


def test_the_plateau_schedule_follows_the_losses_and_never_ends_at_nothing() -> None:
    assert rate_factor("plateau", 900, 1000, [0.5, 0.4, 0.3], 1) == 1.0
    assert rate_factor("plateau", 900, 1000, [0.5, 0.6, 0.6], 1) == pytest.approx(1 / 3)
    assert rate_factor("plateau", 0, 1000, [0.5, 0.6, 0.6], 1) < 0.1, "the warm-up comes first"
    assert rate_factor("plateau", 900, 1000, [0.5] * 100, 0) == pytest.approx(1e-3)
