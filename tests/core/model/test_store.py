from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file as safetensors_load
from safetensors.torch import save as safetensors_save

from core.config import ModelConfig
from core.errors import BadRun
from core.files import atomic
from core.model import Classifier, build_model, has_model, load_model, read_card, save_model, update_card
from core.model.safetensors_file import SafetensorsFile
from core.model.store import what_is_hashed

CONFIG = ModelConfig(options={"width": 8})


def _model(seed: int) -> Classifier:
    torch.manual_seed(seed)
    return build_model(CONFIG)


def _card(**extra: Any) -> dict[str, Any]:
    return {"model": CONFIG.model_dump(mode="json"), "threshold": 0.4, **extra}


@pytest.mark.slow_but("small_cnn", "mobilenetv2_035")
@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        ModelConfig(weights="none", name="mobilenetv2_035", options={"pad_type": "same", "mean": 0.3}),
        ModelConfig(weights="none", name="densenet121", gradient_checkpointing=True),
        ModelConfig(weights="none", name="vit_tiny_patch16_224"),
    ],
    ids=lambda config: config.name,
)
def test_a_saved_model_comes_back_with_the_same_scores(config: ModelConfig, tmp_path: Path) -> None:
    model = build_model(config).eval()
    written = save_model(tmp_path, model, {"model": config.model_dump(mode="json"), "threshold": 0.25})
    loaded, card = load_model(tmp_path)
    images = torch.rand(2, 1, 64, 64)
    assert torch.equal(model(images), loaded(images))
    assert not loaded.training and not loaded.gradient_checkpointing
    assert card == written == read_card(tmp_path)
    assert card.format == 1 and card.labels == ("benign", "malignant") and card.threshold == 0.25
    assert card.normalisation == model.normalisation and card.versions["torch"] == torch.__version__
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.safetensors"]


@pytest.mark.slow
def test_loading_needs_neither_the_hub_nor_the_first_weights_file(tmp_path: Path) -> None:
    config = ModelConfig(weights="none", name="mobilenetv2_035")
    for weights in ("hub", "gone.safetensors"):
        save_model(tmp_path, build_model(config), {"model": {**config.model_dump(mode="json"), "weights": weights}})
        assert load_model(tmp_path)[0].pretrained


def test_a_channels_last_model_is_saved_as_any_other(tmp_path: Path) -> None:
    model = _model(0).to(memory_format=torch.channels_last)
    save_model(tmp_path, model, _card())
    assert torch.equal(load_model(tmp_path)[0].backbone.stages[0].conv1.weight, model.backbone.stages[0].conv1.weight)


def test_the_callers_card_is_not_changed_and_figures_without_value_become_null(tmp_path: Path) -> None:
    card = _card(validation={"auc": float("nan"), "loss": 0.5, "list": [float("inf")]})
    save_model(tmp_path, _model(0), card)
    assert "weights_sha256" not in card
    assert read_card(tmp_path).written()["validation"] == {"auc": None, "loss": 0.5, "list": [None]}


def test_bit_equal_weights_have_equal_hashes_and_equal_files(tmp_path: Path) -> None:
    """safetensors writes the notes of a header in random order: eight files would hardly ever come out the same."""
    model = _model(0)
    hashes = {save_model(tmp_path / str(number), model, _card()).weights_sha256 for number in range(8)}
    assert len(hashes) == 1 and len({(tmp_path / str(number) / "model.safetensors").read_bytes() for number in range(8)}) == 1
    with torch.no_grad():
        model.backbone.stages[0].conv1.weight[0, 0, 0, 0] += 1e-6
    assert save_model(tmp_path / "other", model, _card()).weights_sha256 not in hashes
    assert safetensors_load(tmp_path / "0" / "model.safetensors").keys() == model.state_dict().keys()


