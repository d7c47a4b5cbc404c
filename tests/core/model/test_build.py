from __future__ import annotations

import copy
import pickle

import pytest
import timm
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from core.config import ModelConfig
from core.errors import BadConfig
from core.gradcam.cam_layers import find_cam_layer, layer_name
from core.model import SUGGESTED, as_input, build_model, check_name, known_models, model_lock, pick_device

FAMILIES = {
    "small_cnn": "act",
    "efficientnet_b0": "bn2",
    "efficientnet_b1": "bn2",
    "resnet50": "layer4",
    "densenet121": "features.norm5",
    "mobilenetv2_100": "bn2",
    "convnext_atto": "stages",
    "vit_tiny_patch16_224": "blocks.11.norm1",
}


@pytest.mark.slow_but("small_cnn")
@pytest.mark.parametrize("name", FAMILIES)
def test_each_family_takes_grey_images_and_gives_one_logit(name: str) -> None:
    model = build_model(ModelConfig(weights="none", name=name)).eval()
    images = torch.rand(2, 1, 64, 96)
    with torch.no_grad():
        logits = model(images)
        torch.testing.assert_close(model.forward_head(model.forward_features(images)), logits)
    assert logits.shape == (2,) and torch.isfinite(logits).all()
    assert layer_name(model, find_cam_layer(model)) == FAMILIES[name]
    assert model.name == name and not model.pretrained
    own = {id(p) for p in model.head_parameters()} | {id(p) for p in model.backbone_parameters()}
    assert own == {id(p) for p in model.parameters()}
    assert model.parameter_count == sum(p.numel() for p in model.parameters())


@pytest.mark.slow_for("ghostnet_100", "mambaout_femto")
@pytest.mark.parametrize("name", ["regnety_002", "mobilenetv3_small_050", "resnet10t", "mambaout_femto", "ghostnet_100"])
def test_the_heatmap_layer_of_other_architectures_gives_a_map(name: str) -> None:
    model = build_model(ModelConfig(weights="none", name=name)).eval()
    shapes: list[torch.Size] = []
    find_cam_layer(model).register_forward_hook(lambda module, inputs, output: shapes.append(output.shape))
    model(torch.rand(1, 1, 96, 96))
    assert len(shapes) == 1 and len(shapes[0]) == 4


def test_an_architecture_without_an_entry_is_asked_where_its_last_map_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.gradcam.cam_layers._FAMILIES", ())
    model = build_model(ModelConfig(weights="none", name="resnet10t")).train()
    layer = find_cam_layer(model)
    assert layer_name(model, layer).startswith("layer4")
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.slow
def test_normalisation_is_the_weights_own_averaged_over_colours() -> None:
    assert build_model(ModelConfig(weights="none", name="efficientnet_b1")).normalisation == {"mean": 0.5, "std": 0.5}
    assert build_model(ModelConfig(weights="none", name="resnet10t")).normalisation == {"mean": 0.449, "std": 0.226}


def test_normalisation_can_be_given_and_is_what_the_network_sees() -> None:
    model = build_model(ModelConfig(options={"mean": 0.2, "std": 0.4, "width": 8})).eval()
    images = torch.rand(2, 1, 48, 48)
    torch.testing.assert_close(model(images), model.backbone((images - 0.2) / 0.4).flatten())


@pytest.mark.parametrize("options", [{"mean": 1.5}, {"std": 0}, {"mean": "grey"}, {"std": True}])
def test_refuses_an_impossible_normalisation(options: dict[str, object]) -> None:
    with pytest.raises(BadConfig, match="allowed: a number from 0 to 1"):
        build_model(ModelConfig(options=options))


@pytest.mark.parametrize(
    ("name", "close"),
    [
        ("resnet5", "resnet50"),
        ("efficientnet-b0", "efficientnet_b0"),
        ("DenseNet121", "densenet121"),
        ("smallcnn", "small_cnn"),
    ],
)
def test_an_unknown_name_is_answered_with_close_ones(name: str, close: str) -> None:
    with pytest.raises(BadConfig, match=rf"model\.name: got '{name}'.*{close}"):
        check_name(name)


@pytest.mark.parametrize("name", ["hf-hub:timm/resnet50", "local-dir:/tmp/x", "../resnet50", "qqqqqqqq", "resnet50.nothing"])
def test_a_name_that_is_an_address_is_refused(name: str) -> None:
    with pytest.raises(BadConfig):
        build_model(ModelConfig(weights="none", name=name))


