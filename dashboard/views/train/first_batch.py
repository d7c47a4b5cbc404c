"""The first training batch as the model gets it, for the Train page."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core.config import Config
from core.images.encode import encode_jpeg
from core.runs import Run
from dashboard.state.file_stamps import of_run
from dashboard.ui.image_components import Tile, label_color


def tiles(run: Run) -> list[Tile]:
    """The run's first training images as its model gets them; [] while they are not prepared. Raises LabError."""
    try:
        return _first_batch(run)
    except _NotPrepared:
        return []


class _NotPrepared(Exception):
    """Raised, and thereby not cached: the images may be there at the next call."""


_FILES = of_run("config.yaml", "manifest.csv", "excluded.csv")


@st.cache_resource(max_entries=16, show_spinner=False, hash_funcs=_FILES)
def _first_batch(run: Run) -> list[Tile]:
    from core.training.batch_preview import first_batch

    found = first_batch(*_setup(run))
    if found is None:
        raise _NotPrepared
    return [
        Tile(encode_jpeg(pixels, quality=90), label=label, color=label_color(label))
        for pixels, label in zip(found.pixels, found.labels, strict=True)
    ]


# Cached by itself, so that a call before the images are there does not read a long manifest each time.
@st.cache_resource(max_entries=16, show_spinner=False, hash_funcs=_FILES)
def _setup(run: Run) -> tuple[Config, pd.DataFrame]:
    from core.training.batch_preview import used_rows

    return run.config(), used_rows(run)
