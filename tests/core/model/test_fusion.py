"""Fusions of views: what they compute, whatever the number of images, and networks that have one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from core.config import ModelConfig
from core.errors import BadConfig
from core.model import build_model, load_model, save_model
from core.model.fusion import AttentionFusion, ConcatFusion, Fusion, make_fusion, slots_of
from core.model.view_codes import CC, EITHER, MLO, view_code

FUSIONS = ("mean", "max", "attention", "concat")
TINY = {"width": 8}


@pytest.fixture
def features() -> Tensor:
    return torch.randn(6, 5, generator=torch.Generator().manual_seed(1))


def ready(name: str) -> Fusion:
    """A fusion of five features in eval mode, whose numbers are not those that it starts with."""
    torch.manual_seed(2)
    fusion = make_fusion(name, 5).eval()
    with torch.no_grad():
        for parameter in fusion.parameters():
            parameter.add_(torch.randn_like(parameter))
    return fusion


@pytest.mark.parametrize(
    ("view", "code"),
    [("CC", CC), ("cc ", CC), ("XCCL", CC), ("MLO", MLO), ("ML", MLO), ("LMO", MLO), ("", EITHER), ("SPECIMEN", EITHER)],
)
def test_views_are_from_above_from_the_side_or_either(view: str, code: int) -> None:
    assert view_code(view) == code


def test_slots_name_the_rows_of_each_breast() -> None:
    assert slots_of([2, 1, 3]).tolist() == [[0, 1, -1], [2, -1, -1], [3, 4, 5]]
    assert slots_of([]).shape == (0, 0)


def test_mean_and_maximum_are_of_the_images_that_are_there(features: Tensor) -> None:
    slots, views = slots_of([2, 1, 3]), torch.zeros(6, dtype=torch.int64)
    parts = [features[:2], features[2:3], features[3:]]
    assert torch.allclose(Fusion()(features, slots, views), torch.stack([part.mean(0) for part in parts]))
    assert torch.allclose(make_fusion("max", 5)(features, slots, views), torch.stack([part.amax(0) for part in parts]))


def test_attention_starts_as_the_mean_and_is_that_of_its_source(features: Tensor) -> None:
    slots, views = slots_of([2, 1, 3]), torch.zeros(6, dtype=torch.int64)
    new = AttentionFusion(5)
    assert torch.allclose(new(features, slots, views), Fusion()(features, slots, views), atol=1e-6)
    fusion = ready("attention")
    assert isinstance(fusion, AttentionFusion)
    # Ilse et al. 2018, equation 9, of one bag.
    bag = features[3:]
    scores = [
        (fusion.score.weight[0] * torch.tanh(fusion.value(each)) * torch.sigmoid(fusion.gate(each))).sum() for each in bag
    ]
    weights = torch.stack(scores).exp() / torch.stack(scores).exp().sum()
    assert torch.allclose(fusion(features, slots, views)[2], (weights[:, None] * bag).sum(0), atol=1e-5)
    shown = fusion.weights(features, slots)
    assert torch.allclose(shown.sum(1), torch.ones(3)) and shown[1].tolist() == [1.0, 0.0, 0.0]


def test_concatenation_gives_what_a_linear_layer_on_both_vectors_gives(features: Tensor) -> None:
    fusion, head = ready("concat"), nn.Linear(5, 1)
    assert isinstance(fusion, ConcatFusion)
    slots, views = slots_of([2, 3]), torch.tensor([MLO, CC, CC, MLO, CC])
    beside = nn.Linear(10, 1)  # on CC | MLO
    with torch.no_grad():
        beside.weight.copy_(torch.cat([head.weight * fusion.scale[0], head.weight * fusion.scale[1]], 1))
        beside.bias.copy_(head.bias)
        ours = head(fusion(features[:5], slots, views))
    pairs = torch.stack([torch.cat([features[1], features[0]]), torch.cat([(features[2] + features[4]) / 2, features[3]])])
    assert torch.allclose(ours, beside(pairs), atol=1e-5)
    assert torch.allclose(make_fusion("concat", 5).eval()(features[:2], slots_of([2]), views[:2]), features[:2].mean(0))


def test_a_missing_view_has_a_learnt_vector_and_an_unknown_one_counts_for_either(features: Tensor) -> None:
    fusion = ready("concat")
    assert isinstance(fusion, ConcatFusion)
    one = slots_of([1])

    def fused(code: int) -> Tensor:
        return fusion(features[:1], one, torch.tensor([code]))[0]

    cc, mlo = fusion.scale
    assert torch.allclose(fused(CC), cc * features[0] + mlo * fusion.missing[1])
    assert torch.allclose(fused(MLO), cc * fusion.missing[0] + mlo * features[0])
    assert torch.allclose(fused(EITHER), (cc + mlo) * features[0])


def test_in_training_a_view_is_left_out_now_and_then_and_never_the_only_one() -> None:
    fusion = ready("concat").train()
    assert isinstance(fusion, ConcatFusion)
    features, count = torch.ones(2000, 5), 1000
    torch.manual_seed(0)
    both = fusion(features, slots_of([2] * count), torch.tensor([CC, MLO] * count))
    whole = fusion.scale.sum(0)
    left_out = (~torch.isclose(both, whole).all(1)).float().mean()
    assert 0.06 < float(left_out) < 0.14
    alone = fusion(features[:count], slots_of([1] * count), torch.full((count,), CC))
    assert torch.allclose(alone, alone[0].expand_as(alone)), "its only view is always there"


@pytest.mark.parametrize("name", FUSIONS)
def test_neither_the_order_of_images_nor_room_for_more_changes_a_breast(name: str, features: Tensor) -> None:
    fusion, views = ready(name), torch.tensor([CC, MLO, EITHER, MLO, CC, CC])
    expected = fusion(features, slots_of([2, 1, 3]), views)
    turned = torch.tensor([[1, 0, -1, -1], [2, -1, -1, -1], [5, 3, 4, -1]])
    assert torch.allclose(fusion(features, turned, views), expected, atol=1e-6)


@pytest.mark.slow_but("small_cnn-attention", "small_cnn-concat", "small_cnn-max", "small_cnn-mean")
@pytest.mark.parametrize("name", FUSIONS)
@pytest.mark.parametrize("architecture", ["small_cnn", "resnet18"])
def test_a_network_judges_breasts_and_every_part_of_it_learns(name: str, architecture: str) -> None:
    options = TINY if architecture == "small_cnn" else {}
    model = build_model(ModelConfig(name=architecture, weights="none", views=2, fusion=name, dropout=0.0, options=options))
    model.check_input(64, 64)
    images, slots, views = torch.rand(5, 1, 64, 64), slots_of([2, 1, 2]), torch.tensor([CC, MLO, CC, EITHER, MLO])
    model.train()(images, slots, views).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters() if parameter.requires_grad)
    model.eval()
    logits = model(images, slots, views)
    assert logits.shape == (3,)
    assert torch.allclose(model(images[:2], slots_of([2]), views[:2]), logits[:1], atol=1e-5), "whoever else is in the batch"
    assert torch.allclose(model(images), model(images, slots_of([1] * 5), torch.zeros(5, dtype=torch.int64)))


@pytest.mark.parametrize("name", FUSIONS)
def test_a_saved_network_comes_back_with_its_fusion(name: str, tmp_path: Path) -> None:
    config = ModelConfig(views=2, fusion=name, options=TINY)
    model = build_model(config).eval()
    with torch.no_grad():
        for parameter in model.fusion_parameters():
            parameter.add_(torch.randn_like(parameter))
    save_model(tmp_path, model, {"model": config.model_dump(mode="json"), "threshold": 0.5})
    loaded, card = load_model(tmp_path)
    images, slots, views = torch.rand(3, 1, 64, 64), slots_of([2, 1]), torch.tensor([CC, MLO, CC])
    assert torch.equal(loaded(images, slots, views), model(images, slots, views))
    assert isinstance(card.model, ModelConfig) and (card.model.views, card.model.fusion) == (2, name)


def test_a_run_for_images_starts_one_for_breasts_and_a_run_for_breasts_hands_on_its_fusion(tmp_path: Path) -> None:
    one = build_model(ModelConfig(options=TINY))
    save_model(tmp_path / "one", one, {"model": ModelConfig(options=TINY).model_dump(mode="json"), "threshold": 0.5})
    started = ModelConfig(views=2, fusion="concat", options=TINY, weights=(tmp_path / "one" / "model.safetensors").as_posix())
    two = build_model(started)
    images = torch.rand(2, 1, 64, 64)
    assert torch.allclose(two.eval()(images, slots_of([2]), torch.tensor([CC, MLO])), two.eval()(images).mean(), atol=1e-6)
    assert torch.equal(two.head.weight, one.head.weight)
    with torch.no_grad():
        two.fusion_parameters()[0].fill_(0.25)
    save_model(tmp_path / "two", two, {"model": started.model_dump(mode="json"), "threshold": 0.5})
    again = {"weights": (tmp_path / "two" / "model.safetensors").as_posix()}
    assert build_model(started.model_copy(update=again)).fusion_parameters()[0].eq(0.25).all()
    other = build_model(started.model_copy(update={**again, "fusion": "attention"}))
    assert isinstance(other.fusion, AttentionFusion) and not other.fusion.score.weight.any(), "another fusion starts new"


def test_a_card_of_before_is_read_as_one_view() -> None:
    assert ModelConfig.model_validate({"name": "small_cnn", "dropout": 0.1}).views == 1


def test_a_network_without_a_last_layer_of_its_own_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_model(ModelConfig(views=2, options=TINY))
    monkeypatch.setattr(type(model.backbone), "forward_head", lambda self, x, pre_logits=False: x.mean((1, 2, 3))[:, None])
    with pytest.raises(BadConfig, match=r"model\.views: small_cnn .* Set model\.views to 1"):
        model.check_input(64, 64)
