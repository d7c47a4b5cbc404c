"""From `ModelConfig` to a `Classifier`."""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from core.config import ModelConfig
from core.errors import BadConfig
from core.model.classifier import Classifier
from core.model.fusion import make_fusion
from core.model.fusion_weights import load_fusion
from core.model.limits import BuildLimits, building_within, check_options
from core.model.skip_init import SkipInit
from core.model.small_cnn import SmallCnn
from core.model.stored import require_memory
from core.model.weights.loading import load_weights, require_fit
from core.model.weights.sources import Source, check_weights

_logger = logging.getLogger(__name__)

SUGGESTED = ("small_cnn", "tf_efficientnet_lite0", "efficientnet_b0", "efficientnet_b1", "resnet50", "densenet121")

# Ours to set: as options they would break the promise of one grey channel in and one logit out.
_RESERVED = frozenset(
    {"pretrained", "num_classes", "in_chans", "drop_rate", "checkpoint_path", "features_only", "pretrained_cfg"}
    | {"pretrained_cfg_overlay", "cache_dir", "scriptable", "exportable"}
)
# Breast tissue after windowing and CLAHE: the dark background is about half of the image.
_SMALL_CNN_NORMALISATION = (0.25, 0.25)


def known_models() -> list[str]:
    """Names that `model.name` accepts; ours first, then timm's in order."""
    import timm

    return ["small_cnn", *timm.list_models()]


def build_model(config: ModelConfig, *, limits: BuildLimits | None = None, copies: int = 1) -> Classifier:
    """The network that `config` describes, on the processor, in train mode, with its starting weights.

    Random parts (the head; everything where there are no weights to start from) come from torch's global generator. It is
    outlined first, without memory for its tensors: `limits` bound how large it may be, and `copies` of its weights have to
    fit into the memory that is free.

    Raises:
        BadConfig: unknown architecture, an option it refuses, one too large, or gradient checkpointing it does not support.
        MissingWeights: the weights cannot be had here, or are for another network.
    """
    check_name(config.name)
    source = check_weights(config)
    _require_memory_for(outline(config, limits), copies)
    model = _network(config)
    load_weights(model, config, source)
    load_fusion(model, config)
    for key, value in _normalisation(config).items():  # last: what the user says wins over what came with the weights
        getattr(model, key).fill_(value)
    if config.gradient_checkpointing:
        model.set_gradient_checkpointing(True)
    return model.train()


def build_uninitialized(config: ModelConfig, outlined: Classifier) -> Classifier:
    """The network that `config` describes and `outline` has outlined, in train mode. Its parameters have yet to be read from a
    file: drawing random ones first takes longer than reading does. torch's random state is left as it was.

    Raises:
        BadConfig: an option that it refuses, or more weights than the memory that is free.
    """
    _require_memory_for(outlined)
    with _random_numbers_untouched(), SkipInit():
        return _network(config).train()


def _require_memory_for(outlined: Classifier, copies: int = 1) -> None:
    size = sum(tensor.nbytes for tensor in (*outlined.parameters(), *outlined.buffers()))
    what = f"the weights of {outlined.name}" + (f" and {copies - 1} copies" if copies > 1 else "")
    try:
        require_memory(copies * size, what)
    except MemoryError as error:
        raise BadConfig(f"model.name: {error}. Choose a smaller architecture, or smaller model.options") from error


def check_model(config: ModelConfig) -> Source:
    """Where the network will start, once its name and weights are known to be all right. Nothing is built; takes seconds.

    Raises:
        BadConfig: unknown architecture.
        MissingWeights: as `check_weights`, or a file of another network's weights.
    """
    check_name(config.name)
    source = check_weights(config)
    if source.kind == "file":
        try:
            outlined = outline(config)
        except BadConfig:  # options that it refuses: building it says so
            return source
        require_fit(outlined, source)
    return source


def outline(config: ModelConfig, limits: BuildLimits | None = None) -> Classifier:
    """The network that `config` describes on torch's meta device: names, shapes and types of its tensors, no memory for them.

    Its starting weights are not looked at, and torch's random numbers go on as if it had not been made.

    Raises:
        BadConfig: unknown architecture, an option it refuses, or a network beyond `limits`.
    """
    check_name(config.name)
    check_options(config.options)
    try:
        with _random_numbers_untouched(), building_within(limits or BuildLimits()), torch.device("meta"), SkipInit():
            return _network(config)
    except MemoryError as error:  # tables that are made in any case
        raise BadConfig(f"model.options: {config.name} does not fit into the memory: choose smaller ones") from error


@contextmanager
def _random_numbers_untouched() -> Iterator[None]:
    state = torch.get_rng_state()
    try:
        yield
    finally:
        torch.set_rng_state(state)


