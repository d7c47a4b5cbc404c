"""From a configuration to the rows that a training, a page or a command works on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from core.config import Config, DataConfig
from core.data.identity import nobody_known, patient_doubts
from core.data.manifest import read_manifest
from core.data.splits import assign_splits, require_no_leakage
from core.demo import make_demo

log = logging.getLogger(__name__)

DEMO_MANIFEST = Path(DataConfig.model_fields["manifest"].default)

Progress = Callable[[int, int], None]


def ensure_demo(config: Config, progress: Progress | None = None) -> None:
    """Write the built-in demo set when the configuration names it and it is not there yet."""
    manifest = config.data.manifest
    if manifest.as_posix() == DEMO_MANIFEST.as_posix() and not manifest.exists():
        make_demo(manifest.parent, progress=progress)


def load_rows(config: Config, progress: Progress | None = None) -> pd.DataFrame:
    """The manifest's rows, every one in a split, no patient in two. Doubts about who is who go to the log.

    Raises:
        BadManifest: the manifest cannot be used as it is.
        Leakage: a patient stands in more than one split.
    """
    ensure_demo(config, progress)
    data = config.data
    frame = assign_splits(read_manifest(data.manifest), data.val_fraction, data.test_fraction, data.split_seed)
    require_no_leakage(frame)
    # Two spellings of one patient are no leakage that can be proved, but most likely one.
    for doubt in patient_doubts(frame["patient_id"].astype("str").to_list(), frame["split"].astype("str").to_list()):
        log.warning("%s: %s", data.manifest, doubt.message)
    if unknown := nobody_known(frame):
        log.warning("%s: %s", data.manifest, unknown)
    return frame
