from __future__ import annotations

import threading
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from core.config import ModelConfig
from core.errors import BadConfig
from core.gradcam import COLORMAPS, METHODS, Heatmap, heatmap, overlay
from core.model import Classifier, as_input, build_model
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


@pytest.mark.parametrize("name", ["small_cnn", "efficientnet_b0", "densenet121", "vit_tiny_patch16_224"])
def test_the_map_is_that_of_the_formula(name: str, pixels: NDArray[np.uint8]) -> None:
    """Against Grad-CAM written out with autograd alone."""
    torch.manual_seed(1)
    model = build_model(ModelConfig(name=name)).eval()
    layer = model.cam_layer()
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
    model.freeze_backbone()
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
    with pytest.raises(BadConfig, match=r"has no 'layer4'; top-level layers: stages, affine"):
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
    distance = np.abs(overlay(image, values, 1.0, "turbo").astype(int) - 100).sum(axis=2)[0]
    assert distance[0] == 0 < distance[1] < distance[2]
    assert (overlay(image, values, 0.0) == 100).all()
    hot = overlay(image, values, 1.0, "turbo")[0, 2]
    assert np.array_equal(hot, cv2.applyColorMap(np.array([[255]], np.uint8), cv2.COLORMAP_TURBO)[0, 0, ::-1])


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


@pytest.mark.parametrize(("name", "method"), [("small_cnn", "hirescam"), ("resnet18", "gradcam")])
def test_method_that_fits_the_architecture_is_taken_unless_one_is_named(name: str, method: str) -> None:
    model = build_model(ModelConfig(name=name)).eval()
    assert heatmap(model, np.full((64, 64), 90, np.uint8)).method == method


def test_map_of_the_small_network_adds_up_to_its_logit() -> None:
    model = build_model(ModelConfig(name="small_cnn")).eval()
    with torch.no_grad():
        model.head.weight.normal_()  # type: ignore[operator, union-attr]
    pixels = np.random.default_rng(0).integers(0, 256, (96, 96), dtype=np.uint8)
    images = as_input(pixels)
    features = model.backbone.forward_features((images - model.mean) / model.std).detach().requires_grad_()  # type: ignore[operator]
    logit = model.backbone.forward_head(features).sum()  # type: ignore[operator]
    (gradient,) = torch.autograd.grad(logit, features)
    assert float((gradient * features.detach()).sum()) == pytest.approx(float((logit - model.head.bias).detach()), rel=1e-4)  # type: ignore[arg-type, operator]
