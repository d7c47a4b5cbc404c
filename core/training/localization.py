"""A loss that draws the class activation map of malignant images to their lesions.

    backbone's last maps (N, C, h, w) x weights of the last layer -> map (N, h, w) -> share of its positive values outside of
    the lesion

The energy loss of Rao et al., ICCV 2023 ("Studying how to efficiently and effectively guide models with explanations"), on the
class activation map of Zhou et al., CVPR 2016. Only images that are malignant and say where their lesion is take part.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from core.config import Config
from core.data.batches import LESION_CELL
from core.data.lesion_masks import lesion_mask
from core.data.lesion_places import with_lesions
from core.errors import BadConfig, BadManifest, NotEnoughData, UnreadableImage
from core.model import Classifier
from core.model.build import outline
from core.model.classifier import evaluating
from core.runs.events import Event, PrepareEvent
from core.training.distributed import World
from core.training.image_preparation import Rows
from core.training.run_logger import RunLogger
from core.training.timing import LoopTiming, Throttle

_TINY = 1e-6


def localization_loss(maps: Tensor, weights: Tensor, lesions: Tensor) -> Tensor:
    """For each image the share of its class activation map that lies outside of its lesions, float32 (N,) in [0, 1].

    Args:
        maps: the backbone's last maps (N, C, h, w), whose mean the last layer sees.
        weights: of the last layer (C,).
        lesions: (N, h', w'), above 0 where a lesion is; an image without one has a loss of 0.
    """
    positive = torch.einsum("nchw,c->nhw", maps.float(), weights.float()).relu()
    inside = (functional.adaptive_max_pool2d(lesions.float()[:, None], maps.shape[-2:])[:, 0] > 0).float()
    share = (positive * inside).sum((1, 2)) / (positive.sum((1, 2)) + _TINY)
    return (1 - share) * (inside.amax((1, 2)) > 0)


class Localization:
    """What a trainer needs for this loss: its `weight`, and where the lesions of each training image lie, uint8 (N, h', w')."""

    def __init__(self, model: Classifier, config: Config, lesions: NDArray[np.uint8]) -> None:
        """Raises BadConfig: the network, or another setting, does not go together with it."""
        self.weight, self.lesions = config.training.lesions.localization_weight, lesions
        self._model, self._pool = model, _pool_of(model, config)

    @contextmanager
    def recording(self) -> Iterator[list[Tensor]]:
        """Within the block, the list gets the maps of each forward pass."""
        found: list[Tensor] = []

        def remember(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            found.append(inputs[0])

        handle = self._pool.register_forward_pre_hook(remember)
        try:
            yield found
        finally:
            handle.remove()

    def loss(self, maps: Tensor, lesions: Tensor) -> Tensor:
        """The weighted sum over the images of a batch."""
        return self.weight * localization_loss(maps, _last_weights(self._model), lesions).sum()


def require_locatable(config: Config, train: pd.DataFrame) -> None:
    """Refuse what this loss will refuse, before any image is prepared. `train`: the run's own training rows.

    Raises:
        BadConfig: settings do not go together, or the network has no class activation map.
        NotEnoughData: no malignant training image says where its lesion is.
    """
    if not config.training.lesions.localization_weight:
        return
    _require_together(config)
    _known(train)
    try:
        model = outline(config.model)
        with torch.device("meta"):
            _pool_of(model, config)
    except (RuntimeError, TypeError, ValueError, NotImplementedError):
        return  # a step that cannot be outlined: the training finds out


def _known(train: pd.DataFrame) -> NDArray[np.intp]:
    """The malignant rows that say where their lesion is."""
    known = np.flatnonzero(with_lesions(train) & (train["label"] == "malignant").to_numpy())
    if not len(known):
        raise NotEnoughData(
            "training.lesions.localization_weight: no malignant training image says where its lesion is. Fill the column "
            "lesions, lesion_masks or lesion_circles, or set the weight to 0."
        )
    return known


def lesion_cells(
    logger: RunLogger, rows: Rows, world: World, timing: LoopTiming
) -> Generator[Event, None, NDArray[np.uint8] | None]:
    """Where the lesions of each malignant training image lie, in cells of LESION_CELL pixels, uint8 (N, h', w') of 0 and 1.
    Yields "prepare" events. None: a stop was requested.

    Raises:
        BadManifest: what the manifest says of a lesion cannot be read.
        NotEnoughData: no malignant training image says where its lesion is.
    """
    height, width = rows.recipe.shape
    found = np.zeros((len(rows.train), -(-height // LESION_CELL), -(-width // LESION_CELL)), np.uint8)
    known = _known(rows.train)
    report = Throttle(timing.between_images)
    for done, place in enumerate(known, 1):
        row = {str(name): value for name, value in rows.train.iloc[place].items()}
        image = rows.cache.get(row["path"])
        try:
            mask = lesion_mask(row, image.matrix, image.original_shape, rows.recipe.shape)
        except (BadManifest, UnreadableImage) as error:
            raise BadManifest(f"{row['path']}: {error}") from error
        padded = np.pad(mask, ((0, -height % LESION_CELL), (0, -width % LESION_CELL)))
        found[place] = padded.reshape(found.shape[1], LESION_CELL, found.shape[2], LESION_CELL).any((1, 3))
        due, stop = world.broadcast(report.due(), logger.run.requested("stop"))
        if due:
            yield logger.event(PrepareEvent(type="prepare", done=done, total=len(known), what="lesions"))
        if stop:
            return None
    return found


_NAME = "training.lesions.localization_weight"


def _require_together(config: Config) -> None:
    for setting, on in (("augmentation.mixup", config.augmentation.mixup), ("compile", config.training.advanced.compile)):
        if on:
            where = setting if "." in setting else f"training.advanced.{setting}"
            raise BadConfig(f"{_NAME} and {where} do not go together. Switch one of them off")
    if config.model.views == 2 and config.model.fusion == "concat":
        raise BadConfig(
            f"{_NAME}: with model.fusion concat an image has no map of its own. Choose another fusion, or set it to 0"
        )


def _pool_of(model: Classifier, config: Config) -> nn.Module:
    """The layer that pools the last maps, where the last layer sees their mean and nothing else."""
    _require_together(config)
    pool = getattr(cast(Any, model.backbone), "global_pool", None)
    if not isinstance(pool, nn.Module) or not _sees_the_mean(model, pool, config.preprocessing.shape):
        raise BadConfig(
            f"{_NAME}: the last layer of {model.name} does not see the mean of its last maps, so it has no class activation "
            "map. Choose such an architecture (tf_efficientnet_lite0, efficientnet_b0, resnet50, densenet121), or set it to 0"
        )
    return pool


def _sees_the_mean(model: Classifier, pool: nn.Module, shape: tuple[int, int]) -> bool:
    found: list[Tensor] = []
    handle = pool.register_forward_pre_hook(lambda module, inputs: found.append(inputs[0]))
    try:
        with evaluating(model), torch.no_grad():
            image = torch.linspace(0, 1, shape[0] * shape[1], device=model.mean.device).reshape(1, 1, *shape)
            features = model.forward_features(image)
    finally:
        handle.remove()
    if len(found) != 1 or found[0].ndim != 4 or features.shape[1] != _last_weights(model).numel():
        return False
    mean = found[0].mean((2, 3))
    if features.is_meta:  # an outline has shapes alone
        return mean.shape == features.shape
    return mean.shape == features.shape and torch.allclose(mean, features, rtol=1e-3, atol=1e-5)


def _last_weights(model: Classifier) -> Tensor:
    """Weights of the last layer, (C,)."""
    return cast(Tensor, model.head.weight).flatten()