def test_known_models_lists_ours_first() -> None:
    assert known_models()[0] == "small_cnn"
    assert set(SUGGESTED) <= set(known_models())


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("resnet10t", {"pad_type": "same"}, "pad_type"),
        ("densenet121", {"drop_path_rate": 0.1}, "drop_path_rate"),
        ("resnet10t", {"num_classes": 5}, "num_classes cannot be set"),
        ("resnet10t", {"in_chans": 3}, "in_chans cannot be set"),
        ("mobilenetv2_100", {"act_layer": "no_such"}, "act_layer"),
    ],
)
def test_an_option_that_an_architecture_refuses_is_named(name: str, options: dict[str, object], said: str) -> None:
    with pytest.raises(BadConfig, match=said):
        build_model(ModelConfig(weights="none", name=name, options=options))


@pytest.mark.slow
def test_options_reach_the_architecture() -> None:
    plain, same = (
        build_model(ModelConfig(weights="none", name="mobilenetv2_100", options=o)) for o in ({}, {"pad_type": "same"})
    )
    assert type(plain.backbone.conv_stem) is nn.Conv2d
    assert type(same.backbone.conv_stem) is not nn.Conv2d


@pytest.mark.slow
def test_a_fixed_size_architecture_refuses_another_size_in_words() -> None:
    model = build_model(ModelConfig(weights="none", name="mixer_s32_224"))
    model.check_input(224, 224)
    with pytest.raises(BadConfig, match="mixer_s32_224 does not take images of 96 x 96"):
        model(torch.rand(1, 1, 96, 96))


@pytest.mark.slow
def test_a_size_that_breaks_inside_is_found_before_training() -> None:
    model = build_model(ModelConfig(weights="none", name="inception_v3")).train()
    with pytest.raises(BadConfig, match=r"inception_v3 does not take images of 64 x 64.*preprocessing\.size"):
        model.check_input(64, 64)
    assert all(module.training for module in model.modules())


def test_a_distilled_architecture_with_two_heads_is_refused() -> None:
    with pytest.raises(BadConfig, match="no single last layer"):
        build_model(ModelConfig(weights="none", name="deit_tiny_distilled_patch16_224"))


@pytest.mark.parametrize(
    "images", [torch.rand(1, 3, 32, 32), torch.rand(1, 32, 32), torch.zeros(1, 1, 32, 32, dtype=torch.uint8)]
)
def test_wrong_input_is_refused_in_words(images: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"expected float images \(N, 1, H, W\)"):
        build_model(ModelConfig(options={"width": 8}))(images)


def test_as_input_scales_pixels_to_one() -> None:
    pixels = torch.tensor([[0, 51], [102, 255]], dtype=torch.uint8)
    assert as_input(pixels).tolist() == [[[[0.0, pytest.approx(0.2)], [pytest.approx(0.4), 1.0]]]]
    assert as_input(pixels.numpy()).shape == (1, 1, 2, 2) and as_input(torch.stack([pixels] * 3)).shape == (3, 1, 2, 2)
    with pytest.raises(ValueError, match="uint8"):
        as_input(torch.rand(2, 2))


def test_a_frozen_backbone_learns_nothing_and_keeps_its_statistics() -> None:
    model = build_model(ModelConfig(weights="none", name="resnet10t", dropout=0.0))
    model.unfreeze_backbone(0)
    model.train()
    before = copy.deepcopy(model.state_dict())
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    for _ in range(2):
        model(torch.rand(4, 1, 64, 64)).sum().backward()
        optimizer.step()
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"backbone.fc.weight", "backbone.fc.bias"}
    assert model.training and not any(m.training for m in model.backbone.modules() if isinstance(m, _BatchNorm))


@pytest.mark.slow_but("small_cnn")
@pytest.mark.parametrize("name", ["small_cnn", "mobilenetv2_100", "densenet121", "vit_tiny_patch16_224", "convnext_atto"])
def test_a_frozen_backbone_computes_as_in_eval_mode_and_only_its_head_drops_out(name: str) -> None:
    model = build_model(
        ModelConfig(weights="none", name=name, dropout=0.5, options={"drop_path_rate": 0.5} if "conv" in name else {})
    )
    model.check_input(64, 64)
    assert model.has_separable_head
    images = torch.rand(3, 1, 64, 64)
    with torch.no_grad():
        features = model.eval().forward_features(images)
    model.unfreeze_backbone(0)
    model.train()
    torch.manual_seed(1)
    logits = model(images)
    torch.manual_seed(1)
    torch.testing.assert_close(logits, model.forward_head(features))
    assert not torch.allclose(logits, model(images)), "dropout is at work"
    logits.sum().backward()
    assert {id(p) for p in model.parameters() if p.grad is not None} == {id(p) for p in model.head_parameters()}


