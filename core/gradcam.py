"""Where in an image a model's score comes from: class activation maps, by the grad-cam package.

    prepared pixels -> one forward, one short backward (from the logit to the chosen layer) -> map in [0, 1]

A map that holds nothing (NaN, all zero, the same everywhere) is flagged `flat` and stays zero: stretched to full
colour it would look like a finding.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.errors import BadConfig
from core.model.cam_layers import as_feature_map, layer_name
from core.model.classifier import Classifier, as_input, model_lock

if TYPE_CHECKING:
    from pytorch_grad_cam.base_cam import BaseCAM

Method = Literal["gradcam", "gradcam++", "hirescam", "layercam", "eigencam"]
Target = Literal["malignant", "benign"]

AUTO = "auto"  # the method that fits the architecture
METHODS: dict[str, str] = {
    "gradcam": "Grad-CAM: feature maps weighted by their mean gradient; the usual choice",
    "gradcam++": "Grad-CAM++: weights that favour several separate places",
    "hirescam": "HiResCAM: gradient times feature, place by place; shows only what the score used",
    "layercam": "LayerCAM: positive gradients only, place by place; finer",
    "eigencam": "EigenCAM: the strongest pattern in the features, whatever the class",
}
_CLASSES = {
    "gradcam": "GradCAM",
    "gradcam++": "GradCAMPlusPlus",
    "hirescam": "HiResCAM",
    "layercam": "LayerCAM",
    "eigencam": "EigenCAM",
}
COLORMAPS = ("inferno", "turbo", "magma", "viridis", "cividis", "jet")
# Below this share of its own peak a map's range is rounding, not structure.
_FLAT_RANGE = 1e-3
_FLAT_PEAK = 1e-12


class HasPixels(Protocol):
    """A `Prepared`, or anything with its pixels: uint8 (H, W)."""

    @property
    def pixels(self) -> NDArray[np.uint8]: ...


@dataclass(frozen=True)
class Heatmap:
    """A map over the prepared image.

    `values` is float32 (H, W) in [0, 1], 1 where the evidence for `target` is strongest; all zero when `flat`, and
    then `reason` says why. `layer` is the dotted name of the layer it was read from.
    """

    values: NDArray[np.float32]
    flat: bool
    method: str
    layer: str
    target: str = "malignant"
    reason: str = ""


def heatmap(
    model: Classifier,
    prepared: HasPixels | NDArray[np.uint8],
    *,
    method: str = AUTO,
    target: str = "malignant",
    layer: str | None = None,
) -> Heatmap:
    """The evidence for `target` in one prepared image, uint8 (H, W).

    `method` is one of METHODS, or "auto": Grad-CAM, or what the architecture says fits it better (small_cnn: HiResCAM).
    `layer` names another layer of the backbone than the architecture's usual one. Safe to call from several threads,
    under no_grad, and between training steps: modes, requires_grad and gradients are as they were afterwards.

    Raises:
        BadConfig: unknown method, target or layer, or one that this architecture cannot give a map for.
    """
    if method == AUTO:
        method = str(getattr(model.backbone, "cam_method", "gradcam"))
    if method not in METHODS:
        raise BadConfig(f"heatmap method: got {method!r}; allowed: {', '.join((AUTO, *METHODS))}")
    if target not in ("malignant", "benign"):
        raise BadConfig(f"heatmap target: got {target!r}; allowed: malignant, benign")
    images = as_input(_pixels(prepared), model.mean.device)
    with model_lock(model):
        module = _find_layer(model, layer)
        with _untouched(model), torch.inference_mode(False), torch.enable_grad():
            # A tensor made under the caller's inference_mode cannot take part in autograd; its clone can.
            raw, values = _run(model, module, images.clone(), method, target)
    reason = _why_flat(raw, values, target)
    return Heatmap(
        values=np.zeros_like(values) if reason else np.ascontiguousarray(np.clip(values, 0.0, 1.0)),
        flat=bool(reason),
        method=method,
        layer=layer_name(model, module),
        target=target,
        reason=reason,
    )


def overlay(
    image: HasPixels | NDArray[np.uint8],
    heat: Heatmap | NDArray[np.float32],
    opacity: float = 0.5,
    colormap: str = "inferno",
) -> NDArray[np.uint8]:
    """The image, uint8 (H, W), with the map over it -> RGB uint8 (H, W, 3).

    Each pixel is tinted in proportion to its heat, so cold regions stay the grey they were; a flat map tints nothing.

    Raises:
        BadConfig: opacity outside [0, 1], unknown colour map, or image and map of different shapes.
    """
    import cv2

    if not 0.0 <= opacity <= 1.0:
        raise BadConfig(f"overlay opacity: got {opacity}; allowed: 0 to 1")
    if colormap not in COLORMAPS:
        raise BadConfig(f"overlay colour map: got {colormap!r}; allowed: {', '.join(COLORMAPS)}")
    grey = _pixels(image)
    values = heat.values if isinstance(heat, Heatmap) else np.asarray(heat, dtype=np.float32)
    if values.shape != grey.shape:
        raise BadConfig(
            f"overlay: the map is {values.shape} and the image {grey.shape}; map it with original_from_prepared, "
            "or pass the prepared image it was made from"
        )
    values = np.clip(np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0), 0.0, 1.0)
    levels = np.floor(values * 255.0 + 0.5).astype(np.uint8)
    colours = cv2.cvtColor(cv2.applyColorMap(levels, getattr(cv2, f"COLORMAP_{colormap.upper()}")), cv2.COLOR_BGR2RGB)
    alpha = (opacity * values)[..., None].astype(np.float32)
    blended = grey[..., None].astype(np.float32) * (1.0 - alpha) + colours.astype(np.float32) * alpha
    return np.floor(blended + 0.5).astype(np.uint8)


def _run(
    model: Classifier, module: nn.Module, images: Tensor, method: str, target: str
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(the map as computed, at the layer's resolution; the package's map at the image's, in [0, 1])."""
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import BinaryClassifierOutputTarget

    height, width = images.shape[-2:]
    raw: list[NDArray[np.float32]] = []
    result: NDArray[np.float32] | None = None
    # Cutting the graph here means that nothing before the layer is differentiated, and no parameter gets a gradient.
    cut = module.register_forward_hook(_cut_graph)  # before the package's own hooks, so that they see its output
    try:
        with getattr(pytorch_grad_cam, _CLASSES[method])(
            model=model,
            target_layers=[module],
            reshape_transform=lambda output: as_feature_map(model, output, (height, width)),
        ) as cam:
            _keep_raw(cam, raw, signless=method == "eigencam")
            targets = [BinaryClassifierOutputTarget(1 if target == "malignant" else 0)]
            result = cam(input_tensor=images, targets=targets)[0]
    except np.linalg.LinAlgError:
        return np.full((1, 1), np.nan, np.float32), np.zeros((height, width), np.float32)
    finally:
        cut.remove()
    if result is None or not raw:  # the package's __exit__ swallows an IndexError
        raise BadConfig(f"heatmap: {method} gives no map for {model.name} at the chosen layer; choose another layer or method")
    return raw[0], result.astype(np.float32, copy=False)