def test_the_hash_is_of_names_types_shapes_and_values_and_of_nothing_else(tmp_path: Path) -> None:
    def digest(tensors: dict[str, torch.Tensor], notes: dict[str, str] | None = None) -> str:
        with io.BytesIO(safetensors_save(tensors, metadata=notes)) as stream:
            return SafetensorsFile(stream).weights_digest()

    plain = {"b": torch.arange(6, dtype=torch.float32), "a": torch.zeros(2, dtype=torch.int64)}
    assert digest(plain) == digest(dict(reversed(plain.items())), {"made by": "somebody", "when": "today"})
    others = [
        plain | {"b": plain["b"].reshape(2, 3)},
        plain | {"b": plain["b"].view(torch.int32)},
        {"c" if name == "b" else name: tensor for name, tensor in plain.items()},
        plain | {"a": torch.tensor([0, 1])},
    ]
    assert len({digest(tensors) for tensors in (plain, *others)}) == 5


def test_what_a_hash_is_over_is_found_out_from_the_weights(tmp_path: Path) -> None:
    digest = save_model(tmp_path, _model(0), _card()).weights_sha256
    assert what_is_hashed(tmp_path, digest) == "over the tensors"
    whole = hashlib.sha256((tmp_path / "model.safetensors").read_bytes()).hexdigest()
    assert what_is_hashed(tmp_path, whole) == "over the whole file"
    assert what_is_hashed(tmp_path, "0" * 64) == what_is_hashed(tmp_path / "none", digest) == "of no weights that are here"


def test_a_model_of_an_earlier_version_keeps_the_hash_of_its_file(tmp_path: Path) -> None:
    save_model(tmp_path, _model(0), _card())
    earlier = hashlib.sha256((tmp_path / "model.safetensors").read_bytes()).hexdigest()
    card = json.loads((tmp_path / "model.json").read_text(encoding="utf-8")) | {"weights_sha256": earlier}
    (tmp_path / "model.json").write_text(json.dumps(card), encoding="utf-8")
    assert load_model(tmp_path)[1].weights_sha256 == earlier
    assert update_card(tmp_path, {"threshold": 0.3}).weights_sha256 == earlier


def test_a_mismatched_pair_is_refused(tmp_path: Path) -> None:
    save_model(tmp_path / "a", _model(0), _card())
    save_model(tmp_path / "b", _model(1), _card())
    shutil.copy(tmp_path / "a" / "model.safetensors", tmp_path / "b" / "model.safetensors")
    with pytest.raises(BadRun, match="do not belong together"):
        load_model(tmp_path / "b")


@pytest.mark.parametrize("killed", [False, True], ids=["interrupted", "killed"])
@pytest.mark.parametrize("stop_at", range(8))
def test_a_save_cut_short_anywhere_leaves_one_complete_model(
    stop_at: int, killed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = _model(0).eval(), _model(1).eval()
    save_model(tmp_path, old, _card(best_epoch=1))
    calls = iter(range(100))

    def counted(function: Any) -> Any:
        def call(*args: Any) -> Any:
            if next(calls) == stop_at:
                raise KeyboardInterrupt
            return function(*args)

        return call

    def gone(*_: object, **__: object) -> None:
        raise OSError("a killed process cleans nothing up")

    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, "fsync", counted(os.fsync))
        patch.setattr(Path, "replace", counted(Path.replace))
        if killed:
            patch.setattr(Path, "unlink", gone)
        try:
            save_model(tmp_path, new, _card(best_epoch=2))
            finished = True
        except KeyboardInterrupt:
            finished = False
    assert killed or not list(tmp_path.glob("*.tmp"))
    loaded, card = load_model(tmp_path)
    expected = {1: old, 2: new}[card.best_epoch]
    assert torch.equal(loaded.head.weight, expected.head.weight)
    assert card.best_epoch == 2 or not finished
    save_model(tmp_path, new, _card(best_epoch=3))  # what was left lying about does no harm
    assert load_model(tmp_path)[1].best_epoch == 3


def test_a_first_save_cut_between_its_renames_has_its_card_already(tmp_path: Path) -> None:
    save_model(tmp_path, _model(0), _card(best_epoch=1))
    (tmp_path / "model.json").rename(tmp_path / "model.json.new")
    assert has_model(tmp_path)
    assert read_card(tmp_path) == load_model(tmp_path)[1]
    assert read_card(tmp_path).best_epoch == 1


def test_a_card_that_waits_without_weights_is_no_model(tmp_path: Path) -> None:
    save_model(tmp_path, _model(0), _card())
    (tmp_path / "model.json").rename(tmp_path / "model.json.new")
    (tmp_path / "model.safetensors").unlink()
    assert not has_model(tmp_path)
    with pytest.raises(BadRun, match=r"model\.json: missing"):
        read_card(tmp_path)


