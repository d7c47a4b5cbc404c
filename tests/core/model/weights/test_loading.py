from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from builders.lively import lively
from safetensors.torch import load_file, save_file

from core.config import ModelConfig
from core.errors import BadConfig, MissingWeights
from core.model import build_model, check_weights, save_model
from core.model.weights import hub

NAME = "mobilenetv2_035"


@pytest.fixture(scope="module")
def colour() -> torch.nn.Module:
    """A colour network with 1000 classes, as weights files hold them, with statistics that are not the initial ones."""
    torch.manual_seed(3)
    return lively(timm.create_model(NAME, pretrained=False))


@pytest.fixture
def weights_file(colour: torch.nn.Module, tmp_path: Path) -> Path:
    path = tmp_path / "colour.safetensors"
    save_file(colour.state_dict(), path)
    return path


@pytest.fixture
def no_hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.file_download.HF_HUB_CACHE", str(tmp_path / "hub"), raising=False)
    return tmp_path / "hub"


@pytest.mark.slow
def test_a_grey_network_from_colour_weights_sees_what_the_colour_network_sees(
    colour: torch.nn.Module, weights_file: Path
) -> None:
    model = build_model(ModelConfig(name=NAME, weights=str(weights_file))).eval()
    images = torch.rand(2, 1, 64, 64)
    normalised = (images - model.mean) / model.std
    with torch.no_grad():
        expected = colour.forward_features(normalised.repeat(1, 3, 1, 1))
        torch.testing.assert_close(model.backbone.forward_features(normalised), expected, rtol=1e-3, atol=1e-4)
    assert model.pretrained


@pytest.mark.slow
def test_the_file_gives_what_timm_itself_makes_of_it(weights_file: Path) -> None:
    model = build_model(ModelConfig(name=NAME, weights=str(weights_file)))
    theirs = timm.create_model(
        NAME, pretrained=True, num_classes=1, in_chans=1, pretrained_cfg_overlay={"file": str(weights_file)}
    )
    ours = model.backbone.state_dict()
    for name, tensor in theirs.state_dict().items():
        if not name.startswith("classifier"):
            assert torch.equal(ours[name], tensor), name


@pytest.mark.slow_but(".pth--model")
@pytest.mark.parametrize("wrapper", ["state_dict", "model", None])
@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module.backbone.", ""])
@pytest.mark.parametrize("suffix", [".pth", ".pt"])
def test_what_trainers_wrap_around_a_state_dict_is_taken_off(
    colour: torch.nn.Module, tmp_path: Path, wrapper: str | None, prefix: str, suffix: str
) -> None:
    state = {prefix + name: tensor for name, tensor in colour.state_dict().items()}
    path = tmp_path / f"wrapped{suffix}"
    torch.save({wrapper: state, "epoch": 3} if wrapper else state, path)
    model = build_model(ModelConfig(name=NAME, weights=str(path)))
    assert torch.equal(model.backbone.conv_head.weight, colour.conv_head.weight)


