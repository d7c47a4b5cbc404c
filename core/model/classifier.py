"""The one shape every network takes here: grey images in [0, 1] in, one logit an image out."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from core.errors import BadConfig

_LOCKS: weakref.WeakKeyDictionary[nn.Module, threading.RLock] = weakref.WeakKeyDictionary()
_LOCKS_GUARD = threading.Lock()


def model_lock(model: nn.Module) -> threading.RLock:
    """The lock to hold while one thread runs `model`: heatmap hooks see every forward pass of every thread.

    Kept beside the model, not on it, so that a model can still be copied (EMA) and pickled.
    """
    with _LOCKS_GUARD:
        return _LOCKS.setdefault(model, threading.RLock())


class Classifier(nn.Module):
    """A backbone with a one-logit head; sigmoid(logit) is P(malignant) before calibration.

    Normalises inside, with `mean` and `std` (buffers, so they are saved with the weights): whoever calls it only
    has to know that black is 0 and white is 1.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, backbone: nn.Module, *, name: str, mean: float, std: float, dropout: float = 0.0, pretrained: bool = False
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.name = name
        self.pretrained = pretrained
        self.dropout = dropout
        self.frozen = False
        self.register_buffer("mean", torch.tensor(float(mean)))
        self.register_buffer("std", torch.tensor(float(std)))

    # ------------------------------------------------------------------ forward

    def forward(self, images: Tensor) -> Tensor:
        """Images float (N, 1, H, W) in [0, 1] -> logits (N,), positive for malignant.

        Raises:
            BadConfig: the architecture does not take images of this size.
        """
        normalised = self._normalise(images)
        try:
            logits = self.backbone(normalised)
        except AssertionError as error:  # how timm's fixed-size architectures refuse
            raise self._wrong_size(images, error) from error
        return cast(Tensor, logits).flatten()

    def embed(self, images: Tensor) -> Tensor:
        """Images as for `forward` -> what the head sees, (N, features); in eval mode `classify` of it is `forward`."""
        normalised = self._normalise(images)
        backbone = cast(Any, self.backbone)
        try:
            return cast(Tensor, backbone.forward_head(backbone.forward_features(normalised), pre_logits=True))
        except AssertionError as error:
            raise self._wrong_size(images, error) from error

    def classify(self, features: Tensor) -> Tensor:
        """Features (N, features) from `embed` in eval mode -> logits (N,); drops out in training mode."""
        dropped = functional.dropout(features, self.dropout, training=self.training)
        return cast(Tensor, self.head(dropped)).flatten()

    def _normalise(self, images: Tensor) -> Tensor:
        if images.ndim != 4 or images.shape[1] != 1 or not images.is_floating_point():
            raise ValueError(
                f"expected float images (N, 1, H, W) in [0, 1], got {images.dtype} {tuple(images.shape)}; "
                "core.model.as_input makes them from prepared pixels"
            )
        return (images - self.mean) / self.std

    def check_input(self, height: int, width: int) -> None:
        """Try one black image of this size, so that a training does not find out in its first step.

        Raises:
            BadConfig: the architecture does not take images of this size.
        """
        modes = [(module, module.training) for module in self.modules()]
        images = torch.zeros(1, 1, height, width, device=self.mean.device)
        try:
            self.eval()
            with torch.no_grad():
                self(images)
        except RuntimeError as error:  # a kernel larger than its map, tokens that do not divide
            raise self._wrong_size(images, error) from error
        finally:
            for module, training in modes:
                module.training = training

    def _wrong_size(self, images: Tensor, error: Exception) -> BadConfig:
        height, width = images.shape[-2:]
        return BadConfig(
            f"{self.name} does not take images of {height} x {width} pixels: {error}. Set preprocessing.size to what it "
            f"takes, or model.options.img_size to {height}, or choose a convolutional architecture"
        )

    # ------------------------------------------------------------------ parts

    @property
    def head(self) -> nn.Module:
        """The last layer, features -> logit."""
        return cast(nn.Module, cast(Any, self.backbone).get_classifier())

    @property
    def parameter_count(self) -> int:
        """Number of weights, trainable or not."""
        return sum(parameter.numel() for parameter in self.parameters())

    @property
    def normalisation(self) -> dict[str, float]:
        """{"mean", "std"} that images in [0, 1] are normalised with."""
        return {"mean": round(float(self.mean), 6), "std": round(float(self.std), 6)}

    def head_parameters(self) -> list[nn.Parameter]:
        """Parameters of the last layer."""
        return list(self.head.parameters())

    def backbone_parameters(self) -> list[nn.Parameter]:
        """All parameters but the head's."""
        head = {id(parameter) for parameter in self.head.parameters()}
        return [parameter for parameter in self.backbone.parameters() if id(parameter) not in head]

    def freeze_backbone(self) -> None:
        """Train the head alone; the backbone's BatchNorm keeps its statistics, in train mode too."""
        self._set_frozen(True)

    def unfreeze_backbone(self) -> None:
        """Train everything."""
        self._set_frozen(False)

    def _set_frozen(self, frozen: bool) -> None:
        self.frozen = frozen
        for parameter in self.backbone_parameters():
            parameter.requires_grad_(not frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> Classifier:
        """As nn.Module.train, but the norms of a frozen backbone stay in eval mode."""
        super().train(mode)
        if self.frozen:
            for module in self._backbone_norms():
                module.eval()
        return self

    def _backbone_norms(self) -> Iterator[nn.Module]:
        head = set(self.head.modules())
        return (module for module in self.backbone.modules() if isinstance(module, _BatchNorm) and module not in head)

    # ------------------------------------------------------------------ gradient checkpointing

    @property
    def gradient_checkpointing(self) -> bool:
        """Whether activations are recomputed in the backward pass to save memory."""
        return any(getattr(module, "grad_checkpointing", False) for module in self.backbone.modules())

    def set_gradient_checkpointing(self, enable: bool) -> None:
        """Trade time for memory in training.

        Raises:
            BadConfig: the architecture does not support it.
        """
        setter = getattr(self.backbone, "set_grad_checkpointing", None)
        try:
            if setter is None:
                raise AssertionError("it has no set_grad_checkpointing")
            setter(enable)
        except AssertionError as error:
            if enable:
                raise BadConfig(
                    f"model.gradient_checkpointing: {self.name} does not support it ({error}). Set it to false, and save "
                    "memory with a smaller training.batch_size and more training.accumulation_steps"
                ) from error

    # ------------------------------------------------------------------ heatmaps

    def cam_layer(self) -> nn.Module:
        """The layer whose output a heatmap is read from: the last one that still knows where things are."""
        from core.model.cam_layers import find_cam_layer

        return find_cam_layer(self)


def as_input(pixels: Any, device: torch.device | str = "cpu") -> Tensor:
    """Prepared pixels, uint8 (H, W) or (N, H, W) -> float32 (N, 1, H, W) in [0, 1] on `device`."""
    images = torch.as_tensor(pixels)
    if images.dtype != torch.uint8 or images.ndim not in (2, 3):
        raise ValueError(f"expected uint8 pixels (H, W) or (N, H, W), got {images.dtype} {tuple(images.shape)}")
    if images.ndim == 2:
        images = images[None]
    return images[:, None].to(device).float() / 255.0
