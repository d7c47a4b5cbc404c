"""How far an image is from the training images: what is learned, kept, read back, and what few images allow."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save
from sklearn.covariance import EmpiricalCovariance

from core.config import ModelConfig
from core.gate import Distance, forward, read_gate, statistics_of, write_gate
from core.gate.distance import FALSE_ALARMS, FEWEST_TRAIN, FEWEST_VALIDATION, ROOM, Part
from core.gate.features import COUNT
from core.gate.store import GATE
from core.model import ModelCard, as_input, build_model

CARD = ModelCard(model=ModelConfig(), weights_sha256="ab" * 32)


def images(count: int, seed: int, *, far: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """(features, figures) of so many images of one kind."""
    rng = np.random.default_rng(seed)
    mixed = np.random.default_rng(7).normal(size=(6, 40))
    features = np.abs(rng.normal(size=(count, 6)) @ mixed + 3 + far * np.arange(40) / 10)
    return features.astype(np.float32), rng.normal(size=(count, COUNT)).astype(np.float32) + np.float32(far)


@pytest.fixture(scope="module")
def gate() -> Distance:
    return Distance.fit(images(200, 1), images(200, 2))


def far_off(gate: Distance, found: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return np.array([gate.relative(features, figures) for features, figures in zip(*found, strict=True)])


def test_a_distance_without_shrinkage_is_mahalanobis() -> None:
    rows = np.random.default_rng(0).normal(size=(400, 5)) @ np.random.default_rng(1).normal(size=(5, 5))
    fitted = Part.fit(rows.astype(np.float32), 1e-6)
    expected = EmpiricalCovariance().fit((rows - fitted.mean) / fitted.scale)
    ours = fitted(rows.astype(np.float32))
    theirs = np.sqrt(expected.mahalanobis((rows - fitted.mean) / fitted.scale))
    assert np.corrcoef(ours, theirs)[0, 1] > 0.95
    shrunk = 0.95 * expected.covariance_ + 0.05 * np.eye(5) * np.trace(expected.covariance_) / 5
    standard = (rows - fitted.mean) / fitted.scale
    exact = np.sqrt(np.einsum("ij,jk,ik->i", standard, np.linalg.inv(shrunk), standard))
    assert ours == pytest.approx(exact, rel=0.02)


def test_at_most_two_percent_of_validation_lie_beyond_the_limit_and_far_images_do(gate: Distance) -> None:
    assert gate.refuses
    validation = far_off(gate, images(200, 2))
    assert (validation > 1).mean() <= FALSE_ALARMS
    assert (validation > 1 / ROOM).mean() == pytest.approx(FALSE_ALARMS, abs=0.006)
    assert (far_off(gate, images(200, 3)) > 1).mean() <= 0.02
    assert (far_off(gate, images(50, 4, far=6.0)) > 1).all()


@pytest.mark.parametrize(
    ("train", "validation", "refuses"),
    [
        (FEWEST_TRAIN, FEWEST_VALIDATION, True),
        (FEWEST_TRAIN - 1, 200, False),
        (200, FEWEST_VALIDATION - 1, False),
        (2, 2, False),
    ],
)
def test_few_images_refuse_nothing_and_warn(train: int, validation: int, refuses: bool) -> None:
    few = Distance.fit(images(train, 1), images(validation, 2))
    assert few.refuses is refuses
    assert far_off(few, images(validation, 2)).max() < 1 or refuses
    words = few.words(1.4)
    assert "unlike the images the model was trained on" in words
    assert ("as far as" in words) != refuses


def test_words_grow_with_the_distance(gate: Distance) -> None:
    assert gate.words(0.5) == ""
    assert "differs" in gate.words(0.9)
    assert "2.0 times" in gate.words(2.0)
    assert "cannot be checked" in gate.words(None)


def test_without_features_the_picture_alone_is_judged() -> None:
    gate = Distance.fit((None, images(200, 1)[1]), (None, images(200, 2)[1]))
    assert gate.features is None
    assert gate.relative(None, images(1, 5)[1][0]) < 1 < gate.relative(None, images(1, 5, far=9.0)[1][0])


def test_features_of_another_network_cannot_be_judged(gate: Distance) -> None:
    figures = images(1, 5)[1][0]
    assert gate.relative(np.zeros(39, np.float32), figures) is None
    assert gate.relative(None, figures) is None
    assert gate.relative(np.full(40, np.nan, np.float32), figures) is None


# ---------------------------------------------------------------- on disk


def test_what_was_written_is_read_back_equal(gate: Distance, tmp_path: Path) -> None:
    write_gate(tmp_path, gate, CARD)
    again = read_gate(tmp_path, CARD)
    assert isinstance(again, Distance) and (again.limit, again.refuses) == (gate.limit, gate.refuses)
    found = images(20, 9)
    assert far_off(again, found) == pytest.approx(far_off(gate, found), rel=1e-6)
    assert (tmp_path / GATE).stat().st_size < 100_000


def test_a_gate_of_other_weights_or_none_at_all_is_said(gate: Distance, tmp_path: Path) -> None:
    assert "has no gate.safetensors" in read_gate(tmp_path, CARD)
    write_gate(tmp_path, gate, CARD.model_copy(update={"weights_sha256": "cd" * 32}))
    assert "earlier weights" in read_gate(tmp_path, CARD)


def rewritten(folder: Path, change: Any) -> str | Distance:
    content = (folder / GATE).read_bytes()
    length = int.from_bytes(content[:8], "little")
    about = json.loads(content[8 : 8 + length])["__metadata__"]
    tensors = {name: np.array(value) for name, value in load(content).items()}
    numbers = json.loads(about["gate"])
    change(tensors, numbers, about)
    about["gate"] = json.dumps(numbers)
    (folder / GATE).write_bytes(save(tensors, metadata=about))
    return read_gate(folder, CARD)


@pytest.mark.parametrize(
    "change",
    [
        lambda t, n, a: n.update(limit=-1),
        lambda t, n, a: n.update(limit="far"),
        lambda t, n, a: n.update(refuses=1),
        lambda t, n, a: n.pop("picture"),
        lambda t, n, a: n.update(picture={"floor": 0, "typical": 1}),
        lambda t, n, a: t.pop("picture.mean"),
        lambda t, n, a: t.update({"picture.mean": np.zeros(3, np.float32)}),
        lambda t, n, a: t.update({"picture.mean": np.full(COUNT, np.nan, np.float32)}),
        lambda t, n, a: t.update({"picture.scale": np.zeros(COUNT, np.float32)}),
        lambda t, n, a: t.update({"features.axes": np.zeros((3, 7), np.float32)}),
        lambda t, n, a: t.update({"features.variances": np.full(16, -1, np.float32)}),
        lambda t, n, a: a.update(format="2"),
        lambda t, n, a: a.pop("weights_sha256"),
    ],
)
def test_a_damaged_gate_is_said_and_not_used(gate: Distance, tmp_path: Path, change: Any) -> None:
    write_gate(tmp_path, gate, CARD)
    assert "damaged" in rewritten(tmp_path, change)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=400), st.integers(0, 2000))
def test_any_bytes_give_a_gate_or_a_reason(gate: Distance, tmp_path: Path, noise: bytes, at: int) -> None:
    path = write_gate(tmp_path, gate, CARD)
    content = path.read_bytes()
    for changed in (noise, content[:at], content[:at] + noise + content[at + len(noise) :]):
        path.write_bytes(changed)
        assert isinstance(read_gate(tmp_path, CARD), str | Distance)


def test_a_link_in_the_place_of_the_gate_is_not_followed(gate: Distance, tmp_path: Path) -> None:
    path = write_gate(tmp_path, gate, CARD)
    path.rename(tmp_path / "elsewhere")
    try:
        path.symlink_to(tmp_path / "elsewhere")
    except OSError:
        pytest.skip("this system lets nobody make links")
    assert "cannot be read" in read_gate(tmp_path, CARD)


# ---------------------------------------------------------------- features


@pytest.mark.slow_for("resnet18", "vit_tiny_patch16_224")
@pytest.mark.parametrize("name", ["small_cnn", "resnet18", "mobilenetv3_small_050", "vit_tiny_patch16_224"])
def test_features_are_what_the_head_saw_and_the_logits_stay_the_same(name: str) -> None:
    size = 224 if "vit" in name else 64
    model = build_model(ModelConfig(weights="none", name=name)).eval()
    pixels = np.random.default_rng(0).integers(0, 255, (3, size, size), dtype=np.uint8)
    images_in = as_input(pixels)
    with torch.inference_mode():
        logits, features = forward(model, images_in)
        assert torch.equal(logits, model(images_in))
        assert features is not None and features.shape[0] == 3 and features.ndim == 2
        assert torch.allclose(model.forward_head(features), logits, atol=1e-5)


def test_figures_of_any_picture_are_finite() -> None:
    rng = np.random.default_rng(0)
    for picture in (
        np.zeros((32, 32), np.uint8),
        np.full((32, 20), 255, np.uint8),
        rng.integers(0, 255, (300, 200), dtype=np.uint8),
    ):
        for box in ((0, 0, picture.shape[1], picture.shape[0]), (3, 3, 4, 4), (5, 5, 5, 9)):
            found = statistics_of(picture, box)
            assert found.shape == (COUNT,) and np.isfinite(found).all()


@pytest.mark.slow
def test_the_same_breast_darker_is_not_far_and_a_photograph_like_picture_is() -> None:
    rng = np.random.default_rng(3)

    def breast(number: int) -> np.ndarray:
        generator = np.random.default_rng(number)
        rows, columns = np.mgrid[:128, :80]
        down, across = generator.uniform(45, 60), generator.uniform(50, 75)
        inside = (rows - 64) ** 2 / down**2 + columns**2 / across**2 < 1
        return np.where(inside, generator.normal(generator.uniform(90, 160), 15, inside.shape).clip(10, 255), 0).astype(
            np.uint8
        )

    def figures(pictures: list[np.ndarray]) -> np.ndarray:
        return np.stack([statistics_of(picture, (0, 0, 80, 128)) for picture in pictures])

    gate = Distance.fit((None, figures([breast(n) for n in range(80)])), (None, figures([breast(n) for n in range(100, 180)])))
    own = figures([breast(n) for n in range(200, 260)])
    assert sum(gate.relative(None, row) > 1 for row in own) <= 2
    assert gate.relative(None, figures([rng.integers(0, 255, (128, 80), dtype=np.uint8)])[0]) > 1
    assert gate.relative(None, figures([np.tile(np.linspace(0, 255, 80), (128, 1)).astype(np.uint8)])[0]) > 1


def test_a_gate_that_warns_only_still_has_a_limit(gate: Distance) -> None:
    assert replace(gate, refuses=False).words(3.0).startswith("it is unlike")
