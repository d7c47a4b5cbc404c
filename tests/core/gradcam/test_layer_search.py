"""Finding the last layer that knows where things are, in networks that nobody has described."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from core.config import ModelConfig
from core.gradcam import heatmap
from core.gradcam.cam_layers import find_cam_layer, layer_name
from core.gradcam.feature_maps import grid_of, lies_over
from core.gradcam.layer_search import search
from core.model import Classifier, build_model


class _Tokens(nn.Module):
    """Patches as tokens, with a class token or without, in their order or another one."""

    def __init__(self, *, shuffled: bool = False, class_token: bool = False) -> None:
        super().__init__()
        self.embed = nn.Conv2d(1, 8, 8, stride=8)
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)
        self.last = nn.Linear(8, 1)
        self.shuffled, self.class_token = shuffled, class_token
        self.pretrained_cfg = {"input_size": (3, 64, 48)}

    def get_classifier(self) -> nn.Module:
        return self.last

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embed(x).flatten(2).transpose(1, 2)
        if self.shuffled:
            tokens = tokens[:, torch.randperm(tokens.shape[1], generator=torch.Generator().manual_seed(0))]
        if self.class_token:
            tokens = torch.cat([tokens.mean(1, keepdim=True), tokens], dim=1)
        tokens = self.first(tokens)
        if self.class_token:  # what it sees of the patches, it sees here
            tokens = torch.cat([tokens[:, :1] + tokens[:, 1:].mean(1, keepdim=True), tokens[:, 1:]], dim=1)
        tokens = self.second(tokens)
        return self.last(tokens[:, 0] if self.class_token else tokens.mean(1))


@pytest.mark.parametrize(
    ("options", "expected"),
    [({}, "second"), ({"class_token": True}, "first"), ({"shuffled": True}, "embed")],
    ids=["patches", "class token", "another order"],
)
def test_tokens_count_where_they_lie_in_order_and_the_score_depends_on_them(options: dict[str, bool], expected: str) -> None:
    torch.manual_seed(0)
    model = Classifier(_Tokens(**options), name="tokens", mean=0.5, std=0.5).eval()
    found = search(model, (64, 48))
    assert found is not None and layer_name(model, found) == expected
    assert layer_name(model, find_cam_layer(model)) == expected


def test_searching_leaves_no_trace() -> None:
    model = Classifier(_Tokens(), name="tokens", mean=0.5, std=0.5).train()
    model.backbone.first.eval()
    search(model, (64, 48))
    assert [module.training for module in model.modules()].count(False) == 1
    assert not any(module._forward_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("tokens", "shape", "expected"),
    [
        (112, (224, 128), (0, 14, 8)),
        (113, (224, 128), (1, 14, 8)),
        (198, (224, 224), (2, 14, 14)),
        (49, (224, 224), (0, 7, 7)),
    ],
)
def test_tokens_are_counted_out_over_the_image(tokens: int, shape: tuple[int, int], expected: tuple[int, int, int]) -> None:
    assert grid_of(tokens, shape, (0, 1, 2)) == expected
    assert grid_of(7, shape, (0,)) is None


def test_a_map_lies_over_the_image_when_it_is_shrunk_the_same_either_way() -> None:
    assert lies_over(14, 8, (224, 128)) and lies_over(15, 9, (225, 130)) and not lies_over(197, 19, (224, 224))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "layer", "size"),
    [
        ("fastvit_t8", "final_conv", (64, 64)),
        ("xcit_nano_12_p16_224", "blocks.11.norm1", (64, 48)),
        ("twins_svt_small", "norm", (64, 64)),
        ("inception_v3", "Mixed_7c", (160, 160)),
    ],
)
def test_families_without_an_entry_are_explained_from_their_last_spatial_layer(
    name: str, layer: str, size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    model = build_model(ModelConfig(weights="none", name=name)).eval().requires_grad_(False)
    pixels = (torch.rand(size, generator=torch.Generator().manual_seed(0)) * 255).byte().numpy()
    heat = heatmap(model, pixels)
    assert heat.layer == layer and heat.values.shape == size and min(heat.cells) > 1


@pytest.mark.slow
def test_an_image_that_a_network_cannot_take_is_refused_in_words() -> None:
    from core.errors import BadConfig

    model = build_model(ModelConfig(weights="none", name="hiera_tiny_224")).eval()
    with pytest.raises(BadConfig, match="heatmap: gradcam gives no map for hiera_tiny_224"):
        heatmap(model, torch.zeros(224, 128, dtype=torch.uint8).numpy())


@pytest.mark.slow
def test_a_head_that_cannot_be_taken_apart_is_found_out_and_no_traceback() -> None:
    model = build_model(ModelConfig(weights="none", name="sequencer2d_s"))
    model.check_input(64, 64)
    assert not model.has_separable_head
