"""The mean of networks as a network: logits, features, parts."""

from __future__ import annotations

import math

import pytest
import torch

from core.config import ModelConfig
from core.gradcam import METHODS, heatmap, unfit_methods
from core.gradcam.cam_layers import layer_choices
from core.heatmap_audit.randomization import shuffled_copy
from core.model import build_model
from core.model.classifier import Classifier
from core.model.ensemble import Ensemble


def networks(*configs: ModelConfig) -> list[Classifier]:
    return [build_model(config).eval() for config in configs]


def small(width: int = 8, **settings: object) -> ModelConfig:
    return ModelConfig(weights="none", options={"width": width}, **settings)


@pytest.mark.parametrize(
    ("logits", "score"), [((-40.0, -40.0), math.exp(-40)), ((-60.0, 0.0), 0.25), ((3.0, -3.0), 0.5), ((90.0, 80.0), 1.0)]
)
def test_the_mean_is_of_probabilities_and_exact_at_the_ends(logits: tuple[float, float], score: float) -> None:
    found = Ensemble.mean_logits([torch.tensor([each]) for each in logits])
    assert torch.isfinite(found).all() and torch.sigmoid(found.double()).item() == pytest.approx(score, rel=1e-5)


@pytest.mark.parametrize("views", [1, 2])
def test_features_and_head_are_those_of_its_members_and_give_its_score(views: int) -> None:
    members = networks(small(8, views=views), small(16, views=views))
    model, images = Ensemble(members).eval(), torch.rand(3, 1, 32, 24)
    with torch.no_grad():
        features, whole = model.forward_features(images), model(images)
        torch.testing.assert_close(features, torch.cat([each.forward_features(images) for each in members], dim=1))
        torch.testing.assert_close(model.forward_head(features), whole)
        torch.testing.assert_close(torch.sigmoid(whole), sum(torch.sigmoid(each(images)) for each in members) / 2)
        together = model.forward_head(features, torch.tensor([[0, 1], [2, -1]]), torch.tensor([1, 2, 0]))
    assert together.shape == ((2,) if views == 2 else (3,)) and model.fused(features).shape[0] == 3


def test_a_part_shares_the_weights_and_one_alone_is_the_member_itself() -> None:
    members = networks(small(), small(), small())
    model = Ensemble(members).eval()
    pair = model.part([0, 2])
    assert model.part([1]) is members[1] and isinstance(pair, Ensemble) and pair.networks == [members[0], members[2]]
    assert model.parameter_count == 3 * members[0].parameter_count and not pair.training
    assert model.normalisation == members[0].normalisation and set(model.state_dict()) == {
        f"members.{number}.{name}" for number, each in enumerate(members) for name in each.state_dict()
    }


@pytest.mark.slow
def test_of_different_architectures_every_member_takes_its_own_last_layer_and_one_method() -> None:
    members = networks(small(), ModelConfig(name="resnet18", weights="none"))
    model, pixels = Ensemble(members).eval(), torch.randint(0, 255, (64, 48), dtype=torch.uint8).numpy()
    (choice,) = layer_choices(model, (64, 48))
    assert choice.usual and choice.name == "" and "each model" in choice.title
    found = heatmap(model, pixels)
    assert found.method == "hirescam" and found.values.shape == (64, 48) and "gradcam" in unfit_methods(model)
    assert set(METHODS) > set(unfit_methods(model))
    calls: list[tuple[int, int]] = []
    heatmap(model, pixels, method="scorecam", channels=4, progress=lambda done, total: calls.append((done, total)))
    shares = [done / total for done, total in calls]
    assert shares == sorted(shares) and shares[-1] == 1.0


def test_a_copy_with_shuffled_weights_leaves_it_as_it_was() -> None:
    model = Ensemble(networks(small(), small())).eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    other = shuffled_copy(model, 0)
    assert isinstance(other, Ensemble) and all(value.equal(before[name]) for name, value in model.state_dict().items())
    assert not all(value.equal(before[name]) for name, value in other.state_dict().items())
