"""Other libraries' networks: recognised, converted, and computing what they computed there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from builders.lively import lively
from safetensors.torch import save_file
from torch import nn

from core.config import ModelConfig
from core.errors import MissingWeights
from core.model import Classifier, build_model, check_model
from core.model.weights import layouts, packages

LITE = "tf_efficientnet_lite0"
TOY = "mobilenetv2_035"


def built(name: str, path: Path) -> Classifier:
    return build_model(ModelConfig(name=name, weights=str(path))).eval()


def assert_same_scores(model: Classifier, theirs: nn.Module, height: int = 65) -> None:
    """Our logit is the second minus the first of a network with two classes, for grey images; of an odd height the paddings
    of other libraries would show."""
    images = torch.rand(2, 1, height, 96)
    with torch.inference_mode():
        logits = theirs(((images - model.mean) / model.std).repeat(1, 3, 1, 1))
        torch.testing.assert_close(model(images), logits[:, 1] - logits[:, 0], rtol=1e-3, atol=1e-4)


def state_of_package(prefix: str = "") -> dict[str, torch.Tensor]:
    path = packages.installed(packages.PACKAGED[LITE])
    assert path is not None
    return {prefix + name: tensor for name, tensor in torch.load(path, weights_only=True).items()}


@pytest.mark.slow_but("efficientnet_b0")
@pytest.mark.parametrize("name", ["resnet50", "densenet121", "efficientnet_b0", "efficientnet_b1"])
def test_torchvisions_networks_give_the_scores_that_they_give_there(tmp_path: Path, name: str) -> None:
    models = pytest.importorskip("torchvision.models")
    theirs = lively(getattr(models, name)(num_classes=2))
    torch.save({"state_dict": {f"module.{key}": value for key, value in theirs.state_dict().items()}}, tmp_path / "w.pth")
    model = built(name, tmp_path / "w.pth")
    assert_same_scores(model, theirs)
    record = model.starting_weights
    assert record is not None and record.loaded == record.wanted > 100 and not record.missing and not record.unused
    assert record.layout == ("torchvision" if name.startswith("efficientnet") else "timm")
    assert record.head == "difference of two logits"
    assert "second minus the first as malignant" in record.statement


@pytest.mark.slow
def test_torchvisions_densenets_of_before_2017_are_read(tmp_path: Path) -> None:
    theirs = timm.create_model("densenet121", num_classes=1).state_dict()
    old = {name.replace("norm1.", "norm.1.").replace("norm2.", "norm.2."): tensor for name, tensor in theirs.items()}
    old = {name.replace("conv1.", "conv.1.").replace("conv2.", "conv.2."): tensor for name, tensor in old.items()}
    assert old.keys() != theirs.keys()
    save_file(old, tmp_path / "w.safetensors")
    record = built("densenet121", tmp_path / "w.safetensors").starting_weights
    assert record is not None and (record.layout, record.loaded) == ("torchvision", record.wanted)


@pytest.mark.parametrize("size", [0, 1])
def test_efficientnet_pytorchs_networks_give_the_scores_that_they_give_there(tmp_path: Path, size: int) -> None:
    library = pytest.importorskip("efficientnet_pytorch")
    theirs = lively(library.EfficientNet.from_name(f"efficientnet-b{size}", num_classes=2))
    torch.save(theirs.state_dict(), tmp_path / "w.pth")
    model = built(f"tf_efficientnet_b{size}", tmp_path / "w.pth")
    assert_same_scores(model, theirs, 64)  # whatever the size, that library pads as for images of 224 px: here it is the same
    assert model.starting_weights is not None and model.starting_weights.layout == "efficientnet_pytorch"


@pytest.mark.slow
def test_an_image_encoder_beside_a_text_encoder_is_found_and_the_rest_is_said(tmp_path: Path) -> None:
    """As Mammo-CLIP's files are."""
    state = state_of_package("image_encoder.")
    del state["image_encoder._fc.weight"], state["image_encoder._fc.bias"]
    text = {f"text_encoder.text_encoder.encoder.layer.{i}.output.dense.weight": torch.zeros(8, 8) for i in range(40)}
    large = {"text_encoder.embeddings.word_embeddings.weight": torch.zeros(30_000, 2000)}
    torch.save({"model": state | text | large | {"logit_scale": torch.zeros(())}, "epoch": 9}, tmp_path / "clip.tar")
    model = built(LITE, tmp_path / "clip.tar")
    packaged = build_model(ModelConfig(name=LITE)).eval()
    images = torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        assert torch.equal(model.forward_features(images), packaged.forward_features(images))
    record = model.starting_weights
    assert record is not None and (record.head, record.layout) == ("new", "efficientnet_pytorch")
    assert record.loaded == record.wanted and record.unused == 42 and record.unused_names[0].startswith("text_encoder.")


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["encoder.", "backbone.", "model.encoder.", "module.net.backbone.", "feature_extractor."])
@pytest.mark.parametrize("wrapper", ["state_dict", "model", "net", ""])
def test_wrappers_and_prefixes_of_trainers_come_off_foreign_names(tmp_path: Path, prefix: str, wrapper: str) -> None:
    state = lightning_like(prefix)
    torch.save({wrapper: state, "epoch": 3, "global_step": 70} if wrapper else state, tmp_path / "w.ckpt")
    record = built(TOY, tmp_path / "w.ckpt").starting_weights
    assert record is not None and record.loaded == record.wanted
    assert record.unused == 1 and record.unused_names == ("criterion.pos_weight",)


