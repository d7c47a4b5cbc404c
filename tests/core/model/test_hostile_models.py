"""Run folders that somebody built to harm: what they cost is bounded by what they hold."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from core.config import ModelConfig
from core.errors import BadConfig, BadRun
from core.model import build_model, load_model, save_model, update_card
from core.model.build import outline
from core.model.limits import BuildLimits, building_within

SMALL = {"options": {"width": 8}}


def _run(folder: Path, model: dict[str, Any]) -> Path:
    """A small run whose card describes `model`, with a hash that fits."""
    save_model(folder, build_model(ModelConfig(**SMALL)), {"model": ModelConfig(**SMALL).model_dump(mode="json")})
    card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    card["model"] = {**card["model"], "options": {}, **model}
    (folder / "model.json").write_text(json.dumps(card), encoding="utf-8")
    return folder


@pytest.fixture
def only_small_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails when a module gets a tensor of more than 64 MB that takes memory."""
    real = nn.Module.register_parameter

    def watched(self: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        if parameter is not None and parameter.device.type != "meta":
            assert parameter.nbytes < 64 << 20, f"{name} was allocated: {tuple(parameter.shape)}"
        real(self, name, parameter)

    monkeypatch.setattr(nn.Module, "register_parameter", watched)


@pytest.mark.parametrize(
    "model",
    [
        {"name": "eva02_enormous_patch14_clip_224"},
        {"name": "vit_tiny_patch16_224", "options": {"depth": 100_000}},
        {"name": "vit_tiny_patch16_224", "options": {"depth": 8000}},
        {"name": "vit_tiny_patch16_224", "options": {"embed_dim": 8190, "num_heads": 3}},
        {"name": "vit_tiny_patch16_224", "options": {"mlp_ratio": 1e300}},
        {"name": "vit_tiny_patch16_224", "options": {"img_size": 10**9}},
        {"name": "swin_tiny_patch4_window7_224", "options": {"img_size": 8192}},
        {"name": "vit_tiny_patch16_224", "options": {"depth": -(10**18)}},
        {"name": "efficientnet_b0", "options": {"channel_multiplier": 8000.0}},
        {"name": "small_cnn", "options": {"width": 2**62}},
        {"name": "small_cnn", "options": {"x" * 500: 1}},
        {"name": "small_cnn", "options": {"mean": 1e308}},
        {"name": "resnet18", "options": {f"o{index}": 1 for index in range(1000)}},
        {"name": "a/../../etc/passwd"},
        {"name": "local-dir:/tmp"},
        {"name": "x" * 10_000},
    ],
    ids=lambda model: f"{model['name'][:20]}-{str(model.get('options', ''))[:30]}",
)
@pytest.mark.timeout(60)
def test_a_card_of_a_huge_network_is_refused_before_it_is_built(
    model: dict[str, Any], tmp_path: Path, only_small_tensors: None
) -> None:
    folder = _run(tmp_path, model)
    before = psutil.Process().memory_info().rss
    with pytest.raises(BadRun, match="do not fit the architecture"):
        load_model(folder)
    assert psutil.Process().memory_info().rss - before < 400 << 20


@pytest.mark.slow_for("{'depth': 8000}")
@pytest.mark.parametrize(
    "options",
    [{"depth": 100_000}, {"depth": 8000}, {"mlp_ratio": float("nan")}, {"img_size": 10**400}, {"block": "x" * 5000}],
    ids=lambda options: str(options)[:20],
)
@pytest.mark.timeout(60)
def test_absurd_options_of_a_configuration_are_refused_in_words(options: dict[str, Any]) -> None:
    with pytest.raises(BadConfig, match=r"model\.options"):
        build_model(ModelConfig(weights="none", name="vit_tiny_patch16_224", options=options))


def test_a_network_larger_than_the_memory_is_refused_before_it_is_built(
    monkeypatch: pytest.MonkeyPatch, only_small_tensors: None
) -> None:
    free = type(psutil.virtual_memory())
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free(*[2 << 30] * len(free._fields)))
    with pytest.raises(BadConfig, match=r"model\.name: the weights of vit_giant_patch14_224 need .* GiB.*Choose a smaller"):
        build_model(ModelConfig(weights="none", name="vit_giant_patch14_224"))


@pytest.mark.slow
def test_outlining_a_network_takes_no_memory_and_no_random_numbers(only_small_tensors: None) -> None:
    torch.manual_seed(5)
    outlined = outline(ModelConfig(weights="none", name="eva02_enormous_patch14_clip_224"))
    assert {tensor.device.type for tensor in outlined.state_dict().values()} == {"meta"}
    first = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(first, torch.rand(3))


@pytest.mark.slow_for("swin_tiny_patch4_window7_224")
@pytest.mark.parametrize(
    "config",
    [
        ModelConfig(**SMALL),
        ModelConfig(weights="none", name="swin_tiny_patch4_window7_224", options={"img_size": 64}),
        ModelConfig(weights="none", name="resnet18"),
    ],
    ids=lambda config: config.name,
)
def test_the_outline_has_the_networks_names_shapes_and_types(config: ModelConfig) -> None:
    outlined, built = outline(config).state_dict(), build_model(config).state_dict()
    assert [(n, t.shape, t.dtype) for n, t in outlined.items()] == [(n, t.shape, t.dtype) for n, t in built.items()]


