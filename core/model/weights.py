"""Starting weights: from the Hugging Face hub, from a file, or none; and clear words when they cannot be had."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor, nn

from core.config import ModelConfig
from core.errors import MissingWeights
from core.model.classifier import Classifier
from core.model.stored import DamagedFile, StoredTensor
from core.model.weight_files import StateDict, Stored, prefixes, state_dicts, usual, without_prefix

_logger = logging.getLogger(__name__)

PROBE_SECONDS = 3.0  # how long an unreachable hub may keep a user waiting
REQUIRED_SHARE = 0.9  # of the backbone's tensors: fewer and it is another network's file
_MOST_BYTES = 4  # times the network's own, that a file of its weights may have
_REMEDY = (
    "What helps: run once with internet; or copy a Hugging Face cache that has them to {cache}; "
    "or set model.weights to a .safetensors or .pth file; or to none, to train from scratch"
)

State = dict[str, Tensor]


def check_weights(config: ModelConfig) -> None:
    """Raise before anything is built when the weights cannot be had here. Answers within seconds, offline too.

    Raises:
        MissingWeights: the file is missing or no weights file; or "hub" was asked for and the weights are neither
            in the local Hugging Face cache nor reachable.
    """
    if config.weights == "none":
        return
    if config.weights != "hub":
        with state_dicts(Path(config.weights)):
            return
    repository, filenames = _hub_address(config.name)
    if _cached(repository, filenames) is None:
        _probe(config.name, repository, filenames)


def load_weights(model: Classifier, config: ModelConfig) -> None:
    """Put the weights that `config` asks for into `model`, in place.

    A head of another size stays random; one of ours (one logit) is taken over, as are a saved run's mean and std.

    Raises:
        MissingWeights: they cannot be had or read, fit less than nine tenths of the backbone, are quantised (integers), or are
            those of several networks that fit equally well.
    """
    if config.weights == "none":
        return
    path = _download(config.name) if config.weights == "hub" else Path(config.weights)
    wanted = model.backbone.state_dict()
    with state_dicts(path) as found:
        likeliest = max(found, key=lambda each: len(wanted.keys() & without_prefix(each.tensors, wanted.keys()).keys()))
        _require_one(found, likeliest, wanted, path)
        state = _loaded(model, without_prefix(likeliest.tensors, wanted.keys()), path)
    for name in ("mean", "std"):  # a run of ours: "backbone.*", mean, std
        value = state.pop(name, None)
        if value is not None and value.numel() == 1 and torch.isfinite(value).all():
            getattr(model, name).fill_(value.item())
    state = _filtered(model.backbone, state)
    _adapt_first_convolution(model.backbone, state)
    _fill(model, state, path)


def _require_one(found: list[StateDict], likeliest: StateDict, wanted: State, path: Path) -> None:
    """Raises MissingWeights where several networks in the file fit equally well, and nothing tells which one is meant."""
    enough = REQUIRED_SHARE * len(wanted)
    rivals: dict[str, Stored] = {}
    for each in found:
        if each.rank != likeliest.rank:
            continue
        common = [prefix for prefix, count in prefixes(each.tensors, wanted.keys()).items() if count >= enough]
        named = [prefix for prefix in common if usual(prefix)]
        for prefix in named if len(named) == 1 else common:
            place = f"{each.name}.{prefix}".strip(".") if len(common) > 1 else each.name
            rivals[place] = {name: each.tensors[prefix + name] for name in wanted if prefix + name in each.tensors}
    rivals = {place: fitting for place, fitting in rivals.items() if len(fitting) >= enough}
    if len(rivals) < 2:
        return
    first, *others = rivals.values()
    if all(_same(first, other, wanted, path) for other in others):
        return
    raise MissingWeights(
        f"model.weights: {path}: expected one network, got {len(rivals)} that fit: {', '.join(map(repr, rivals))}. Choose one "
        "and save its state dict alone, with torch.save or as safetensors"
    )


def _same(first: Stored, second: Stored, wanted: State, path: Path) -> bool:
    """Whether all tensors that fit are equal; only those of the network's own shapes are loaded for it."""
    try:
        for name, tensor in wanted.items():
            one, two = first.get(name), second.get(name)
            if one is None or two is None or one.shape != two.shape or one.dtype != two.dtype:
                return False
            if one.shape == tensor.shape and not torch.equal(one.load(), two.load()):
                return False
    except (DamagedFile, OSError) as error:
        raise MissingWeights(f"model.weights: {path}: damaged: {error}. Fetch it again") from error
    return True


def _loaded(model: Classifier, stored: Mapping[str, StoredTensor], path: Path) -> State:
    """The tensors in memory, where they are not far too large for the network."""
    size = sum(tensor.nbytes for tensor in stored.values())
    own = sum(tensor.nbytes for tensor in model.backbone.state_dict().values())
    if size > _MOST_BYTES * own + (64 << 20):  # double precision, other heads, colour and tables are less
        raise MissingWeights(
            f"model.weights: {path}: holds {size / 2**20:,.0f} MiB of tensors, {model.name} has {own / 2**20:,.0f}. "
            f"Is it another architecture's file? Set model.name to that one, or model.weights to a file of {model.name}"
        )
    try:
        return {name: tensor.load() for name, tensor in stored.items()}
    except (DamagedFile, OSError) as error:
        raise MissingWeights(f"model.weights: {path}: damaged: {error}. Fetch it again") from error


# ---------------------------------------------------------------------- the hub


def _hub_address(name: str) -> tuple[str, tuple[str, ...]]:
    """(repository, file names to try in turn) of an architecture's default weights."""
    import timm

    config = None if name == "small_cnn" else timm.get_pretrained_cfg(name)
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


