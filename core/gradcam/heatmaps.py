"""Model + prepared image -> heatmap: the gradient methods by the grad-cam package, the others in `passes`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.errors import BadConfig
from core.gradcam.cam_layers import find_cam_layer, layer_choices, layer_name
from core.gradcam.feature_maps import as_feature_map
from core.gradcam.methods import AUTO, CLASSLESS, METHODS, TARGETS, auto_method
from core.gradcam.passes import Progress, eigen_cam, feature_map, one_tensor, score_cam, untouched
from core.model.classifier import Classifier, as_input, model_lock

if TYPE_CHECKING:
    from pytorch_grad_cam.base_cam import BaseCAM

SCORE_CHANNELS = 128  # feature maps that Score-CAM tries unless it is told otherwise

_CLASSES = {"gradcam": "GradCAM", "gradcam++": "GradCAMPlusPlus", "hirescam": "HiResCAM", "layercam": "LayerCAM"}
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
    then `reason` says why. `layer` is the dotted name of the layer it was read from, `cells` the (rows, columns) it has
    there. `peak` is what 1 stands for, in the method's own units: it compares two targets of one image, nothing else.
    """

    values: NDArray[np.float32]
    flat: bool
    method: str
    layer: str
    target: str = "malignant"
    reason: str = ""
    peak: float = 0.0
    cells: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Evidence:
    """What speaks for either class in one image, on one scale.

    `values` is float32 (H, W) in [-1, 1]: malignant above 0, benign below, in shares of the strongest evidence of
    either; where both maps have evidence, their difference. All zero when `flat`: neither map holds anything.
    """

    malignant: Heatmap
    benign: Heatmap
    values: NDArray[np.float32]

    target = "both"

    @property
    def method(self) -> str:
        """As of both maps."""
        return self.malignant.method

    @property
    def layer(self) -> str:
        """As of both maps."""
        return self.malignant.layer

    @property
    def cells(self) -> tuple[int, int]:
        """As of both maps."""
        return self.malignant.cells

    @property
    def flat(self) -> bool:
        """Whether there is nothing to show."""
        return self.malignant.flat and self.benign.flat

    @property
    def reason(self) -> str:
        """Why not, in words; also where one class only has nothing."""
        return "; ".join(dict.fromkeys(heat.reason for heat in (self.malignant, self.benign) if heat.reason))


def heatmap(
    model: Classifier,
    prepared: HasPixels | NDArray[np.uint8],
    *,
    method: str = AUTO,
    target: str = "malignant",
    layer: str | None = None,
    channels: int = SCORE_CHANNELS,
    progress: Progress | None = None,
) -> Heatmap:
    """The evidence for `target` in one prepared image, uint8 (H, W).

    `method` is one of METHODS, or "auto": Grad-CAM, or what the architecture says fits it better (small_cnn: HiResCAM).
    `layer` names another layer of the backbone than the architecture's usual one (`layers` lists them). Score-CAM tries
    the `channels` feature maps that vary most (0: all) and tells `progress(done, total)` of them; what that raises ends
    it. Safe to call from several threads, under no_grad, and between training steps: modes, requires_grad and gradients
    are as they were afterwards.

    Raises:
        BadConfig: unknown method, target or layer, or one that this architecture cannot give a map for.
    """
    method = auto_method(model) if method == AUTO else method
    if method not in METHODS:
        raise BadConfig(f"heatmap method: got {method!r}; allowed: {', '.join((AUTO, *METHODS))}")
    if target not in TARGETS:
        raise BadConfig(f"heatmap target: got {target!r}; allowed: {', '.join(TARGETS)}")
    if channels < 0:
        raise BadConfig(f"heatmap channels: got {channels}; expected how many feature maps Score-CAM tries, 0 for all")
    pixels = pixels_of(prepared)
    module = _find_layer(model, layer)
    with torch.inference_mode(False):
        # A tensor made under the caller's inference_mode cannot take part in autograd; its clone can.
        images = as_input(pixels, model.mean.device).clone()
        if method in _CLASSES:
            with model_lock(model), untouched(model), torch.enable_grad():
                try:
                    raw = _by_gradient(model, module, images, method, target)
                except RuntimeError as error:
                    if "memory" in str(error):  # no matter of the layer
                        raise
                    first = str(error).partition("\n")[0]
                    raise BadConfig(
                        f"heatmap: {method} gives no map for {model.name} at the chosen layer ({first}); choose another layer "
                        "or method, or images of the size that it was trained on"
                    ) from error
        else:
            features = feature_map(model, module, images)
            if method == "eigencam":
                raw = eigen_cam(features)
            else:
                raw = score_cam(model, images, features, target, channels, progress)
    return _heatmap(raw, pixels.shape, method, layer_name(model, module), target)


