"""Names that other libraries give the tensors of networks that timm has too.

A layout is a table, their name -> timm's, made for one network of timm. ResNets have the same names in torchvision and timm,
DenseNets all but for files of before 2017; EfficientNets have names of their own in torchvision and in efficientnet_pytorch,
from which Mammo-CLIP and the weights in packages (packages.py) come.

Equal tensors are not yet an equal function: TensorFlow, whose weights efficientnet_pytorch has, pads asymmetrically and adds
1e-3 to variances, torchvision pads symmetrically and adds 1e-5. timm has both: tf_efficientnet_* and efficientnet_*.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from torch import nn

Names = dict[str, str]

TIMM, TORCHVISION, EFFICIENTNET_PYTORCH = "timm", "torchvision", "efficientnet_pytorch"

_TENSORS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
_DEEP = 32  # blocks: torchvision's EfficientNets that have more (B5 to B7) add 1e-3 to variances, as TensorFlow does
# Parts of a block by timm's name, without and with an expansion (Sandler et al. 2018).
_SEPARABLE = ("conv_dw", "bn1", "se.conv_reduce", "se.conv_expand", "conv_pw", "bn2")
_INVERTED = ("conv_pw", "bn1", "conv_dw", "bn2", "se.conv_reduce", "se.conv_expand", "conv_pwl", "bn3")


def layouts(names: Collection[str]) -> dict[str, Names]:
    """The tables for a network of timm whose state dict has these names; timm's own, which changes nothing, is the first."""
    wanted = set(names)
    found = {TIMM: {name: name for name in wanted}}
    for title, parts in ((TORCHVISION, _torchvision), (EFFICIENTNET_PYTORCH, _efficientnet_pytorch)):
        pairs = parts(wanted)
        table = {f"{theirs}.{each}": f"{ours}.{each}" for ours, theirs in pairs for each in _TENSORS}
        table = {theirs: ours for theirs, ours in table.items() if ours in wanted}
        if len(table) == len(wanted):
            found[title] = table
    if any(".denselayer1.norm1." in name for name in wanted):
        # As in torchvision's own files: "denselayer1.norm.1.weight".
        found[TORCHVISION] = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", name): name for name in wanted}
    return found


def other_function(layout: str, name: str, backbone: nn.Module) -> str:
    """What to set so that the network computes what the layout's library does; "" where it does already."""
    stem, norm = getattr(backbone, "conv_stem", None), getattr(backbone, "bn1", None)
    if layout == TIMM or stem is None or norm is None:
        return ""
    same = type(stem).__name__ == "Conv2dSame"
    deep = len(_blocks(set(backbone.state_dict()))) > _DEEP
    epsilon = 1e-3 if layout == EFFICIENTNET_PYTORCH or deep else 1e-5
    if same == (layout == EFFICIENTNET_PYTORCH) and norm.eps == epsilon:
        return ""
    if layout == EFFICIENTNET_PYTORCH:
        return f"Set model.name to tf_{name.removeprefix('tf_').partition('.')[0]}"
    bare = name.removeprefix("tf_").partition(".")[0]
    return f"Set model.name to {bare}" + (f", and model.options to {{bn_eps: {epsilon}}}" if deep else "")


# ---------------------------------------------------------------------- EfficientNets


def _blocks(wanted: set[str]) -> dict[tuple[int, int], tuple[str, ...]]:
    """(stage, block) -> its parts in the order of the forward pass; {} for a network of other blocks than an EfficientNet's."""
    places = {
        (int(found[1]), int(found[2])) for name in wanted if (found := re.match(r"blocks\.(\d+)\.(\d+)\.conv_dw\.weight", name))
    }
    parts: dict[tuple[int, int], tuple[str, ...]] = {}
    for stage, block in sorted(places):
        start = f"blocks.{stage}.{block}."
        kind = _INVERTED if f"{start}conv_pwl.weight" in wanted else _SEPARABLE
        parts[stage, block] = tuple(part for part in kind if f"{start}{part}.weight" in wanted)
    return parts


def _efficientnet_pytorch(wanted: set[str]) -> Iterator[tuple[str, str]]:
    """(timm's name, theirs) of every part."""
    yield from (("conv_stem", "_conv_stem"), ("bn1", "_bn0"), ("conv_head", "_conv_head"), ("bn2", "_bn1"))
    yield "classifier", "_fc"
    squeeze = {"se.conv_reduce": "_se_reduce", "se.conv_expand": "_se_expand"}
    for number, ((stage, block), parts) in enumerate(_blocks(wanted).items()):
        expands = "conv_pwl" in parts
        theirs = {"conv_dw": "_depthwise_conv", "conv_pwl": "_project_conv", "bn3": "_bn2"} | squeeze
        theirs |= {"conv_pw": "_expand_conv", "bn1": "_bn0", "bn2": "_bn1"} if expands else {}
        theirs |= {} if expands else {"conv_pw": "_project_conv", "bn1": "_bn1", "bn2": "_bn2"}
        yield from ((f"blocks.{stage}.{block}.{part}", f"_blocks.{number}.{theirs[part]}") for part in parts)


def _torchvision(wanted: set[str]) -> Iterator[tuple[str, str]]:
    """(timm's name, theirs) of every part: `block` is a row of convolutions, each with its norm, and a squeeze."""
    blocks = _blocks(wanted)
    last = max((stage for stage, _ in blocks), default=0) + 2
    yield from (("conv_stem", "features.0.0"), ("bn1", "features.0.1"))
    yield from (("conv_head", f"features.{last}.0"), ("bn2", f"features.{last}.1"), ("classifier", "classifier.1"))
    for (stage, block), parts in blocks.items():
        number = -1
        for part in parts:
            number += part.startswith("conv") or part == "se.conv_reduce"
            inside = {"se.conv_reduce": "fc1", "se.conv_expand": "fc2"}.get(part, "0" if part.startswith("conv") else "1")
            yield f"blocks.{stage}.{block}.{part}", f"features.{stage + 1}.{block}.block.{number}.{inside}"