def test_the_limits_of_one_thread_are_not_those_of_another() -> None:
    built: list[nn.Module] = []
    with building_within(BuildLimits(tensors=1, modules=1)):
        other = threading.Thread(target=lambda: built.append(nn.Sequential(*(nn.Linear(2, 2) for _ in range(5)))))
        other.start()
        other.join()
        with pytest.raises(BadConfig, match="more than 1 tensors"):
            nn.Linear(2, 2)
    assert len(built) == 1
    nn.Sequential(*(nn.Linear(2, 2) for _ in range(5)))  # and they end with the block


# ---------------------------------------------------------------------- model.safetensors


def _replace(folder: Path, content: bytes) -> None:
    """Other weights, with a card that names them."""
    (folder / "model.safetensors").write_bytes(content)
    card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    card["weights_sha256"] = hashlib.sha256(content).hexdigest()
    (folder / "model.json").write_text(json.dumps(card), encoding="utf-8")


def _header(text: str, values: bytes = b"") -> bytes:
    return struct.pack("<Q", len(text)) + text.encode() + values


_TWICE = json.dumps({name: {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]} for name in "ab"})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "its header says"),
        (struct.pack("<Q", 2**62) + b"{}", "its header says"),
        (_header("[1]"), "no JSON object"),
        (_header("[" * 5000), "no JSON"),
        (_header('{"a": 1}'), "no JSON object"),
        (
            _header('{"a": {"dtype": "F32", "shape": [1152921504606846976], "data_offsets": [0, 4]}}', b"abcd"),
            "no tensor of shape",
        ),
        (_header('{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}', b"abcd"), "no whole numbers"),
        (_header('{"a": {"dtype": "F32", "shape": [1.0], "data_offsets": [0, 4]}}', b"abcd"), "no whole numbers"),
        (_header('{"a": {"dtype": "F32", "shape": [true], "data_offsets": [0, 4]}}', b"abcd"), "no whole numbers"),
        (_header('{"a": {"dtype": "Q4", "shape": [1], "data_offsets": [0, 4]}}', b"abcd"), "not known here"),
        (_header('{"a": {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]}}', b"abcd"), "not known here"),
        (_header('{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}', b"abc"), "cut short"),
        (_header('{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}', b"abcdefgh"), "has more"),
        (_header(_TWICE, b"abcd"), "begins at byte"),
        (_header("{}"), "tensors are missing"),
    ],
    ids=range(15),
)
def test_damaged_weights_are_refused_in_words(content: bytes, said: str, tmp_path: Path) -> None:
    folder = _run(tmp_path, SMALL)
    _replace(folder, content)
    with pytest.raises(BadRun, match=said):
        load_model(folder)


def test_tensors_of_another_type_are_refused(tmp_path: Path) -> None:
    folder = _run(tmp_path, SMALL)
    state = {name: tensor.half() for name, tensor in build_model(ModelConfig(**SMALL)).state_dict().items()}
    save_file(state, tmp_path / "half.safetensors")
    _replace(folder, (tmp_path / "half.safetensors").read_bytes())
    with pytest.raises(BadRun, match=r"expected torch\.float32 .* got torch\.float16"):
        load_model(folder)


@pytest.mark.skipif(os.name == "nt", reason="named pipes and devices of POSIX")
@pytest.mark.parametrize("name", ["model.safetensors", "model.json"])
@pytest.mark.parametrize("kind", ["pipe", "device", "link", "folder"])
@pytest.mark.timeout(30)
def test_what_is_no_regular_file_is_not_opened(kind: str, name: str, tmp_path: Path) -> None:
    folder = _run(tmp_path / "run", SMALL)
    path = folder / name
    content = path.read_bytes()
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    else:
        (tmp_path / "elsewhere").write_bytes(content)
        path.symlink_to(tmp_path / "elsewhere")
    for call in (load_model, lambda each: update_card(each, {"threshold": 0.5})):
        with pytest.raises(BadRun, match=r"regular file|missing"):
            call(folder)


def test_a_card_of_nested_lists_is_damaged_and_no_crash(tmp_path: Path) -> None:
    folder = _run(tmp_path, SMALL)
    (folder / "model.json").write_text('{"format": 1, "model": ' + "[" * 200_000, encoding="utf-8")
    with pytest.raises(BadRun, match="damaged"):
        load_model(folder)


def test_a_sparse_file_larger_than_the_memory_is_refused_before_it_is_read(tmp_path: Path) -> None:
    folder = _run(tmp_path, SMALL)
    with (folder / "model.safetensors").open("r+b") as stream:
        stream.truncate(1 << 43)
    with pytest.raises(BadRun, match="GiB of memory"):
        load_model(folder)