def _cut_graph(module: nn.Module, inputs: Any, output: Any) -> Any:
    if not isinstance(output, Tensor):
        raise BadConfig("heatmap: the chosen layer does not give one tensor; choose another layer")
    # The clone is no leaf: a later in-place ReLU may change it.
    return output.detach().requires_grad_(True).clone()


def _keep_raw(cam: BaseCAM, raw: list[NDArray[np.float32]], *, signless: bool) -> None:
    """Have `cam` note each map before it stretches it; and turn one whose sign is a matter of chance (SVD) to its peak."""
    compute = cast(Any, cam.get_cam_image)

    def noting(*args: Any, **kwargs: Any) -> NDArray[np.float32]:
        values = np.asarray(compute(*args, **kwargs), dtype=np.float32)
        if signless and -values.min() > values.max():
            values = -values
        raw.append(values[0])
        return values

    cast(Any, cam).get_cam_image = noting


def _why_flat(raw: NDArray[np.float32], values: NDArray[np.float32], target: str) -> str:
    """Empty for a map that says something, else why it does not."""
    if not (np.isfinite(raw).all() and np.isfinite(values).all()):
        return "the map holds values that are no numbers"
    positive = np.maximum(raw, 0.0)
    peak = float(positive.max())
    if peak <= _FLAT_PEAK:
        return f"nothing at this layer speaks for {target}"
    if peak - float(positive.min()) <= _FLAT_RANGE * peak:
        return "the map is the same everywhere"
    return ""


def _find_layer(model: Classifier, name: str | None) -> nn.Module:
    if name is None:
        return model.cam_layer()
    try:
        return model.backbone.get_submodule(name)
    except AttributeError as error:
        known = [child for child, _ in model.backbone.named_children()]
        raise BadConfig(f"heatmap layer: {model.name} has no {name!r}; top-level layers: {', '.join(known)}") from error


@contextlib.contextmanager
def _untouched(model: Classifier) -> Iterator[None]:
    """Eval mode, nothing requiring a gradient, no checkpointing inside; everything as it was afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    parameters = [(parameter, parameter.requires_grad, parameter.grad) for parameter in model.parameters()]
    # Recomputation would run the hooks a second time.
    recomputing = [module for module, _ in modes if getattr(module, "grad_checkpointing", False)]
    try:
        model.eval()
        for parameter, _, _ in parameters:
            parameter.requires_grad_(False)
        for module in recomputing:
            cast(Any, module).grad_checkpointing = False
        yield
    finally:
        for parameter, required, gradient in parameters:
            parameter.requires_grad_(required)
            parameter.grad = gradient
        for module in recomputing:
            cast(Any, module).grad_checkpointing = True
        for module, training in modes:
            module.training = training


def _pixels(image: HasPixels | NDArray[np.uint8]) -> NDArray[np.uint8]:
    pixels = image if isinstance(image, np.ndarray) else image.pixels
    if pixels.dtype != np.uint8 or pixels.ndim != 2:
        raise BadConfig(f"expected a prepared image, uint8 (H, W), got {pixels.dtype} {pixels.shape}")
    return pixels