@pytest.mark.parametrize("call", [1, 2], ids=["the card", "the weights"])
@pytest.mark.parametrize("first", [True, False], ids=["first save", "a later one"])
def test_a_full_disk_leaves_the_last_model_and_nothing_that_holds_its_last_bytes(
    first: bool, call: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not first:
        save_model(tmp_path, _model(0), _card(best_epoch=1))
    before = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    full_at = {1: ".json.", 2: ".safetensors."}[call]
    real = Path.open

    class Full:
        """A file on a disk that takes a hundred bytes."""

        def __init__(self, stream: Any) -> None:
            self.stream = stream

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            self.stream.close()

        def write(self, content: bytes) -> None:
            self.stream.write(content[:100])
            raise OSError(28, "No space left on device")

    def opened(self: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        stream = real(self, mode, *args, **kwargs)
        return Full(stream) if "w" in mode and full_at in self.name else stream

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", opened)
        with pytest.raises(OSError, match="No space left"):
            save_model(tmp_path, _model(1), _card(best_epoch=2))
    assert {path.name: path.stat().st_size for path in tmp_path.iterdir()} == before
    assert has_model(tmp_path) is not first
    if not first:
        assert load_model(tmp_path)[1].best_epoch == 1


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "model.json").unlink(), r"model\.json: missing"),
        (lambda folder: (folder / "model.safetensors").unlink(), r"model\.safetensors: missing"),
        (lambda folder: (folder / "model.json").write_text('{"format": 1', encoding="utf-8"), "damaged"),
        (lambda folder: (folder / "model.json").write_text("[]", encoding="utf-8"), "expected a model card of format 1"),
        (lambda folder: (folder / "model.json").write_text('{"format": 9}', encoding="utf-8"), "got 9"),
        (lambda folder: (folder / "model.json").write_text('{"format": 1}', encoding="utf-8"), "lacks model"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"torn"), "damaged: its header says"),
    ],
    ids=["no card", "no weights", "torn card", "a list", "format 9", "empty card", "torn weights"],
)
def test_a_damaged_folder_is_refused_in_words(damage: Any, said: str, tmp_path: Path) -> None:
    save_model(tmp_path, _model(0), _card())
    damage(tmp_path)
    with pytest.raises(BadRun, match=said):
        load_model(tmp_path)


def test_a_card_that_describes_another_network_is_refused(tmp_path: Path) -> None:
    save_model(tmp_path, _model(0), _card())
    card = read_card(tmp_path).written()
    card["model"]["options"] = {"width": 16}
    (tmp_path / "model.json").write_text(json.dumps(card), encoding="utf-8")
    with pytest.raises(BadRun, match="do not fit the architecture"):
        load_model(tmp_path)


@pytest.mark.parametrize("card", [{}, {"model": {}, "recipe": object()}])
def test_a_card_that_cannot_be_written_changes_nothing(card: dict[str, Any], tmp_path: Path) -> None:
    save_model(tmp_path, _model(0), _card(best_epoch=1))
    with pytest.raises(BadRun):
        save_model(tmp_path, _model(1), card)
    assert load_model(tmp_path)[1].best_epoch == 1


def test_the_threshold_can_be_changed_without_the_weights(tmp_path: Path) -> None:
    save_model(tmp_path, _model(0), _card())
    update_card(tmp_path, {"threshold": 0.7})
    assert load_model(tmp_path)[1].threshold == 0.7


@pytest.mark.parametrize("field", ["weights_sha256", "model", "normalisation", "format"])
def test_what_belongs_to_the_weights_cannot_be_changed_alone(field: str, tmp_path: Path) -> None:
    save_model(tmp_path, _model(0), _card())
    with pytest.raises(BadRun, match=f"{field} belong"):
        update_card(tmp_path, {field: "x"})


def test_an_empty_folder_has_no_model(tmp_path: Path) -> None:
    assert not has_model(tmp_path)
    for call in (load_model, read_card, lambda folder: update_card(folder, {})):
        with pytest.raises(BadRun, match="missing"):
            call(tmp_path)
