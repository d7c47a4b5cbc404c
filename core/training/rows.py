"""From a configuration to the rows of its manifest."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from core.config import Config, DataConfig
from core.data.identity import nobody_known, patient_doubts
from core.data.manifest import read_manifest
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
    """The manifest's rows, as `Run.create` takes them. Doubts about patients' identifiers go to the log.

    Raises:
        BadManifest: the manifest cannot be read.
    """
    ensure_demo(config, progress)
    manifest = config.data.manifest
    frame = read_manifest(manifest)
    # Two spellings of one patient are no leakage that can be proved, but most likely one.
    for doubt in patient_doubts(frame["patient_id"].astype("str").to_list(), frame["split"].astype("str").to_list()):
        log.warning("%s: %s", manifest, doubt.message)
    if unknown := nobody_known(frame):
        log.warning("%s: %s", manifest, unknown)
    return frame
