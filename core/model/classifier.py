"""The one shape every network takes here: grey images in [0, 1] in, one logit out for each image, or for each breast."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from core.errors import BadConfig
from core.model.card import StartingWeights
from core.model.fusion import Fusion

_LOCKS: weakref.WeakKeyDictionary[nn.Module, threading.RLock] = weakref.WeakKeyDictionary()
_LOCKS_GUARD = threading.Lock()


def model_lock(model: nn.Module) -> threading.RLock:
    """The lock to hold while one thread runs `model`: heatmap hooks see every forward pass of every thread.

    Kept beside the model, not on it, so that a model can still be copied (EMA) and pickled.
    """
    with _LOCKS_GUARD:
        return _LOCKS.setdefault(model, threading.RLock())


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Within the block `model` is in eval mode, then back in the mode it was in."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


class Classifier(nn.Module):
    """A backbone with a one-logit head; sigmoid(logit) is P(malignant) before calibration.

    With a `fusion` it judges breasts, from the features of all their images; without, images.

    Normalises inside, with `mean` and `std` (buffers, so they are saved with the weights): whoever calls it only
    has to know that black is 0 and white is 1.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        *,
        name: str,
        mean: float,
        std: float,
        dropout: float = 0.0,
        fusion: Fusion | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.fusion = fusion
        self.name = name
        self.pretrained = False  # whether it began with weights, and which: set by whoever loads them
        self.starting_weights: StartingWeights | None = None
        self.dropout = dropout
        self.frozen = False
        self.gradient_checkpointing = False  # whether activations are computed again in the backward pass to save memory
        self.has_separable_head = True  # whether `forward_head` of `forward_features` is `forward`; `check_input` finds out
        self.register_buffer("mean", torch.tensor(float(mean)))
        self.register_buffer("std", torch.tensor(float(std)))

    # ------------------------------------------------------------------ forward

    def forward(self, images: Tensor, slots: Tensor | None = None, views: Tensor | None = None) -> Tensor:
        """Images float (N, 1, H, W) in [0, 1] -> logits (N,), positive for malignant.

        With a fusion, `slots` int64 (B, K) say which images are of one breast, and `views` int64 (N,) what they show (see
        core.model.fusion): logits (B,). Without them each image is a breast of its own, of an unknown view.

        Raises:
            BadConfig: the architecture does not take images of this size.
        """
        if self.frozen and self.training and self.has_separable_head:
            with torch.no_grad():
                features = self.forward_features(images)
            return self.forward_head(features, slots, views)
        if self.fusion is not None:
            return self.forward_head(self.forward_features(images), slots, views)
        return self._of_images(images)

    def _of_images(self, images: Tensor) -> Tensor:
        """The backbone's own logits (N,), without a fusion."""
        normalised = self._normalise(images)
        try:
            logits = self.backbone(normalised)
        except AssertionError as error:  # how timm's fixed-size architectures refuse
            raise self._wrong_size(images, error) from error
        return cast(Tensor, logits).flatten()

    def forward_features(self, images: Tensor) -> Tensor:
        """Images as for `forward` -> what the head sees, (N, features); in eval mode `forward_head` of it is `forward`."""
        normalised = self._normalise(images)
        backbone = cast(Any, self.backbone)
        try:
            return cast(Tensor, backbone.forward_head(backbone.forward_features(normalised), pre_logits=True))
        except AssertionError as error:
            raise self._wrong_size(images, error) from error

    def forward_head(self, features: Tensor, slots: Tensor | None = None, views: Tensor | None = None) -> Tensor:
        """Features (N, features) from `forward_features` in eval mode -> logits, as from `forward`; drops out in training mode.

        While the backbone is frozen, this alone is what trains: see core.training.head_features.
        """
        dropped = functional.dropout(self.fused(features, slots, views), self.dropout, training=self.training)
        return cast(Tensor, self.head(dropped)).flatten()

    def fused(self, features: Tensor, slots: Tensor | None = None, views: Tensor | None = None) -> Tensor:
        """Features of images (N, features) -> those of breasts (B, features), arguments as for `forward`; without a fusion the
        same."""
        if self.fusion is None:
            return features
        if slots is None:
            slots = torch.arange(len(features), device=features.device)[:, None]
        if views is None:
            views = torch.zeros(len(features), dtype=torch.int64, device=features.device)
        return cast(Tensor, self.fusion(features, slots, views))

    def _normalise(self, images: Tensor) -> Tensor:
        if images.ndim != 4 or images.shape[1] != 1 or not images.is_floating_point():
            raise ValueError(
                f"expected float images (N, 1, H, W) in [0, 1], got {images.dtype} {tuple(images.shape)}; "
                "core.model.as_input makes them from prepared pixels"
            )
        return (images - self.mean) / self.std

    def check_input(self, height: int, width: int) -> None:
        """Try one image of this size, so that a training does not find out in its first step.

        Sets `has_separable_head`, which a few architectures with a head of their own are not.

        Raises:
            BadConfig: the architecture does not take images of this size, or has a head that no fusion can stand before.
        """
        modes = [(module, module.training) for module in self.modules()]
        images = torch.linspace(0, 1, height * width, device=self.mean.device).reshape(1, 1, height, width)
        try:
            self.eval()
            with torch.no_grad():
                logits = self._of_images(images)
                self.has_separable_head = self._head_is_separable(images, logits)
        except RuntimeError as error:  # a kernel larger than its map, tokens that do not divide
            raise self._wrong_size(images, error) from error
        finally:
            for module, training in modes:
                module.training = training
        if self.fusion is not None and not self.has_separable_head:
            raise BadConfig(
                f"model.views: {self.name} has no last layer that judges pooled features alone, which a fusion of views stands "
                "before. Set model.views to 1, or choose another architecture"
            )

    def _head_is_separable(self, images: Tensor, logits: Tensor) -> bool:
        try:
            found = cast(Tensor, self.head(self.forward_features(images))).flatten()
            return torch.allclose(found, logits, rtol=1e-3, atol=1e-5)
        except (
            AttributeError,
            TypeError,
            LookupError,
            ValueError,
            RuntimeError,
        ):  # no such methods, other arguments, features of another shape
            return False

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
        """Parameters of the last layer, and of what fuses views before it."""
        return [*self.head.parameters(), *self.fusion_parameters()]

    def fusion_parameters(self) -> list[nn.Parameter]:
        """Parameters of the fusion of views; [] without one."""
        return [] if self.fusion is None else list(self.fusion.parameters())

    def backbone_parameters(self) -> list[nn.Parameter]:
        """All parameters but those of the head and the fusion."""
        head = {id(parameter) for parameter in self.head.parameters()}
        return [parameter for parameter in self.backbone.parameters() if id(parameter) not in head]

    def stages(self) -> list[list[nn.Parameter]]:
        """The backbone's parameters in the order of the forward pass: its stem, then each of its stages."""
        named = dict(self.backbone.named_parameters())
        head = {id(parameter) for parameter in self.head.parameters()}
        groups: dict[int, list[nn.Parameter]] = {}
        for name, number in self._layers(coarse=True).items():
            if id(named[name]) not in head:
                groups.setdefault(number, []).append(named[name])
        return [groups[number] for number in sorted(groups)]

    def layer_depths(self) -> dict[str, int]:
        """For each of the backbone's parameters by name, how many layers it is below the head; the head's own are 0."""
        layers = self._layers(coarse=False)
        top = max(layers.values())
        return {name: top - number for name, number in layers.items()}

    def _layers(self, *, coarse: bool) -> dict[str, int]:
        """Parameter name -> number of its layer (or stage, `coarse`), as timm groups this architecture."""
        from timm.models import group_parameters
        from timm.optim import auto_group_layers

        matcher = getattr(self.backbone, "group_matcher", None)
        if matcher is None:
            return dict(auto_group_layers(self.backbone))
        return dict(group_parameters(self.backbone, matcher(coarse=coarse), reverse=True))

    def unfreeze_backbone(self, stages: int | None = None) -> None:
        """Train everything, or the head and the last so many `stages` (0: the head alone, and the backbone computes as in eval
        mode); BatchNorm's statistics stay as they are where it is frozen."""
        self.frozen = stages == 0
        if stages is None:
            trained = {id(parameter) for parameter in self.backbone.parameters()}
        else:
            groups = self.stages()
            trained = {id(p) for group in groups[max(0, len(groups) - stages) :] for p in group}
        for parameter in self.backbone_parameters():
            parameter.requires_grad_(id(parameter) in trained)
        self.train(self.training)

    def train(self, mode: bool = True) -> Classifier:
        """As nn.Module.train, but a frozen backbone, and frozen norms of another, stay in eval mode."""
        super().train(mode)
        if self.frozen and self.has_separable_head:
            self.backbone.eval()
            self.head.train(mode)
            return self
        for module in self._backbone_norms():
            if self.frozen or any(not parameter.requires_grad for parameter in module.parameters(recurse=False)):
                module.eval()
        return self

    def _backbone_norms(self) -> Iterator[nn.Module]:
        head = set(self.head.modules())
        return (module for module in self.backbone.modules() if isinstance(module, _BatchNorm) and module not in head)

    # ------------------------------------------------------------------ gradient checkpointing

    def set_gradient_checkpointing(self, enable: bool) -> None:
        """Trade time for memory in training. Raises BadConfig: the architecture does not support it."""
        setter = getattr(self.backbone, "set_grad_checkpointing", None)
        try:
            if setter is None:
                raise AssertionError("it has no set_grad_checkpointing")
            setter(enable)
        except AssertionError as error:
            if enable:
                raise BadConfig(
                    f"model.gradient_checkpointing: {self.name} does not support it ({error}). Set it to false, and save "
                    "memory with a smaller training.batch_size and more training.advanced.accumulation_steps"
                ) from error
            return
        self.gradient_checkpointing = enable


def as_input(pixels: Any, device: torch.device | str = "cpu") -> Tensor:
    """Prepared pixels, uint8 (H, W) or (N, H, W) -> float32 (N, 1, H, W) in [0, 1] on `device`."""
    images = torch.as_tensor(pixels)
    if images.dtype != torch.uint8 or images.ndim not in (2, 3):
        raise ValueError(f"expected uint8 pixels (H, W) or (N, H, W), got {images.dtype} {tuple(images.shape)}")
    if images.ndim == 2:
        images = images[None]
    return images[:, None].to(device).float() / 255.0
