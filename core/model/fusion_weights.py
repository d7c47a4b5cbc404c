"""Starting weights of a fusion of views: only a run that had the same one can give any."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from core.config import NAMED_WEIGHTS, ModelConfig
from core.errors import MissingWeights
from core.model.classifier import Classifier
from core.model.stored import DamagedFile
from core.model.weight_files import state_dicts

_logger = logging.getLogger(__name__)
_PREFIX = "fusion."


def load_fusion(model: Classifier, config: ModelConfig) -> None:
    """Take over the fusion of the run whose weights `config` names, where it is the same one; else it stays new.

    Raises:
        MissingWeights: it is damaged, or has values that are no numbers.
    """
    wanted = {} if model.fusion is None else model.fusion.state_dict()
    path = Path(config.weights)
    if not wanted or config.weights in NAMED_WEIGHTS or not path.is_file():  # a package's and the hub's have no fusion
        return
    with state_dicts(path) as found:
        for each in found:
            stored = {name.removeprefix(_PREFIX): tensor for name, tensor in each.tensors.items() if name.startswith(_PREFIX)}
            if stored.keys() == wanted.keys() and all(stored[name].shape == tuple(wanted[name].shape) for name in wanted):
                break
        else:
            _logger.info("%s: no fusion %s of %s: it starts new", path, config.fusion, model.name)
            return
        try:
            loaded = {name: tensor.load() for name, tensor in stored.items()}
        except (DamagedFile, OSError) as error:
            raise MissingWeights(f"model.weights: {path}: damaged: {error}. Fetch it again") from error
    broken = next((name for name, tensor in loaded.items() if not torch.isfinite(tensor).all()), None)
    if broken is not None:
        raise MissingWeights(f"model.weights: {path}: fusion.{broken} has values that are no numbers. Fetch it again")
    assert model.fusion is not None
    model.fusion.load_state_dict(loaded)
