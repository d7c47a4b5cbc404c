"""Many charts as one file: drawn and packed by the browser, so that the server needs no program that draws pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import plotly.graph_objects as go

from dashboard.ui.components import as_drawn, file_name
from dashboard.ui.image_components import component
from dashboard.ui.plotly_script import plotly_script

WIDTH, HEIGHT = 720, 480  # px of a chart that no page has given a place

_zip = component(
    "charts_zip",
    html='<div class="charts-zip"><button type="button">All charts (.zip)</button><span role="status"></span></div>',
    uses=("here", "plotly", "save"),
)


def charts_zip(
    figures: Mapping[str, go.Figure], file: Callable[[str], str], name: str, *, key: str, at_once: bool = False
) -> None:
    """A button that saves all figures as PNG, SVG and CSV in one .zip; with `at_once` it need not be pressed the first time.

    `file` makes a figure's name into words for its files (run, split, chart), as `name` is for the .zip.
    """
    charts = []
    for title, figure in figures.items():
        drawn = as_drawn(figure)
        charts.append({**drawn, "height": max(HEIGHT, drawn["height"]), "width": WIDTH, "file": file_name(file(title))})
    _zip(data={"charts": charts, "script": plotly_script(), "file": file_name(name), "at_once": at_once}, key=key)
