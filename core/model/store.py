"""A trained model on disk: `model.safetensors` (weights) and `model.json` (the card), always of one mind.

Two files cannot be renamed in one go, so the new card is written first, under another name, with the hash of the
weights it belongs to. Whenever a save is cut short, the weights on disk belong either to the old card or to that
waiting one, and `load_model` takes the right one.
"""

from __future__ import annotations

import io
import os
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from core.config import ModelConfig
from core.errors import BadRun, LabError
from core.files.atomic import replace, replacing, write_text
from core.files.safetensors_bytes import in_order
from core.files.untrusted import open_regular
from core.metrics.frozen import Frozen
from core.model.build import build_uninitialized, outline
from core.model.card import (
    CARD,
    FORMAT,
    WAITING_CARD,
    WEIGHTS,
    ModelCard,
    card_text,
    plain_fields,
    read_card_file,
    read_fields,
    without_nan,
)
from core.model.classifier import Classifier
from core.model.ensemble import Ensemble
from core.model.limits import BuildLimits
from core.model.safetensors_file import SafetensorsFile
from core.model.stored import DamagedFile, StoredTensor, require_memory

_PACKAGES = ("timm", "numpy", "opencv-python-headless", "pydicom")


def save_model(folder: Path, model: Classifier, card: ModelCard | Mapping[str, Any]) -> ModelCard:
    """Write weights and card into `folder`, replacing the last ones only once both are safely on disk.

    `card` holds at least "model" (the dump of a `ModelConfig`); created, normalisation, versions and the weights' hash are
    filled in. Returns the card as written.

    Raises:
        BadRun: the card lacks "model", or has a field that is not what it should be or no JSON.
        OSError: the disk is full or the folder cannot be written; what was there stays valid.
    """
    from safetensors.torch import save

    given = card.written() if isinstance(card, ModelCard) else card
    if "model" not in given:
        raise BadRun(f"{folder / CARD}: the card needs 'model', the ModelConfig that the weights belong to")
    state = {name: tensor.detach().to("cpu").contiguous() for name, tensor in model.state_dict().items()}
    header, tensors = in_order(save(state, metadata={"format": "pt", "mammolab": str(FORMAT), "architecture": model.name}))
    fields = without_nan(
        {
            "format": FORMAT,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "labels": ["benign", "malignant"],
            "versions": versions(),
            **given,
            "normalisation": model.normalisation,
            "weights_sha256": _digest_of(header, tensors),
        }
    )
    complete = ModelCard.of(fields, folder / CARD)
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / WEIGHTS, durable=True) as stream:
        stream.write(header)
        stream.write(tensors)
        stream.flush()  # a disk that has no room for the weights gets no card for them either
        write_text(folder / WAITING_CARD, card_text(fields))
    replace(folder / WAITING_CARD, folder / CARD)
    return complete


def update_card(folder: Path, changes: Frozen | Mapping[str, Any]) -> ModelCard:
    """Change fields of the card (threshold, calibration), atomically; the weights and other fields stay. Returns the new card.

    `changes` are the fields given to a `Frozen`, or fields as JSON has them.

    Raises:
        BadRun: there is no valid card, or a change is not what its field should be or would break the pair.
    """
    wanted = plain_fields(changes) if isinstance(changes, Frozen) else without_nan(changes)
    fixed = sorted({"format", "weights_sha256", "model", "normalisation"} & wanted.keys())
    if fixed:
        raise BadRun(f"{folder / CARD}: {', '.join(fixed)} belong to the weights and cannot be changed alone")
    with _opened_weights(folder) as weights:
        path, _ = _matching_card(folder, weights)
    fields = read_fields(path) | wanted  # of the file, not of the card: what this version does not know stays
    card = ModelCard.of(fields, folder / CARD)
    write_text(folder / CARD, card_text(fields))
    return card


def load_model(folder: Path) -> tuple[Classifier, ModelCard]:
    """The model in eval mode on the processor, and its card.

    The network that the card describes is outlined without memory and compared, tensor by tensor, with the file's header
    before it is built; the values are then read straight into it.

    Raises:
        BadRun: a file is missing or damaged, or the two do not belong together.
    """
    for attempt in range(3):
        with _opened_weights(folder) as weights:
            try:
                _, card = _matching_card(folder, weights)
            except BadRun:
                if attempt == 2:
                    raise
                time.sleep(0.05)  # a save may be between its two renames
                continue
            model = _built(folder, card, weights)
            break
    model.pretrained, model.starting_weights = card.pretrained, card.starting_weights
    return model.eval(), card


def _built(folder: Path, card: ModelCard, weights: SafetensorsFile) -> Classifier:
    """The card's network, or its networks, with the file's values."""
    stored = weights.tensors
    try:
        if card.members is None:
            return _network_of(card.model, stored, "", weights)
        prefixes = [f"members.{number}." for number in range(len(card.members))]
        parts: dict[str, dict[str, StoredTensor]] = {prefix: {} for prefix in prefixes}
        for name, tensor in stored.items():
            prefix = ".".join(name.split(".", 2)[:2]) + "."
            if prefix not in parts:
                raise DamagedFile(f"{name[:200]}: a tensor of none of its {len(prefixes)} models")
            parts[prefix][name.removeprefix(prefix)] = tensor
        return Ensemble(
            [
                _network_of(member.model, parts[prefix], prefix, weights)
                for member, prefix in zip(card.members, prefixes, strict=True)
            ]
        )
    except (ValidationError, LabError, RuntimeError, DamagedFile) as error:
        raise BadRun(
            f"{folder}: the weights do not fit the architecture that {CARD} describes: {error}. "
            "It may come from another version of MammoLab or timm; train again"
        ) from error