@pytest.mark.slow
def test_half_precision_weights_are_taken_as_floats(colour: torch.nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "half.pth"
    torch.save({name: tensor.half() for name, tensor in colour.state_dict().items()}, path)
    weight = build_model(ModelConfig(name=NAME, weights=str(path))).backbone.conv_head.weight
    torch.testing.assert_close(weight, colour.conv_head.weight, rtol=1e-3, atol=1e-3)
    assert weight.dtype == torch.float32


@pytest.mark.slow
def test_a_run_of_ours_is_continued_with_its_head_and_normalisation(tmp_path: Path) -> None:
    config = ModelConfig(name=NAME, options={"mean": 0.3, "std": 0.2})
    first = build_model(config).eval()
    save_model(tmp_path, first, {"model": config.model_dump(mode="json")})
    second = build_model(ModelConfig(name=NAME, weights=str(tmp_path / "model.safetensors"))).eval()
    images = torch.rand(2, 1, 64, 64)
    assert torch.equal(first(images), second(images))
    assert second.normalisation == {"mean": 0.3, "std": 0.2}


def test_small_cnn_takes_the_file_of_another_run(tmp_path: Path) -> None:
    first = build_model(ModelConfig())
    save_model(tmp_path, first, {"model": ModelConfig().model_dump(mode="json")})
    second = build_model(ModelConfig(weights=str(tmp_path / "model.safetensors")))
    assert torch.equal(first.head.weight, second.head.weight)


@pytest.mark.slow
def test_position_embeddings_of_another_size_are_resampled(tmp_path: Path) -> None:
    path = tmp_path / "vit.safetensors"
    save_file(timm.create_model("vit_tiny_patch16_224", pretrained=False).state_dict(), path)
    model = build_model(ModelConfig(name="vit_tiny_patch16_224", weights=str(path), options={"img_size": 64}))
    assert model.backbone.pos_embed.shape == (1, 17, 192)
    assert model(torch.rand(1, 1, 64, 64)).shape == (1,)


def test_another_architectures_file_is_refused_with_examples(weights_file: Path) -> None:
    with pytest.raises(MissingWeights, match=r"fit resnet10t, for example conv1\.0\.weight.*another architecture"):
        build_model(ModelConfig(name="resnet10t", weights=str(weights_file)))


def test_a_relative_of_another_width_is_refused(weights_file: Path) -> None:
    with pytest.raises(MissingWeights, match=r"expected \[.*shape \["):
        build_model(ModelConfig(name="mobilenetv2_100", weights=str(weights_file)))


@pytest.mark.slow
def test_a_file_that_lacks_a_few_tensors_is_used_and_said(
    weights_file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = load_file(weights_file)
    del state["bn2.weight"]
    save_file(state, tmp_path / "less.safetensors")
    build_model(ModelConfig(name=NAME, weights=str(tmp_path / "less.safetensors")))
    assert "stay random: bn2.weight" in caplog.text


@pytest.mark.slow
def test_weights_that_are_no_numbers_are_refused(weights_file: Path, tmp_path: Path) -> None:
    state = load_file(weights_file)
    state["bn2.weight"][0] = float("nan")
    save_file(state, tmp_path / "nan.safetensors")
    with pytest.raises(MissingWeights, match=r"bn2\.weight has values that are no numbers"):
        build_model(ModelConfig(name=NAME, weights=str(tmp_path / "nan.safetensors")))


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("echo executed > executed.txt",)


def test_a_pickle_is_never_executed(in_tmp: Path) -> None:
    torch.save({"state_dict": _Evil()}, "evil.pth")
    with pytest.raises(
        MissingWeights,
        match=r"holds objects besides tensors and plain values \(\w+\.system\).*save the network's state dict alone",
    ):
        build_model(ModelConfig(name=NAME, weights="evil.pth"))
    assert not Path("executed.txt").exists()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("absent.safetensors", None, "no such file"),
        ("notes.txt", b"hello", "expected a file ending in"),
        ("empty.safetensors", b"", "got an empty file"),
        ("torn.safetensors", b"\x10\x00\x00\x00\x00\x00\x00\x00{", "not a readable safetensors file"),
    ],
)
def test_a_file_that_is_no_weights_file_is_refused_before_building(
    in_tmp: Path, name: str, content: bytes | None, said: str
) -> None:
    if content is not None:
        Path(name).write_bytes(content)
    with pytest.raises(MissingWeights, match=said):
        check_weights(ModelConfig(name=NAME, weights=name))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "got an empty file"),
        (b"junk", "got a text file"),
        (b"PK\x03\x04junk", "cannot be read as tensors alone"),
        (b"\x80\x02junk", "cannot be read as tensors alone"),
        (b"<!DOCTYPE html><html>Sign in</html>", "got a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "got a Git LFS pointer"),
        (b"\x89HDF\r\n", "got an HDF5 file"),
        (b"weights".ljust(257, b"\0") + b"ustar\0", "a tar archive"),
    ],
    ids=["empty", "text", "torn zip", "torn pickle", "web page", "git lfs", "keras", "tar"],
)
@pytest.mark.parametrize("name", ["broken.pth", "broken.safetensors"])
def test_a_broken_file_is_named_for_what_it_is(in_tmp: Path, name: str, content: bytes, said: str) -> None:
    Path(name).write_bytes(content)
    with pytest.raises(MissingWeights, match=said) as caught:
        build_model(ModelConfig(name=NAME, weights=name))
    assert "weights_only" not in str(caught.value)


@pytest.mark.parametrize("content", [{"epoch": 3}, [1, 2], {"state_dict": {}}])
def test_a_pth_without_tensors_is_refused(in_tmp: Path, content: object) -> None:
    torch.save(content, "none.pth")
    with pytest.raises(MissingWeights, match="holds no named tensors"):
        build_model(ModelConfig(name=NAME, weights="none.pth"))


