"""Weights on the Hugging Face hub, and in this machine's cache of it."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path

from core.errors import MissingWeights

_logger = logging.getLogger(__name__)

PROBE_SECONDS = 3.0  # how long an unreachable hub may keep a user waiting


class Unreachable(Exception):
    """The hub does not answer, or does not give the file; the message says why."""


def address(name: str) -> tuple[str, tuple[str, ...]]:
    """(repository, file names to try in turn) of a timm architecture's default weights.

    Raises:
        MissingWeights: there are none, or they are not on the hub.
    """
    import timm

    config = timm.get_pretrained_cfg(name)
    if config is None or not config.has_weights:
        raise MissingWeights(
            f"model.weights: hub: there are no pretrained weights of {name}. Set model.weights to none, or to the file of a run"
        )
    if not config.hf_hub_id:
        raise MissingWeights(
            f"model.weights: hub: the weights of {name} are not on the Hugging Face hub but at {config.url}. "
            "Download that file and set model.weights to its path"
        )
    named = (config.hf_hub_filename,) if config.hf_hub_filename else ()
    return config.hf_hub_id, (*named, "model.safetensors", "pytorch_model.bin")


def published(name: str) -> bool:
    """Whether timm knows pretrained weights of this architecture, wherever they are."""
    import timm

    config = timm.get_pretrained_cfg(name)
    return config is not None and config.has_weights


def licence(name: str) -> str:
    """The licence of a timm architecture's default weights as timm states it ("apache-2.0"); "" where it states none."""
    import timm

    config = timm.get_pretrained_cfg(name)
    return "" if config is None else str(config.license or "")


def cached(repository: str, filenames: tuple[str, ...]) -> Path | None:
    """The file in this machine's cache; asks no network."""
    from huggingface_hub import try_to_load_from_cache

    repository, _, revision = repository.partition("@")
    for filename in filenames:
        found = try_to_load_from_cache(repository, filename, revision=revision or None)
        if isinstance(found, str):
            return Path(found)
    return None


def cache_folder() -> Path:
    """Where the cache is on this machine."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def probe(repository: str, filenames: tuple[str, ...]) -> None:
    """Ask the hub for the file's headers, in a thread: a name server that never answers has no timeout of its own.

    Raises:
        Unreachable: within seconds, when it cannot be had from here.
    """
    if _offline():
        raise Unreachable("HF_HUB_OFFLINE is set")
    answer: list[Exception | None] = []

    def ask() -> None:
        try:
            _head(repository, filenames)
            answer.append(None)
        except Exception as error:  # noqa: BLE001  handed to the asking thread, which reports it
            answer.append(error)

    thread = threading.Thread(target=ask, name="weights-probe", daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS + 0.5)
    if not answer:
        raise Unreachable(f"no answer within {PROBE_SECONDS:.0f} seconds")
    if answer[0] is not None:
        raise Unreachable(_first_line(answer[0])) from answer[0]


def download(repository: str, filenames: tuple[str, ...]) -> Path:
    """Fetch the file into the cache. Raises Unreachable: network, proxy, disk or rights."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    plain, _, revision = repository.partition("@")
    for filename in filenames:
        try:
            _logger.info("fetching %s of %s from the Hugging Face hub", filename, plain)
            return Path(hf_hub_download(plain, filename, revision=revision or None))
        except EntryNotFoundError:
            continue
        except Exception as error:  # network, proxy, disk, rights: the remedy is the same
            raise Unreachable(_first_line(error)) from error
    raise Unreachable(f"it holds none of {', '.join(filenames)}")


def _offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE) or os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on")


def _head(repository: str, filenames: tuple[str, ...]) -> None:
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError

    repository, _, revision = repository.partition("@")
    for filename in filenames:
        try:
            get_hf_file_metadata(hf_hub_url(repository, filename, revision=revision or None), timeout=PROBE_SECONDS)
            return
        except EntryNotFoundError:
            continue
    raise FileNotFoundError(f"{repository} holds none of {', '.join(filenames)}")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
