from __future__ import annotations

import threading
from functools import partial
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from core.config import ModelConfig
from core.errors import BadConfig
from core.gradcam import COLORMAPS, METHODS, Heatmap, evidence, heatmap, overlay, render, two_colours, unfit_methods
from core.gradcam.cam_formulas import eigen_cam, feature_map, score_cam
from core.gradcam.cam_layers import find_cam_layer, layer_choices, layer_name
from core.gradcam.feature_maps import as_feature_map
from core.gradcam.methods import layers
from core.model import Classifier, as_input, build_model, model_lock
from core.model.small_cnn import SmallCnn


@pytest.fixture
def pixels() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (64, 96), dtype=np.uint8)


@pytest.fixture
def model() -> Classifier:
    """With a head that finds everything a little malignant, so that no map is empty."""
    torch.manual_seed(0)
    model = build_model(ModelConfig(options={"width": 8}))
    with torch.no_grad():
        model.head.weight.uniform_(0, 1)
    return model


class _Bright(nn.Module):
    """Says malignant where it is bright: one map, its mean, a logit."""

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 4, stride=4, bias=False)
        self.last = nn.Linear(1, 1, bias=False)
        self.cam_layer_name = "conv"
        with torch.no_grad():
            self.conv.weight.fill_(1 / 16)
            self.last.weight.fill_(weight)

    def get_classifier(self) -> nn.Module:
        return self.last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.conv(x).mean((2, 3)))


def _bright(weight: float = 1.0, mean: float = 0.0) -> Classifier:
    return Classifier(_Bright(weight), name="bright", mean=mean, std=1.0)


def _dot() -> NDArray[np.uint8]:
    image = np.zeros((64, 48), np.uint8)
    image[40:48, 8:16] = 200
    return image


@pytest.mark.parametrize("method", METHODS)
def test_every_method_points_at_the_one_thing_there_is(method: str) -> None:
    heat = heatmap(_bright(), _dot(), method=method)
    assert not heat.flat and heat.layer == "conv" and heat.method == method
    assert heat.values.shape == (64, 48) and heat.values.dtype == np.float32
    row, column = np.unravel_index(heat.values.argmax(), heat.values.shape)
    assert 40 <= row < 48 and 8 <= column < 16
    assert heat.values.min() >= 0.0 and 0.999 < heat.values.max() <= 1.0
    assert heat.values[:20, 30:].max() == 0.0


def test_benign_evidence_is_the_opposite() -> None:
    heat = heatmap(_bright(mean=0.5), _dot(), target="benign")  # below the mean, the map is negative
    assert heat.values[44, 12] == 0.0 and heat.values[5, 40] > 0.9


@pytest.mark.slow_but("small_cnn")
@pytest.mark.parametrize("name", ["small_cnn", "efficientnet_b0", "densenet121", "vit_tiny_patch16_224"])
def test_the_map_is_that_of_the_formula(name: str, pixels: NDArray[np.uint8]) -> None:
    """Against Grad-CAM written out with autograd alone."""
    torch.manual_seed(1)
    model = build_model(ModelConfig(weights="none", name=name)).eval()
    layer = find_cam_layer(model)
    kept: list[torch.Tensor] = []
    handle = layer.register_forward_hook(lambda module, inputs, output: kept.append(output))
    logit = model(as_input(pixels))[0]
    handle.remove()
    gradient = torch.autograd.grad(logit, kept[0])[0]
    activation = kept[0].detach()
    if activation.ndim == 3:
        activation, gradient = (t[:, 1:].transpose(1, 2).reshape(1, -1, 4, 6) for t in (activation, gradient))
    raw = (gradient.mean((2, 3), keepdim=True) * activation).sum(1)[0].relu().numpy()
    if raw.max() == 0:
        assert heatmap(model, pixels, method="gradcam").flat
        return
    raw = (raw - raw.min()) / (raw.max() - raw.min())
    expected = cv2.resize(raw, (96, 64))
    expected = (expected - expected.min()) / (expected.max() - expected.min())
    np.testing.assert_allclose(heatmap(model, pixels, method="gradcam").values, expected, atol=1e-3)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (_bright(0.0), "nothing at this layer speaks for malignant"),
        (_bright(-1.0), "nothing at this layer speaks for malignant"),
        (_bright(float("nan")), "no numbers"),
    ],
    ids=["zero", "negative", "nan"],
)
def test_a_map_of_nothing_is_flagged_not_stretched(broken: Classifier, said: str) -> None:
    heat = heatmap(broken, _dot())
    assert heat.flat and said in heat.reason and not heat.values.any()