def test_an_architecture_whose_head_cannot_be_told_apart_trains_its_head_through_the_whole_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = build_model(ModelConfig(weights="none", name="resnet10t", dropout=0.0))
    real = model.backbone.forward_head
    monkeypatch.setattr(model.backbone, "forward_head", lambda x, pre_logits=False: real(x, pre_logits=pre_logits) + 0.5)
    model.check_input(64, 64)
    assert not model.has_separable_head
    model.unfreeze_backbone(0)
    model.train()
    before = copy.deepcopy(dict(model.named_buffers()))
    model(torch.rand(4, 1, 64, 64)).sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in model.named_buffers()), "norms keep their statistics"
    assert {id(p) for p in model.parameters() if p.grad is not None} == {id(p) for p in model.head_parameters()}


def test_norms_keep_their_statistics_only_where_they_are_frozen() -> None:
    model = build_model(ModelConfig(weights="none", name="resnet10t"))
    model.unfreeze_backbone(1)
    model.train()
    before = copy.deepcopy(dict(model.named_buffers()))
    model(torch.rand(4, 1, 64, 64))
    changed = {name.split(".")[1] for name, value in model.named_buffers() if not torch.equal(value, before[name])}
    assert changed == {"layer4"}


def test_unfreezing_gives_everything_back() -> None:
    model = build_model(ModelConfig(weights="none", name="resnet10t"))
    model.unfreeze_backbone(0)
    model.unfreeze_backbone()
    assert all(p.requires_grad for p in model.parameters())
    assert all(m.training for m in model.modules())
    model.eval()
    model.unfreeze_backbone(0)
    assert not model.training


@pytest.mark.slow_but("resnet10t", "small_cnn")
@pytest.mark.parametrize("name", ["small_cnn", "efficientnet_b0", "resnet10t", "densenet121", "mobilenetv2_100"])
def test_gradient_checkpointing_where_it_is_supported(name: str) -> None:
    model = build_model(ModelConfig(weights="none", name=name, gradient_checkpointing=True))
    assert model.gradient_checkpointing
    model(torch.rand(2, 1, 64, 64)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.slow
def test_gradient_checkpointing_where_it_is_not_supported_is_refused() -> None:
    refusing = next(name for name in ("dla34", "tresnet_m", "mixer_s32_224", "vgg11") if not _can_checkpoint(name))
    with pytest.raises(BadConfig, match=r"gradient_checkpointing.*batch_size"):
        build_model(ModelConfig(weights="none", name=refusing, gradient_checkpointing=True))


def _can_checkpoint(name: str) -> bool:
    with torch.device("meta"):
        try:
            timm.create_model(name).set_grad_checkpointing(True)
        except AssertionError:
            return False
    return True


@pytest.mark.slow
def test_the_same_seed_builds_the_same_network() -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(7)
        states.append(build_model(ModelConfig(weights="none", name="mobilenetv2_100")).state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_model_can_be_copied_and_pickled_and_has_its_own_lock() -> None:
    model = build_model(ModelConfig(options={"width": 8}))
    lock = model_lock(model)
    twin = copy.deepcopy(model)
    pickle.loads(pickle.dumps(model))
    assert model_lock(model) is lock and model_lock(twin) is not lock


@pytest.mark.parametrize("name", ["cuda:99", "tpu", "warp", "meta"])
def test_a_device_that_is_not_here_is_refused(name: str) -> None:
    with pytest.raises(BadConfig, match=r"training\.device"):
        pick_device(name)


@pytest.mark.parametrize(
    ("name", "current", "expected"),
    [
        ("auto", 0, "cuda:0"),
        ("cuda", 0, "cuda:0"),
        ("cuda:0", 0, "cuda:0"),
        ("auto", 1, "cuda:1"),
        ("cuda", 1, "cuda:1"),
        ("cuda:0", 1, "cuda:0"),
        ("cpu", 0, "cpu"),
    ],
)
def test_a_gpu_has_one_name_however_it_was_asked_for(
    name: str, current: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: current > 0)  # not before somebody has chosen one
    monkeypatch.setattr(torch.cuda, "current_device", lambda: current)
    assert str(pick_device(name)) == expected


def test_auto_finds_a_device_that_computes() -> None:
    assert torch.ones(2, device=pick_device("auto")).sum().item() == 2
    assert pick_device("cpu").type == "cpu"


@pytest.mark.slow_but("small_cnn", "mobilenetv2_100", "resnet18")
@pytest.mark.parametrize("name", ["small_cnn", "efficientnet_b0", "mobilenetv2_100", "resnet18", "densenet121"])
def test_untrained_head_scores_every_image_near_one_half(name: str) -> None:
    model = build_model(ModelConfig(weights="none", name=name)).eval()
    with torch.no_grad():
        logits = model(torch.rand(4, 1, 64, 64))
    assert logits.abs().max() < 2