def evidence(
    model: Classifier,
    prepared: HasPixels | NDArray[np.uint8],
    *,
    method: str = AUTO,
    layer: str | None = None,
    channels: int = SCORE_CHANNELS,
    progress: Progress | None = None,
) -> Evidence:
    """Malignant and benign evidence of one prepared image on one scale; arguments and errors as for `heatmap`.

    Raises:
        BadConfig: also for EigenCAM, whose map is the same for either class.
    """
    method = auto_method(model) if method == AUTO else method
    if method in CLASSLESS:
        raise BadConfig(f"{method} gives one map whatever the class: there is no benign evidence to set against it")

    def half(start: int) -> Progress | None:
        return None if progress is None else lambda done, total: progress(start * total + done, 2 * total)

    both = [
        heatmap(model, prepared, method=method, target=target, layer=layer, channels=channels, progress=half(number))
        for number, target in enumerate(TARGETS)
    ]
    return combine(*both)


def combine(malignant: Heatmap, benign: Heatmap) -> Evidence:
    """Two maps of one image by one method at one layer as Evidence."""
    strongest = max(malignant.peak, benign.peak)
    if strongest <= 0.0:
        return Evidence(malignant, benign, np.zeros_like(malignant.values))
    values = malignant.values * (malignant.peak / strongest) - benign.values * (benign.peak / strongest)
    return Evidence(malignant, benign, values.astype(np.float32))


def pixels_of(image: HasPixels | NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The pixels, uint8 (H, W).

    Raises:
        BadConfig: it is something else.
    """
    pixels = image if isinstance(image, np.ndarray) else image.pixels
    if pixels.dtype != np.uint8 or pixels.ndim != 2:
        raise BadConfig(f"expected a prepared image, uint8 (H, W), got {pixels.dtype} {pixels.shape}")
    return pixels


def _heatmap(raw: NDArray[np.float32], shape: tuple[int, ...], method: str, layer: str, target: str) -> Heatmap:
    """A map as computed, (rows, columns) of its layer, over the image and from 0 to 1; flat with its reason where it is."""
    from pytorch_grad_cam.utils.image import scale_cam_image

    height, width = shape[0], shape[1]
    cells = (raw.shape[0], raw.shape[1])
    positive = np.maximum(raw, 0.0)
    reason = _why_flat(raw, positive, target)
    if reason:
        return Heatmap(np.zeros((height, width), np.float32), True, method, layer, target, reason, cells=cells)
    # Twice, as the package does: interpolation does not reach the peak, and scaling again lets it.
    values = scale_cam_image(scale_cam_image(positive[None], (width, height)))[0].astype(np.float32)
    peak = float(positive.max() - positive.min())
    return Heatmap(np.ascontiguousarray(np.clip(values, 0.0, 1.0)), False, method, layer, target, peak=peak, cells=cells)


def _why_flat(raw: NDArray[np.float32], positive: NDArray[np.float32], target: str) -> str:
    """Empty for a map that says something, else why it does not."""
    if not np.isfinite(raw).all():
        return "the map holds values that are no numbers"
    peak = float(positive.max())
    if peak <= _FLAT_PEAK:
        return f"nothing at this layer speaks for {target}"
    if peak - float(positive.min()) <= _FLAT_RANGE * peak:
        return "the map is the same everywhere"
    return ""


def _by_gradient(model: Classifier, module: nn.Module, images: Tensor, method: str, target: str) -> NDArray[np.float32]:
    """The map as the package computes it, at the layer's resolution and not yet scaled."""
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import BinaryClassifierOutputTarget

    size = (images.shape[-2], images.shape[-1])
    raw: list[NDArray[np.float32]] = []
    # Cutting the graph here means that nothing before the layer is differentiated, and no parameter gets a gradient.
    cut = module.register_forward_hook(_cut_graph)  # before the package's own hooks, so that they see its output
    try:
        with getattr(pytorch_grad_cam, _CLASSES[method])(
            model=model,
            target_layers=[module],
            reshape_transform=lambda output: as_feature_map(model, output, size),
        ) as cam:
            _keep_raw(cam, raw)
            cam(input_tensor=images, targets=[BinaryClassifierOutputTarget(1 if target == "malignant" else 0)])
    finally:
        cut.remove()
    if not raw:  # the package's __exit__ swallows an IndexError
        raise BadConfig(f"heatmap: {method} gives no map for {model.name} at the chosen layer; choose another layer or method")
    return raw[0]


def _cut_graph(module: nn.Module, inputs: Any, output: Any) -> Any:
    # The clone is no leaf: a later in-place ReLU may change it.
    return one_tensor(output).detach().requires_grad_(True).clone()


def _keep_raw(cam: BaseCAM, raw: list[NDArray[np.float32]]) -> None:
    """Have `cam` note each map before it stretches it."""
    compute = cast(Any, cam.get_cam_image)

    def noting(*args: Any, **kwargs: Any) -> NDArray[np.float32]:
        values = np.asarray(compute(*args, **kwargs), dtype=np.float32)
        raw.append(values[0])
        return values

    cast(Any, cam).get_cam_image = noting


def _find_layer(model: Classifier, name: str | None) -> nn.Module:
    if not name:
        return find_cam_layer(model)
    try:
        return model.backbone.get_submodule(name)
    except AttributeError as error:
        known = ", ".join(choice.name for choice in layer_choices(model))
        raise BadConfig(f"heatmap layer: {model.name} has no {name!r}; it has {known}") from error
