"""Shuffled weights, and the two figures that compare maps, against scipy and a window-by-window SSIM."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from core.config import ModelConfig
from core.gradcam import heatmap
from core.heatmap_audit.randomization import rank_correlation, shifted, shuffled_copy, structural_similarity
from core.model import Classifier, as_input, build_model


@pytest.fixture
def model() -> Classifier:
    torch.manual_seed(0)
    model = build_model(ModelConfig(options={"width": 8}))
    with torch.no_grad():
        model.head.weight.uniform_(0, 1)
    return model.eval()


def test_shuffling_keeps_every_tensors_values_and_leaves_the_model_alone(model: Classifier) -> None:
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    other = shuffled_copy(model, seed=0)
    for name, parameter in other.named_parameters():
        assert torch.equal(parameter.flatten().sort().values, before[name].flatten().sort().values), name
    assert all(torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())
    changed = [name for name, parameter in other.named_parameters() if not torch.equal(parameter, before[name])]
    assert "backbone.stages.0.conv1.weight" in changed and "backbone.classifier.weight" in changed


def test_shuffling_is_the_same_for_the_same_seed(model: Classifier) -> None:
    pixels = as_input(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8))
    with torch.no_grad():
        first, again, other = (shuffled_copy(model, seed)(pixels).item() for seed in (3, 3, 4))
    assert first == again != other


def test_a_map_of_learned_weights_is_not_that_of_shuffled_ones(model: Classifier) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (128, 128), dtype=np.uint8)
    inside = np.ones(pixels.shape, np.bool_)
    own = heatmap(model, pixels).values
    assert rank_correlation(own, heatmap(model, pixels).values, inside) == pytest.approx(1.0)
    assert rank_correlation(own, heatmap(shuffled_copy(model, 0), pixels).values, inside) < 0.9


@pytest.mark.parametrize("seed", range(3))
def test_rank_correlation_is_scipys(seed: int) -> None:
    generator = np.random.default_rng(seed)
    first = generator.random((12, 9), np.float32).round(1)  # with ties
    second = (first + generator.random((12, 9), np.float32)).round(1)
    inside = generator.random((12, 9)) < 0.6
    assert rank_correlation(first, second, inside) == pytest.approx(spearmanr(first[inside], second[inside]).statistic)


def test_rank_correlation_with_a_map_that_is_the_same_everywhere_is_not_a_number() -> None:
    inside = np.ones((4, 4), np.bool_)
    assert np.isnan(rank_correlation(np.ones((4, 4), np.float32), np.eye(4, dtype=np.float32), inside))


def test_similarity_is_that_of_the_windows_one_by_one() -> None:
    generator = np.random.default_rng(0)
    first, second = generator.random((2, 20, 24)).astype(np.float32)
    inside = np.zeros((20, 24), np.bool_)
    inside[5:15, 5:19] = True  # where the whole window lies in the image
    axis = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(axis, axis) / axis.sum() ** 2
    values = []
    for y, x in np.argwhere(inside):
        a, b = (image[y - 5 : y + 6, x - 5 : x + 6].astype(np.float64) for image in (first, second))
        mean_a, mean_b = (window * a).sum(), (window * b).sum()
        var_a, var_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
        both = (window * (a - mean_a) * (b - mean_b)).sum()
        top = (2 * mean_a * mean_b + 1e-4) * (2 * both + 9e-4)
        values.append(top / ((mean_a**2 + mean_b**2 + 1e-4) * (var_a + var_b + 9e-4)))
    assert structural_similarity(first, second, inside) == pytest.approx(np.mean(values), rel=1e-6)
    assert structural_similarity(first, first, inside) == pytest.approx(1.0)


def test_a_shift_moves_down_and_back() -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(4, 3)
    assert shifted(pixels, 1).tolist() == [[0, 1, 2], [0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert shifted(pixels, -1)[-1].tolist() == [9, 10, 11]
