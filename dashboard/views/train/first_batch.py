"""The first training batch as the model gets it, for the Train page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from dashboard.state.services import stamp
from dashboard.ui.image_components import Tile, label_color

if TYPE_CHECKING:
    import pandas as pd

    from core.config import Config
    from core.runs import Run


def tiles(run: Run) -> list[Tile]:
    """The run's first training images as its model gets them; [] while they are not prepared. Raises LabError."""
    stamps = tuple(stamp(run.path / name) for name in ("config.yaml", "manifest.csv", "excluded.csv"))
    try:
        return _first_batch(str(run.path), stamps, run)
    except _NotPrepared:
        return []


class _NotPrepared(Exception):
    """Not to be remembered: the next look may find them."""


@st.cache_resource(max_entries=16, show_spinner=False)
def _first_batch(path: str, stamps: tuple[int, ...], _run: Run) -> list[Tile]:
    from core.images.encode import encode_jpeg
    from core.training.batch_preview import first_batch

    found = first_batch(*_setup(path, stamps, _run))
    if found is None:
        raise _NotPrepared
    return [
        Tile(encode_jpeg(pixels, quality=90), label=label, color=label_color(label))
        for pixels, label in zip(found.pixels, found.labels, strict=True)
    ]


# Of its own, so that looks for images which are not there yet do not read a long manifest each time.
@st.cache_resource(max_entries=16, show_spinner=False)
def _setup(path: str, stamps: tuple[int, ...], _run: Run) -> tuple[Config, pd.DataFrame]:
    from core.training.batch_preview import used_rows

    return _run.config(), used_rows(_run)