def test_none_asks_for_nothing() -> None:
    check_weights(ModelConfig(name="resnet50", weights="none"))


def test_hub_weights_of_our_own_network_do_not_exist() -> None:
    with pytest.raises(MissingWeights, match="no pretrained weights of small_cnn"):
        check_weights(ModelConfig(weights="hub"))


def test_weights_that_are_not_on_the_hub_are_named_with_their_address() -> None:
    with pytest.raises(MissingWeights, match=r"gcvit_tiny are not on the Hugging Face hub but at https://.*Download"):
        check_weights(ModelConfig(name="gcvit_tiny", weights="hub"))


def test_offline_says_what_to_do(no_hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(MissingWeights) as caught:
        check_weights(ModelConfig(name="efficientnet_b0", weights="hub"))
    message = str(caught.value)
    for words in ("HF_HUB_OFFLINE", "copy a Hugging Face cache", ".safetensors", "none, to train from scratch", "hub"):
        assert words in message


def test_no_network_is_found_out_before_building(no_hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _go_online(monkeypatch)

    def refuse(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(timm, "create_model", lambda *a, **k: pytest.fail("built before the weights were checked"))
    with pytest.raises(MissingWeights, match="cannot be fetched"):
        build_model(ModelConfig(name="efficientnet_b0", weights="hub"))


def test_a_hub_that_never_answers_is_given_up(no_hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _go_online(monkeypatch)
    release = threading.Event()
    monkeypatch.setattr(hub, "PROBE_SECONDS", -0.4)  # plus half a second of grace
    monkeypatch.setattr(hub, "_head", lambda *args: release.wait(30))
    try:
        with pytest.raises(MissingWeights, match="no answer within"):
            check_weights(ModelConfig(name="efficientnet_b0", weights="hub"))
    finally:
        release.set()


def test_a_reachable_hub_passes_the_check(no_hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _go_online(monkeypatch)
    asked: list[str] = []
    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", lambda url, **options: asked.append(url))
    check_weights(ModelConfig(name="efficientnet_b0", weights="hub"))
    assert len(asked) == 1 and asked[0].endswith("/timm/efficientnet_b0.ra_in1k/resolve/main/model.safetensors")


@pytest.mark.slow
def test_a_copied_cache_serves_without_network(
    no_hub_cache: Path, weights_file: Path, colour: torch.nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    repository = "timm/mobilenetv2_035.fake_in1k"
    monkeypatch.setattr(hub, "address", lambda name: (repository, ("model.safetensors", "pytorch_model.bin")))
    folder = no_hub_cache / ("models--" + repository.replace("/", "--"))
    snapshot = folder / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc", encoding="utf-8")
    (snapshot / "model.safetensors").write_bytes(weights_file.read_bytes())
    config = ModelConfig(name=NAME, weights="hub")
    check_weights(config)
    assert torch.equal(build_model(config).backbone.conv_head.weight, colour.conv_head.weight)


def test_an_unknown_name_is_told_before_its_weights() -> None:
    with pytest.raises(BadConfig, match=r"model\.name"):
        build_model(ModelConfig(name="efficientnet_b00", weights="hub"))


def _go_online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)


SHARED = Path(__file__).resolve().parents[5] / "shared" / "weights" / "mobilenetv2_100.imagenet.safetensors"


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_file(), reason="needs ../shared/weights")
def test_real_imagenet_weights_load_and_give_living_features() -> None:
    options = {"pad_type": "same", "mean": 0.5, "std": 0.5}
    model = build_model(ModelConfig(name="mobilenetv2_100", weights=str(SHARED), options=options)).eval()
    colour = timm.create_model("mobilenetv2_100", pretrained=False, pad_type="same").eval()
    colour.load_state_dict(load_file(SHARED))
    images = torch.from_numpy(np.random.default_rng(0).random((2, 1, 64, 64), dtype=np.float32))
    with torch.no_grad():
        expected = colour.forward_features(((images - 0.5) / 0.5).repeat(1, 3, 1, 1))
        features = model.backbone.forward_features((images - 0.5) / 0.5)
    torch.testing.assert_close(features, expected, rtol=1e-3, atol=1e-4)
    assert features.std() > 0.05