def lightning_like(prefix: str) -> dict[str, torch.Tensor]:
    state = timm.create_model(TOY, num_classes=2).state_dict()
    return {prefix + name: tensor for name, tensor in state.items()} | {"criterion.pos_weight": torch.ones(1)}


@pytest.mark.slow
def test_the_statement_says_what_was_and_was_not_loaded(tmp_path: Path) -> None:
    state = timm.create_model(TOY, num_classes=2).state_dict()
    del state["bn2.weight"], state["bn2.bias"]
    torch.save(state | {"blocks.9.0.extra": torch.ones(3)}, tmp_path / "w.pth")
    record = built(TOY, tmp_path / "w.pth").starting_weights
    assert record is not None and len(record.sha256) == 64
    wanted = record.wanted
    assert record.statement == (
        f"weights of the file w.pth: {wanted - 2} of {wanted} tensors of the backbone loaded; random: bn2.weight, bn2.bias; "
        "1 tensors of the file not used: blocks.9.0.extra; head: difference of two logits of the file, the second minus the "
        "first as malignant"
    )


@pytest.mark.slow
@pytest.mark.parametrize("place", ["classifier", "classifier.1", "classifier.3"])
@pytest.mark.parametrize("classes", [1, 2, 1000])
def test_a_head_is_kept_where_its_scores_can_be(tmp_path: Path, place: str, classes: int) -> None:
    state = timm.create_model(TOY, num_classes=classes).state_dict()
    weight, bias = state.pop("classifier.weight"), state.pop("classifier.bias")
    torch.save(state | {f"{place}.weight": weight, f"{place}.bias": bias}, tmp_path / "w.pth")
    model = built(TOY, tmp_path / "w.pth")
    record = model.starting_weights
    assert record is not None
    head = model.head.weight.detach()
    if classes == 1000:
        assert record.head == "new" and head.shape == (1, 1280)
    elif classes == 1:
        assert record.head == "loaded" and torch.equal(head, weight)
    else:
        assert record.head == "difference of two logits" and torch.equal(head, weight[1:] - weight[:1])
        assert torch.equal(model.head.bias.detach(), bias[1:] - bias[:1])


def _torchvision_resnet101(path: Path) -> None:
    models = pytest.importorskip("torchvision.models")
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in models.resnet101().state_dict().items()}
    torch.save({name: torch.zeros(shape, dtype=torch.int8) for name, shape in shapes.items()}, path)