def _cached(repository: str, filenames: tuple[str, ...]) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    repository, _, revision = repository.partition("@")
    for filename in filenames:
        found = try_to_load_from_cache(repository, filename, revision=revision or None)
        if isinstance(found, str):
            return Path(found)
    return None


def _cache_folder() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def _offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE) or os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on")


def _probe(name: str, repository: str, filenames: tuple[str, ...]) -> None:
    """Ask the hub for the file's headers, in a thread: a name server that never answers has no timeout of its own."""
    if _offline():
        raise _unreachable(name, repository, "HF_HUB_OFFLINE is set")
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
        raise _unreachable(name, repository, f"no answer within {PROBE_SECONDS:.0f} seconds")
    if answer[0] is not None:
        raise _unreachable(name, repository, _first_line(answer[0])) from answer[0]


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


def _download(name: str) -> Path:
    """The weights file, from the cache when it is there (without asking the network), else fetched."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    repository, filenames = _hub_address(name)
    found = _cached(repository, filenames)
    if found is not None:
        return found
    plain, _, revision = repository.partition("@")
    for filename in filenames:
        try:
            _logger.info("fetching %s of %s from the Hugging Face hub", filename, plain)
            return Path(hf_hub_download(plain, filename, revision=revision or None))
        except EntryNotFoundError:
            continue
        except Exception as error:  # network, proxy, disk, rights: the remedy is the same
            raise _unreachable(name, repository, _first_line(error)) from error
    raise _unreachable(name, repository, f"it holds none of {', '.join(filenames)}")


def _unreachable(name: str, repository: str, reason: str) -> MissingWeights:
    return MissingWeights(
        f"model.weights: hub: the weights of {name} ({repository}) are not in this machine's cache and cannot be fetched: "
        f"{reason}. {_REMEDY.format(cache=_cache_folder())}"
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


# ---------------------------------------------------------------------- fitting


def _filtered(backbone: nn.Module, state: State) -> State:
    """Through timm's own converter for this family, where there is one (old names, position embeddings of another size)."""
    convert = getattr(sys.modules.get(type(backbone).__module__), "checkpoint_filter_fn", None)
    if convert is None:
        return state
    try:
        converted = convert(dict(state), backbone)
    except Exception as error:  # noqa: BLE001  a foreign layout: what fits by name is judged below
        _logger.info("timm's converter for %s does not take these weights: %s", type(backbone).__name__, error)
        return state
    return {name: tensor for name, tensor in converted.items() if isinstance(tensor, Tensor)}


def _adapt_first_convolution(backbone: nn.Module, state: State) -> None:
    """Colour weights -> grey ones. Summing over colours gives, for grey images, exactly what the colour network gives."""
    from timm.models import adapt_input_conv, get_model_traits

    first = get_model_traits(backbone).get("first_conv") or ()
    wanted = backbone.state_dict()
    for layer in (first,) if isinstance(first, str) else first:
        name = f"{layer}.weight"
        if name in state and name in wanted and state[name].ndim == 4 and state[name].shape != wanted[name].shape:
            # Of a number of channels that is none of colours, it stays as it is and counts as not fitting.
            with suppress(AssertionError, NotImplementedError, RuntimeError):
                state[name] = adapt_input_conv(1, state[name])


def _fill(model: Classifier, state: State, path: Path) -> None:
    wanted = model.backbone.state_dict()
    head_tensors = {id(parameter) for parameter in model.head.parameters()}
    head = {name for name, parameter in model.backbone.named_parameters() if id(parameter) in head_tensors}
    body = [name for name in wanted if name not in head and not name.endswith("num_batches_tracked")]
    fitting = {name: state[name] for name in wanted if name in state and state[name].shape == wanted[name].shape}
    matched = [name for name in body if name in fitting]
    if len(matched) < REQUIRED_SHARE * len(body):
        raise MissingWeights(_misfit(model.name, path, body, wanted, state, len(matched)))
    broken = next((name for name, t in fitting.items() if t.is_floating_point() and not torch.isfinite(t).all()), None)
    if broken is not None:
        raise MissingWeights(f"model.weights: {path}: {broken} has values that are no numbers (NaN, infinite). Fetch it again")
    quantised = next((n for n, t in fitting.items() if wanted[n].is_floating_point() and not t.is_floating_point()), None)
    if quantised is not None:
        kind = str(state[quantised].dtype).removeprefix("torch.")
        raise MissingWeights(
            f"model.weights: {path}: {quantised}: expected floating-point values, got {kind}: a quantised network, whose "
            "numbers mean nothing without their scales. Take the file from before quantisation"
        )
    missing = [name for name in body if name not in fitting]
    if missing:
        _logger.warning("%s: %d of %d tensors stay random: %s", path, len(missing), len(body), ", ".join(missing[:5]))
    model.backbone.load_state_dict(fitting, strict=False)
    head_state = "loaded" if head & fitting.keys() else "new"
    _logger.info("%s: %d of %d backbone tensors, head %s", path, len(matched), len(body), head_state)


def _misfit(name: str, path: Path, body: list[str], wanted: Mapping[str, Tensor], state: State, matched: int) -> str:
    lines = []
    for key in [key for key in body if key not in state or state[key].shape != wanted[key].shape][:3]:
        got = f"shape {list(state[key].shape)}" if key in state else "missing"
        lines.append(f"{key} (expected {list(wanted[key].shape)}, {got})")
    unknown = [key for key in state if key not in wanted][:3]
    surplus = f"; the file has instead {', '.join(unknown)}" if unknown else ""
    return (
        f"model.weights: {path}: only {matched} of {len(body)} tensors fit {name}, for example {'; '.join(lines)}{surplus}. "
        f"Is it another architecture's file? Set model.name to that one, or model.weights to a file of {name}"
    )
