from __future__ import annotations

import pytest
import torch
from torch import nn

from core.config import ModelConfig
from core.errors import BadConfig
from core.model import build_model
from core.model.small_cnn import SmallCnn


def test_has_a_size_that_suits_a_laptop() -> None:
    assert 300_000 < build_model(ModelConfig()).parameter_count < 1_000_000


@pytest.mark.parametrize("shape", [(32, 32), (64, 48), (65, 127), (256, 32)])
def test_takes_any_shape(shape: tuple[int, int]) -> None:
    assert SmallCnn(8)(torch.rand(2, 1, *shape)).shape == (2, 1)


def test_an_images_logit_does_not_depend_on_the_rest_of_the_batch_even_in_training() -> None:
    model = SmallCnn(8, dropout=0.0).train()
    images = torch.rand(6, 1, 64, 64)
    torch.testing.assert_close(model(images)[2:3], model(images[2:3]), rtol=1e-4, atol=1e-5)


def test_starts_with_well_scaled_activations_and_no_opinion() -> None:
    torch.manual_seed(0)
    model = SmallCnn()
    features = model.forward_features(torch.randn(4, 1, 128, 128))
    assert 0.1 < features.std() < 3
    assert torch.sigmoid(model(torch.randn(8, 1, 128, 128))).sub(0.5).abs().max() < 0.3


@pytest.mark.slow
def test_learns_to_find_a_small_bright_dot() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(16, 1, 64, 64, generator=generator) * 0.4
    labels = torch.arange(16) % 2
    for index in range(1, 16, 2):
        row, column = (int(v) for v in torch.randint(8, 56, (2,), generator=generator))
        images[index, 0, row : row + 3, column : column + 3] = 1.0
    torch.manual_seed(0)
    model = SmallCnn(8, dropout=0.0)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(40):
        loss = nn.functional.binary_cross_entropy_with_logits(model(images).flatten(), labels.float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert ((model.eval()(images).flatten() > 0) == labels.bool()).all()


def test_gradient_checkpointing_gives_the_same_gradients() -> None:
    torch.manual_seed(0)
    model = SmallCnn(8, dropout=0.0)
    images = torch.rand(2, 1, 64, 64)
    model(images).sum().backward()
    plain = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    model.set_grad_checkpointing(True)
    model(images).sum().backward()
    for expected, parameter in zip(plain, model.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, expected)


@pytest.mark.parametrize("width", [7, 20, 0, 264, "wide", 24.0, True])
def test_refuses_an_impossible_width(width: object) -> None:
    with pytest.raises(BadConfig, match="width"):
        build_model(ModelConfig(options={"width": width}))


def test_refuses_an_option_it_does_not_know() -> None:
    with pytest.raises(BadConfig, match=r"pad_type.*allowed: width"):
        build_model(ModelConfig(options={"pad_type": "same"}))