def _efficientnet_pytorch_b0(path: Path) -> None:
    with torch.device("meta"):
        network = timm.create_model("tf_efficientnet_b0").state_dict()
    table = layouts.layouts(network.keys())["efficientnet_pytorch"]
    torch.save({theirs: torch.zeros(network[ours].shape, dtype=torch.int8) for theirs, ours in table.items()}, path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "name", "said"),
    [
        # Every tensor of resnet50 is in it, in shape too: a file is judged by what it has left as well.
        (_torchvision_resnet101, "resnet50", r"holds 520 tensors .* resnet50 has 26\d; .*It fits resnet101"),
        (_efficientnet_pytorch_b0, LITE, r"has no _blocks\.0\._se_reduce.*It fits tf_efficientnet_b0"),
        (_efficientnet_pytorch_b0, "efficientnet_b0", r"names of efficientnet_pytorch.*Set model\.name to tf_efficientnet_b0"),
        (_efficientnet_pytorch_b0, "resnet18", r"only 0 of 100 tensors fit resnet18.*It fits tf_efficientnet_b0"),
    ],
    ids=["more of another", "layers missing", "other padding", "nothing fits"],
)
def test_another_networks_file_is_refused_and_the_nearest_architecture_named(
    tmp_path: Path, make: Callable[[Path], Any], name: str, said: str
) -> None:
    make(tmp_path / "w.pth")
    with pytest.raises(MissingWeights, match=said):
        build_model(ModelConfig(name=name, weights=str(tmp_path / "w.pth")))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "name", "nearest"),
    [(_torchvision_resnet101, "resnet50", "resnet101"), (_efficientnet_pytorch_b0, "resnet18", "tf_efficientnet_b0")],
)
def test_among_all_architectures_known_here_the_nearest_is_named(
    tmp_path: Path, make: Callable[[Path], Any], name: str, nearest: str
) -> None:
    make(tmp_path / "w.pth")
    with pytest.raises(MissingWeights, match=f"It fits {nearest} "):
        build_model(ModelConfig(name=name, weights=str(tmp_path / "w.pth")))


def test_another_networks_file_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    save_file(timm.create_model(TOY).state_dict(), tmp_path / "w.safetensors")
    weights = str(tmp_path / "w.safetensors")
    assert check_model(ModelConfig(name=TOY, weights=weights)).kind == "file"
    with pytest.raises(MissingWeights, match=r"of 100 tensors fit resnet18"):
        check_model(ModelConfig(name="resnet18", weights=weights))
    assert check_model(ModelConfig(name="vit_tiny_patch16_224", weights=weights)).kind == "file"  # timm may convert it


@pytest.mark.slow
def test_torchvisions_names_are_refused_for_tensorflows_padding(tmp_path: Path) -> None:
    models = pytest.importorskip("torchvision.models")
    torch.save(models.efficientnet_b0().state_dict(), tmp_path / "w.pth")
    with pytest.raises(MissingWeights, match=r"pads and normalises differently.*Set model\.name to efficientnet_b0"):
        build_model(ModelConfig(name="tf_efficientnet_b0", weights=str(tmp_path / "w.pth")))


def test_a_file_of_nothing_known_gets_no_wrong_hint(tmp_path: Path) -> None:
    save_file({f"layer.{i}.weight": torch.zeros(3, 3) for i in range(30)}, tmp_path / "w.safetensors")
    with pytest.raises(MissingWeights, match=r"Set model\.name to its architecture, or model\.weights to a file of resnet18"):
        build_model(ModelConfig(name="resnet18", weights=str(tmp_path / "w.safetensors")))


@pytest.mark.slow_for("efficientnet_b5", "tf_efficientnetv2_s")
@pytest.mark.parametrize(
    "name", ["efficientnet_b5", "tf_efficientnet_b5", "resnet50", "vit_tiny_patch16_224", "tf_efficientnetv2_s"]
)
def test_tables_name_every_tensor_once_or_are_not_there(name: str) -> None:
    with torch.device("meta"):
        network = timm.create_model(name)
    for layout, table in layouts.layouts(network.state_dict().keys()).items():
        assert sorted(table.values()) == sorted(network.state_dict())
        assert layout == "timm" or "efficientnet_b5" in name
    assert layouts.other_function("timm", name, network) == ""
    if name == "efficientnet_b5":  # torchvision's has another epsilon than timm's
        assert layouts.other_function("torchvision", name, network) == (
            "Set model.name to efficientnet_b5, and model.options to {bn_eps: 0.001}"
        )