def _network(config: ModelConfig) -> Classifier:
    """The network with random weights, a new head and the architecture's normalisation."""
    options = {key: value for key, value in config.options.items() if key not in _normalisation(config)}
    refused = sorted(_RESERVED & options.keys())
    if refused:
        raise BadConfig(f"model.options: {', '.join(refused)} cannot be set: MammoLab sets it itself")
    # Before a fusion, features stay whole: dropout comes once, after it.
    inside = config if config.views == 1 else config.model_copy(update={"dropout": 0.0})
    if config.name == "small_cnn":
        backbone: nn.Module = _small_cnn(inside, options)
        mean, std = _SMALL_CNN_NORMALISATION
    else:
        backbone = _timm(inside, options)
        mean, std = _grey_normalisation(getattr(backbone, "pretrained_cfg", {}))
    if not isinstance(getattr(backbone, "get_classifier", lambda: None)(), nn.Module):
        raise BadConfig(f"model.name: {config.name} has no single last layer (distilled models have two); choose another")
    model = Classifier(backbone, name=config.name, mean=mean, std=std, dropout=config.dropout)
    _start_head(model.head)
    if config.views == 2:
        model.fusion = make_fusion(config.fusion, _features_of(model))
    return model


def _features_of(model: Classifier) -> int:
    """How many features of an image the last layer takes."""
    layer = next((module for module in model.head.modules() if isinstance(module, nn.Linear)), None)
    if layer is None:
        raise BadConfig(
            f"model.views: {model.name} has no linear last layer for a fusion of views to stand before. Set model.views to 1, "
            "or choose another architecture"
        )
    return layer.in_features


def _normalisation(config: ModelConfig) -> dict[str, float]:
    """Mean and std, where they are among the options."""
    return {key: _fraction(key, config.options[key]) for key in ("mean", "std") if key in config.options}


def _start_head(head: nn.Module) -> None:
    """Small weights and no bias, so that every score starts near 0.5.

    timm's EfficientNets and MobileNets draw a last layer from ±1/sqrt(outputs): with one output that is ±1, and logits
    start near ±10, from where a frozen backbone's head does not come back in a few epochs.
    """
    for module in head.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.trunc_normal_(module.weight, std=0.01)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def check_name(name: str) -> None:
    """Raises BadConfig, with the closest names, when `name` is no architecture we can build."""
    import timm

    if name == "small_cnn":
        return
    architecture, _, tag = name.partition(".")
    if "/" not in name and ":" not in name and timm.is_model(architecture):
        tags = timm.list_pretrained(architecture + ".*") if tag else []
        if not tag or name in tags:
            return
        raise BadConfig(f"model.name: {architecture} has no weights {tag!r}; allowed: {', '.join([architecture, *tags])}")
    close = difflib.get_close_matches(name.lower(), known_models(), n=5, cutoff=0.5)
    hint = f"did you mean {', '.join(close)}?" if close else f"for example {', '.join(SUGGESTED)}"
    raise BadConfig(f"model.name: got {name!r}, expected small_cnn or the name of a timm architecture; {hint}")


def _small_cnn(config: ModelConfig, options: dict[str, Any]) -> SmallCnn:
    width = options.pop("width", 48)
    if options:
        raise BadConfig(f"model.options: small_cnn does not take {', '.join(sorted(options))}; allowed: width, mean, std")
    if not isinstance(width, int) or isinstance(width, bool) or width % 8 or not 8 <= width <= 256:
        raise BadConfig(f"model.options.width: got {width!r}; allowed: a multiple of 8 from 8 to 256")
    return SmallCnn(width, config.dropout)


def _timm(config: ModelConfig, options: dict[str, Any]) -> nn.Module:
    """timm's network, without weights, asked to accept any image size where it can."""
    import timm

    wished: dict[str, Any] = {"drop_rate": config.dropout}
    pretrained = timm.get_pretrained_cfg(config.name)
    if pretrained is not None and pretrained.fixed_input_size and "img_size" not in options:
        wished |= {"dynamic_img_size": True, "dynamic_img_pad": True, "strict_img_size": False}
    while True:
        try:
            return timm.create_model(config.name, pretrained=False, num_classes=1, in_chans=1, **{**wished, **options})
        except TypeError as error:
            found = re.search(r"unexpected keyword argument '(\w+)'", str(error))
            argument = found.group(1) if found else ""
            if argument in wished and argument not in options:
                del wished[argument]  # our wish, not the user's: the architecture does without
                if argument == "drop_rate" and config.dropout and torch.get_default_device().type != "meta":  # said once
                    _logger.warning("%s has no dropout before its head: model.dropout is not used", config.name)
                continue
            raise _refused(config, options, error) from error
        except MemoryError:
            raise
        except Exception as error:
            # timm hands options to hundreds of constructors, which refuse in as many ways.
            raise _refused(config, options, error) from error


def _refused(config: ModelConfig, options: dict[str, Any], error: Exception) -> BadConfig:
    if not options:
        return BadConfig(f"model.name: {config.name} cannot be built for one grey channel and one output: {error}")
    given = ", ".join(f"{key}: {value!r}" for key, value in options.items())
    return BadConfig(f"model.options: {config.name} refuses {{{given}}}: {error}. Leave out what it does not know")


def _grey_normalisation(config: dict[str, Any]) -> tuple[float, float]:
    """Mean and std of the weights' own training, averaged over colour channels."""
    mean, std = config.get("mean", (0.5,)), config.get("std", (0.5,))
    return sum(mean) / len(mean), sum(std) / len(std)


def _fraction(key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1 or (key == "std" and value == 0):
        raise BadConfig(f"model.options.{key}: got {value!r}; allowed: a number from 0 to 1, for images in [0, 1]")
    return float(value)