def test_a_map_that_is_the_same_everywhere_is_flagged() -> None:
    heat = heatmap(_bright(), np.full((32, 32), 90, np.uint8))
    assert heat.flat and "same everywhere" in heat.reason and not heat.values.any()


@pytest.mark.parametrize("method", METHODS)
def test_nothing_about_the_model_changes(method: str, model: Classifier, pixels: NDArray[np.uint8]) -> None:
    model.train()
    model.backbone.affine.eval()
    model.unfreeze_backbone(0)
    model.set_gradient_checkpointing(True)
    model(torch.rand(2, 1, 64, 64)).sum().backward()
    parameters = list(model.parameters())
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    before = [(p.requires_grad, p.grad) for p in parameters]
    gradients = [None if p.grad is None else p.grad.clone() for p in parameters]
    modes = [module.training for module in model.modules()]
    heatmap(model, pixels, method=method)
    assert [(p.requires_grad, p.grad) for p in parameters] == before
    assert all(p.grad is None or torch.equal(p.grad, g) for p, g in zip(parameters, gradients, strict=True) if g is not None)
    assert [module.training for module in model.modules()] == modes
    assert model.gradient_checkpointing
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert not any(module._forward_hooks or module._backward_hooks for module in model.modules())


def test_no_gradient_is_left_on_a_model_that_had_none(model: Classifier, pixels: NDArray[np.uint8]) -> None:
    heatmap(model, pixels)
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_an_error_inside_leaves_the_model_as_it_was(
    model: Classifier, pixels: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: SmallCnn, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(SmallCnn, "forward_head", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        heatmap(model, pixels)
    assert model.training and all(p.requires_grad for p in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode], ids=["no_grad", "inference_mode"])
def test_a_caller_that_has_switched_gradients_off_gets_the_same_map(
    around: type, model: Classifier, pixels: NDArray[np.uint8]
) -> None:
    expected = heatmap(model, pixels).values
    with around():
        assert np.array_equal(heatmap(model, pixels).values, expected)


@pytest.mark.slow
def test_two_threads_on_one_model_get_the_maps_they_would_get_alone(model: Classifier) -> None:
    random = np.random.default_rng(1)
    images = [random.integers(0, 256, (64, 64), dtype=np.uint8) for _ in range(2)]
    alone = [heatmap(model, image).values for image in images]
    assert not np.array_equal(alone[0], alone[1])
    wrong: list[int] = []

    def work(which: int) -> None:
        wrong.extend(which for _ in range(25) if not np.array_equal(heatmap(model, images[which]).values, alone[which]))

    threads = [threading.Thread(target=work, args=(which,)) for which in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_another_layer_can_be_chosen(model: Classifier, pixels: NDArray[np.uint8]) -> None:
    heat = heatmap(model, pixels, layer="stages.2", method="hirescam")
    assert heat.layer == "stages.2" and not heat.flat
    with pytest.raises(BadConfig, match=r"has no 'layer4'; it has stages\.0, stages\.1, stages\.2, act"):
        heatmap(model, pixels, layer="layer4")
    with pytest.raises(BadConfig, match=r"cannot be laid over the image|no map"):
        heatmap(model, pixels, layer="classifier")


def test_a_prepared_image_serves_as_well_as_its_pixels(model: Classifier, pixels: NDArray[np.uint8]) -> None:
    assert np.array_equal(heatmap(model, SimpleNamespace(pixels=pixels)).values, heatmap(model, pixels).values)


@pytest.mark.parametrize(("argument", "value"), [("method", "scorecam2"), ("target", "both")])
def test_unknown_words_are_answered_with_the_known(argument: str, value: str, model: Classifier) -> None:
    with pytest.raises(BadConfig, match=rf"got '{value}'; allowed: "):
        heatmap(model, _dot(), **{argument: value})


@pytest.mark.parametrize("image", [np.zeros((8, 8), np.float32), np.zeros((8, 8, 3), np.uint8)])
def test_what_is_no_prepared_image_is_refused(image: NDArray, model: Classifier) -> None:
    with pytest.raises(BadConfig, match="expected a prepared image"):
        heatmap(model, image)


@pytest.mark.parametrize("colormap", COLORMAPS)
def test_cold_places_stay_the_grey_they_were(colormap: str) -> None:
    image = np.random.default_rng(2).integers(0, 256, (32, 32), dtype=np.uint8)
    values = np.zeros((32, 32), np.float32)
    values[8:16, 8:16] = 1.0
    out = overlay(image, values, 0.6, colormap)
    assert out.shape == (32, 32, 3) and out.dtype == np.uint8
    cold = values == 0
    assert (out[cold] == image[cold][:, None]).all()
    assert (out[~cold] != image[~cold][:, None]).any(axis=1).all()


def test_tint_grows_with_heat_and_opacity() -> None:
    image = np.full((1, 3), 100, np.uint8)
    values = np.array([[0.0, 0.5, 1.0]], np.float32)
    values[0, 1] = 0.25
    distance = np.abs(overlay(image, values, 1.0, "turbo").astype(int) - 100).sum(axis=2)[0]
    assert distance[0] == 0 < distance[1] < distance[2]
    assert (overlay(image, values, 0.0) == 100).all()
    hot = overlay(image, values, 1.0, "turbo")[0, 2]
    assert np.array_equal(hot, cv2.applyColorMap(np.array([[255]], np.uint8), cv2.COLORMAP_TURBO)[0, 0, ::-1])


def _spot() -> NDArray[np.float32]:
    values = np.zeros((40, 20), np.float32)
    values[10:20, 5:15] = 0.6
    values[14, 9] = 1.0
    return values


def test_a_rendered_picture_has_the_asked_size_and_outlines_half_of_the_strongest() -> None:
    grey = np.full((40, 20), 120, np.uint8)
    plain, outlined = (render(grey, _spot(), side=80, outline=outline) for outline in (0, 1))
    assert plain.shape == outlined.shape == (80, 40, 3)
    changed = (plain != outlined).any(axis=2)
    ys, xs = np.nonzero(changed)
    assert 14 <= ys.min() < 22 and 36 <= ys.max() < 44 and 4 <= xs.min() < 12 and 26 <= xs.max() < 34  # round the spot
    assert not changed[28, 18] and not changed[70, 20]  # neither inside nor far off
    assert np.array_equal(render(grey), np.repeat(grey[..., None], 3, axis=2))
    assert np.array_equal(render(grey, _spot(), outline=0), overlay(grey, _spot()))


def test_a_flat_map_and_no_opacity_have_no_outline() -> None:
    grey = np.full((40, 20), 120, np.uint8)
    for picture in (render(grey, np.zeros((40, 20), np.float32)), render(grey, _spot(), opacity=0.0)):
        assert (picture == 120).all()


def test_lesions_and_the_peak_are_drawn_on_the_picture() -> None:
    grey, nothing = np.full((40, 20), 120, np.uint8), np.zeros((40, 20), np.float32)
    mask = np.zeros((40, 20), np.bool_)
    mask[20:30, 5:15] = True
    for picture in (render(grey, nothing, outlines=[[(5, 20), (14, 20), (14, 29), (5, 29)]]), render(grey, mask=mask)):
        assert (picture[20, 8] == 255).all() and (picture[3, 3] == 120).all() and (picture[25, 10] == 120).all()
    x, y = 9, 14
    assert (render(grey, _spot(), opacity=0.0, peak=True)[y, x] == 255).all()


def test_both_classes_are_outlined_each_in_its_colour() -> None:
    values = np.zeros((60, 60), np.float32)
    values[5:20, 5:20], values[40:55, 40:55] = 1.0, -1.0
    picture = render(np.zeros((60, 60), np.uint8), values, signed=True, opacity=0.3)
    for place, level in (((5, 12), 255), ((40, 47), 0)):  # the line's edge is smoothed
        assert np.abs(picture[place] - two_colours()[level].astype(float)).max() < 64


def test_a_flat_map_tints_nothing() -> None:
    flat = Heatmap(np.zeros((4, 4), np.float32), True, "gradcam", "act", reason="nothing")
    assert (overlay(np.full((4, 4), 7, np.uint8), flat) == 7).all()
    assert (overlay(np.full((4, 4), 7, np.uint8), np.full((4, 4), np.nan, np.float32)) == 7).all()


@pytest.mark.parametrize(
    ("shape", "opacity", "colormap", "said"),
    [
        ((4, 5), 0.5, "inferno", "original_from_prepared"),
        ((4, 4), 1.5, "inferno", "0 to 1"),
        ((4, 4), 0.5, "rainbow9", "inferno"),
    ],
)
def test_an_impossible_overlay_is_refused(shape: tuple[int, int], opacity: float, colormap: str, said: str) -> None:
    with pytest.raises(BadConfig, match=said):
        overlay(np.zeros((4, 4), np.uint8), np.zeros(shape, np.float32), opacity, colormap)


@pytest.mark.slow_for("resnet18-gradcam")
@pytest.mark.parametrize(("name", "method"), [("small_cnn", "hirescam"), ("resnet18", "gradcam")])
def test_method_that_fits_the_architecture_is_taken_unless_one_is_named(name: str, method: str) -> None:
    model = build_model(ModelConfig(weights="none", name=name)).eval()
    assert heatmap(model, np.full((64, 64), 90, np.uint8)).method == method


def test_map_of_the_small_network_adds_up_to_its_logit() -> None:
    model = build_model(ModelConfig(weights="none", name="small_cnn")).eval()
    with torch.no_grad():
        model.head.weight.normal_()  # type: ignore[operator, union-attr]
    pixels = np.random.default_rng(0).integers(0, 256, (96, 96), dtype=np.uint8)
    images = as_input(pixels)
    features = model.backbone.forward_features((images - model.mean) / model.std).detach().requires_grad_()  # type: ignore[operator]
    logit = model.backbone.forward_head(features).sum()  # type: ignore[operator]
    (gradient,) = torch.autograd.grad(logit, features)
    assert float((gradient * features.detach()).sum()) == pytest.approx(float((logit - model.head.bias).detach()), rel=1e-4)  # type: ignore[arg-type, operator]


@pytest.mark.slow_but(
    "small_cnn-gradcam++-GradCAMPlusPlus",
    "small_cnn-gradcam-GradCAM",
    "small_cnn-hirescam-HiResCAM",
    "small_cnn-layercam-LayerCAM",
)
@pytest.mark.parametrize(
    ("method", "package"),
    [("gradcam", "GradCAM"), ("gradcam++", "GradCAMPlusPlus"), ("hirescam", "HiResCAM"), ("layercam", "LayerCAM")],
)
@pytest.mark.parametrize("name", ["small_cnn", "resnet18"])
def test_gradient_methods_are_the_package_s(name: str, method: str, package: str, pixels: NDArray[np.uint8]) -> None:
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import BinaryClassifierOutputTarget

    torch.manual_seed(1)
    model = build_model(ModelConfig(weights="none", name=name)).eval()
    for category, target in enumerate(("benign", "malignant")):
        with getattr(pytorch_grad_cam, package)(model, [find_cam_layer(model)]) as cam:
            expected = cam(as_input(pixels), [BinaryClassifierOutputTarget(category)])[0]
        np.testing.assert_allclose(heatmap(model, pixels, method=method, target=target).values, expected, atol=1e-6)


def test_eigencam_is_the_package_s_up_to_its_sign() -> None:
    """At a layer with more cells than channels, and at one with fewer."""
    from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection

    random = torch.Generator().manual_seed(3)
    for shape in ((5, 8, 6), (90, 4, 3)):
        features = torch.randn(shape, generator=random)
        expected = get_2d_projection(features.numpy()[None])[0]
        expected = expected if expected.max() >= -expected.min() else -expected
        np.testing.assert_allclose(eigen_cam(features), expected, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["malignant", pytest.param("benign", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["small_cnn", pytest.param("resnet18", marks=pytest.mark.slow), "vit_tiny_patch16_224"])
def test_score_cam_over_all_feature_maps_is_the_package_s(name: str, target: str, pixels: NDArray[np.uint8]) -> None:
    from pytorch_grad_cam import ScoreCAM
    from pytorch_grad_cam.utils.model_targets import BinaryClassifierOutputTarget

    torch.manual_seed(1)
    model = build_model(ModelConfig(weights="none", name=name)).eval()
    with torch.no_grad():
        model.head.weight.mul_(20)  # so that the masks' scores differ
    targets = [BinaryClassifierOutputTarget(1 if target == "malignant" else 0)]
    shape = partial(as_feature_map, model, image_shape=(64, 96))
    with ScoreCAM(model, [find_cam_layer(model)], reshape_transform=shape) as cam:
        expected = cam(as_input(pixels), targets)[0]
    np.testing.assert_allclose(heatmap(model, pixels, method="scorecam", target=target, channels=0).values, expected, atol=2e-3)


def test_score_cam_tries_the_feature_maps_that_vary_most(model: Classifier, pixels: NDArray[np.uint8]) -> None:
    model.eval()
    layer = find_cam_layer(model)
    images = as_input(pixels)
    features = feature_map(model, layer, images)
    spread = features.flatten(1).numpy().var(axis=1)
    best = np.argsort(-spread)[:3]
    weights = []
    for number in best:
        mask = torch.nn.UpsamplingBilinear2d(size=(64, 96))(features[None, number : number + 1])
        mask = (mask - mask.min()) / (mask.max() - mask.min())
        with torch.no_grad():
            weights.append(float(model(images * mask)))
    weights = np.exp(weights) / np.exp(weights).sum()
    expected = (weights[:, None, None] * features.numpy()[best]).sum(axis=0)
    np.testing.assert_allclose(score_cam(model, images, features, "malignant", 3, None, model), expected, rtol=1e-4)


def test_progress_of_score_cam_ends_at_the_number_of_feature_maps(model: Classifier, pixels: NDArray[np.uint8]) -> None:
    told: list[tuple[int, int]] = []
    heatmap(model, pixels, method="scorecam", channels=20, progress=lambda done, total: told.append((done, total)))
    assert told[0] == (0, 20) and told[-1] == (20, 20) and told == sorted(told) and len(told) > 2


def test_score_cam_can_be_stopped_and_leaves_no_trace(model: Classifier, pixels: NDArray[np.uint8]) -> None:
    class Stop(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done:
            raise Stop

    with pytest.raises(Stop):
        heatmap(model, pixels, method="scorecam", progress=stop)
    assert model.training and all(p.requires_grad for p in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


def test_others_may_use_the_model_while_score_cam_is_at_work(model: Classifier, pixels: NDArray[np.uint8]) -> None:
    free: list[bool] = []

    def ask() -> None:
        taken = model_lock(model).acquire(timeout=5)
        free.append(taken)
        if taken:
            model_lock(model).release()

    def progress(done: int, total: int) -> None:
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()

    heatmap(model, pixels, method="scorecam", channels=20, progress=progress)
    assert len(free) > 2 and all(free)


@pytest.mark.slow_but("small_cnn")
@pytest.mark.parametrize(
    "name", ["small_cnn", "mobilenetv2_100", "resnet18", "densenet121", "convnext_atto", "vit_tiny_patch16_224"]
)
def test_every_layer_offered_gives_a_map_of_the_size_that_is_said(name: str) -> None:
    torch.manual_seed(0)
    model = build_model(ModelConfig(weights="none", name=name)).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96), dtype=np.uint8)
    choices = layer_choices(model, (64, 96))
    assert [choice.usual for choice in choices] == [False] * (len(choices) - 1) + [True]
    assert choices[-1].name == layer_name(model, find_cam_layer(model))
    for choice in (choices[0], choices[-2], choices[-1]):
        heat = heatmap(model, pixels, method="hirescam", layer=choice.name)
        assert heat.cells == (choice.rows, choice.columns) and heat.layer == choice.name
        assert f"({choice.columns} × {choice.rows})" in choice.title
    assert [choice.rows for choice in choices] == sorted((choice.rows for choice in choices), reverse=True)
    assert layers(model) == [choice.name for choice in layer_choices(model)]


@pytest.mark.slow
def test_layers_are_said_in_plain_words() -> None:
    model = build_model(ModelConfig(weights="none", name="resnet18"))
    assert [choice.title for choice in layer_choices(model, (224, 160))] == [
        "stage 1 (80 × 112)",
        "stage 2 (40 × 56)",
        "stage 3 (20 × 28)",
        "stage 4 (10 × 14)",
        "last map (5 × 7)",
    ]


def test_describing_layers_leaves_no_trace(model: Classifier) -> None:
    model.train()
    layer_choices(model)
    assert model.training and not any(module._forward_hooks for module in model.modules())


@pytest.mark.slow_but("small_cnn-unfit0")
@pytest.mark.parametrize(
    ("name", "unfit"),
    [
        ("small_cnn", {"gradcam", "gradcam++"}),
        ("resnet18", set()),
        ("convnext_atto", {"gradcam++"}),
        ("vit_tiny_patch16_224", {"gradcam++"}),
    ],
)
def test_methods_whose_assumptions_the_network_breaks_are_named_with_the_reason(name: str, unfit: set[str]) -> None:
    torch.manual_seed(0)
    model = build_model(ModelConfig(weights="none", name=name)).eval()
    assert set(unfit_methods(model)) == unfit
    assert all(len(reason) > 20 for reason in unfit_methods(model).values())


def test_whether_a_method_fits_depends_on_the_layer() -> None:
    torch.manual_seed(0)
    model = build_model(ModelConfig(weights="none", name="mobilenetv2_100")).eval()
    assert "gradcam++" not in unfit_methods(model)
    assert "both signs" in unfit_methods(model, "blocks.4")["gradcam++"]  # before an activation
    with pytest.raises(BadConfig, match=r"got 'layer4'; mobilenetv2_100 has blocks\.0"):
        unfit_methods(model, "layer4")


def test_evidence_puts_both_classes_on_one_scale() -> None:
    image = np.full((64, 48), 40, np.uint8)
    image[40:48, 8:16] = 200
    image[8:16, 8:16] = 0
    model = _bright(mean=40 / 255)
    both = evidence(model, image)
    assert both.values[44, 12] == pytest.approx(1.0, abs=0.01)  # 160 above the mean
    assert both.values[12, 12] == pytest.approx(-0.25, abs=0.01)  # 40 below it
    assert abs(both.values[30, 40]) < 0.01
    assert not both.flat and both.reason == "" and (both.method, both.layer, both.target) == ("gradcam", "conv", "both")


def test_evidence_says_which_class_has_none() -> None:
    both = evidence(_bright(), _dot())
    assert both.reason == "nothing at this layer speaks for benign" and not both.flat
    assert both.values.min() >= 0 and both.values[44, 12] == pytest.approx(1.0)
    nothing = evidence(_bright(float("nan")), _dot())
    assert nothing.flat and not nothing.values.any() and "no numbers" in nothing.reason


def test_evidence_of_a_method_without_classes_is_refused(model: Classifier) -> None:
    with pytest.raises(BadConfig, match="whatever the class"):
        evidence(model, _dot(), method="eigencam")


def test_progress_of_both_classes_runs_through_once(model: Classifier, pixels: NDArray[np.uint8]) -> None:
    told: list[tuple[int, int]] = []
    evidence(model, pixels, method="scorecam", channels=20, progress=lambda done, total: told.append((done, total)))
    assert told[0] == (0, 40) and told[-1] == (40, 40) and told == sorted(told)


def test_two_classes_are_two_colours() -> None:
    image = np.full((1, 3), 100, np.uint8)
    out = overlay(image, np.array([[-1.0, 0.0, 0.25]], np.float32), 1.0, signed=True)[0]
    assert tuple(out[0]) == tuple(two_colours()[0]) and tuple(out[1]) == (100, 100, 100)
    expected = np.floor(0.5 * 100 + 0.5 * two_colours()[255].astype(float) + 0.5)
    assert tuple(out[2]) == tuple(expected)
    assert (overlay(image, np.array([[-1.0, -0.5, 0.0]], np.float32), 1.0) == 100).all()  # no sign asked for: below 0 is cold


def test_a_number_of_feature_maps_below_zero_is_refused(model: Classifier) -> None:
    with pytest.raises(BadConfig, match="got -1"):
        heatmap(model, _dot(), method="scorecam", channels=-1)