def _network_of(
    described: ModelConfig | dict[str, Any], stored: Mapping[str, StoredTensor], prefix: str, weights: SafetensorsFile
) -> Classifier:
    """A network with the values of its tensors, whose names in the file begin with `prefix`."""
    limits = BuildLimits.of_file(len(stored), sum(tensor.nbytes for tensor in stored.values()))
    # The weights are in hand: no need to find or check the ones that training started from.
    plain = described if isinstance(described, dict) else described.model_dump()
    config = ModelConfig.model_validate({**plain, "weights": "none", "gradient_checkpointing": False})
    outlined = outline(config, limits)
    _compare(outlined, stored)
    model = build_uninitialized(config, outlined)
    for name, target in model.state_dict().items():
        weights.read_into(prefix + name, target)
    return model


def _compare(outlined: Classifier, stored: Mapping[str, StoredTensor]) -> None:
    """Raises DamagedFile unless the file has the network's tensors, all of them and no other, in shape and type."""
    wanted = outlined.state_dict()
    missing, surplus = sorted(wanted.keys() - stored.keys()), sorted(stored.keys() - wanted.keys())
    if missing or surplus:
        both = (("missing", missing), ("not of it", surplus))
        words = [f"{len(names)} tensors are {what} ({', '.join(names[:3])[:200]})" for what, names in both if names]
        raise DamagedFile(f"{outlined.name}: {' and '.join(words)}")
    for name, tensor in wanted.items():
        found = stored[name]
        if (tuple(tensor.shape), tensor.dtype) != (found.shape, found.dtype):
            raise DamagedFile(
                f"{outlined.name}: {name}: expected {tensor.dtype} {list(tensor.shape)}, got {found.dtype} {list(found.shape)}"
            )


def versions() -> dict[str, str]:
    """Versions of what decides a score, by package."""
    # torch's own string, unlike the package's, names its build: "2.15.0+cu132".
    found = {"python": platform.python_version(), "torch": str(torch.__version__)}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = ""
    return found


def _digest_of(header: bytes, tensors: memoryview) -> str:
    """`SafetensorsFile.weights_digest` of a file before it is written."""
    stream = io.BytesIO(header)
    stream.seek(0, 2)
    stream.write(tensors)
    return SafetensorsFile(stream).weights_digest()


def what_is_hashed(folder: Path, digest: str) -> str:
    """What this `weights_sha256` of a card is a SHA-256 over: "over the tensors", "over the whole file" (an earlier version's),
    or "of no weights that are here" where model.safetensors is missing, damaged or another.
    """
    try:
        with _opened_weights(folder) as weights:
            for words, found in (("over the tensors", weights.weights_digest), ("over the whole file", weights.file_digest)):
                if found() == digest:
                    return words
    except BadRun:  # whoever loads the model says what is wrong
        return "of no weights that are here"
    return "of no weights that are here"


def _matching_card(folder: Path, weights: SafetensorsFile) -> tuple[Path, ModelCard]:
    """The card that names these weights, and its file: the current one, or one whose save was cut short after that of

    A card names the hash of the tensors; that of an earlier version the hash of the whole file.
    """
    waiting = folder / WAITING_CARD
    if not (folder / CARD).is_file() and not waiting.is_file():
        raise BadRun(f"{folder / CARD}: missing. A model is {WEIGHTS} and {CARD} together; train again, or restore the file")
    first_error: BadRun | None = None
    cards = []
    for path in (folder / CARD, waiting):
        if not path.is_file():
            continue
        try:
            cards.append((path, read_card_file(path)))
        except BadRun as error:
            first_error = first_error or error
    for digest in (weights.weights_digest, weights.file_digest):
        known = digest() if cards else ""
        for path, card in cards:
            if card.weights_sha256 == known:
                return path, card
    if first_error is not None:
        raise first_error
    raise BadRun(
        f"{folder}: {CARD} and {WEIGHTS} do not belong together (the card names other weights). One of them was copied or "
        "changed alone: restore both from the same run, or train again"
    )


@contextmanager
def _opened_weights(folder: Path) -> Iterator[SafetensorsFile]:
    """The weights file, its header checked. Only a regular file: a run may have come from anywhere."""
    path = folder / WEIGHTS
    try:
        with open_regular(path) as stream:
            require_memory(os.fstat(stream.fileno()).st_size, "the weights")
            yield SafetensorsFile(stream)
    except FileNotFoundError as error:
        raise BadRun(f"{path}: missing. The run has no saved model yet; train it first") from error
    except OSError as error:
        raise BadRun(f"{path}: cannot be read: {error.strerror or error}. Restore it, or train again") from error
    except MemoryError as error:
        raise BadRun(f"{path}: {error}. Close other programs, or use a machine with more memory") from error
    except DamagedFile as error:
        raise BadRun(f"{path}: damaged: {error}. Restore it, or train again") from error
