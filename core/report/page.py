"""Content to HTML: every text is escaped, every figure has a fixed place, nothing comes from outside."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from core.plots import CONFIG

_HERE = Path(__file__).parent
# The report is a white page, and may be printed.
_INK = "#333845"


@dataclass(frozen=True)
class Table:
    """Text in rows; the first cell of a row names it."""

    header: tuple[str, ...]
    rows: list[tuple[str, ...]]


@dataclass(frozen=True)
class Plot:
    """A Plotly figure with its caption; `name` is unique in the report and stays the same."""

    name: str
    figure: Any
    caption: str


@dataclass(frozen=True)
class Picture:
    """An image as a data: address, with its caption."""

    source: str
    caption: str


@dataclass(frozen=True)
class Content:
    """What the template shows, in its words; `sections` are the template's variables."""

    title: str
    synthetic: bool
    sections: dict[str, Any]
    contents: list[tuple[str, str]] = field(
        default_factory=lambda: [
            ("summary", "Summary"),
            ("purpose", "Purpose and intended use"),
            ("data", "Data"),
            ("model", "Model and training"),
            ("methods", "Evaluation methods"),
            ("development", "Results: development"),
            ("performance", "Results: performance"),
            ("explanation", "Results: heatmaps"),
            ("limits", "Limits"),
            ("reproducibility", "Reproducibility"),
        ]
    )


def render(content: Content) -> str:
    """The report as one HTML text."""
    plots: list[dict[str, Markup]] = []

    def place(value: Any) -> Any:
        """The same content with each Plot as a container to show and a script to run at the end of the page."""
        if isinstance(value, Plot):
            container, script = _embed(value)
            plots.append({"script": script})
            return {"container": container, "caption": value.caption}
        if isinstance(value, dict):
            return {key: place(item) for key, item in value.items()}
        if isinstance(value, list):
            return [place(item) for item in value]
        return value

    sections = place(content.sections)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    template = environment.from_string((_HERE / "template.html").read_text(encoding="utf-8"))
    return template.render(
        title=content.title,
        synthetic=content.synthetic,
        contents=content.contents,
        style=Markup((_HERE / "style.css").read_text(encoding="utf-8")),
        plotly_js=_plotly_js() if plots else "",
        plots=plots,
        **sections,
    )


def _embed(plot: Plot) -> tuple[Markup, Markup]:
    """(the element that holds the figure, the script that draws it there)."""
    import plotly.io

    plot.figure.update_layout(font={"color": _INK})
    height = plot.figure.layout.height or 380
    # "<" is escaped so that no text of a run (its name in a legend) can end the script.
    json = plotly.io.to_json(plot.figure, validate=False).replace("<", "\\u003c")
    config = plotly.io.json.to_json_plotly({**CONFIG, "displayModeBar": False}).replace("<", "\\u003c")
    container = Markup('<div id="{}" style="height:{}px"></div>').format(f"plot-{plot.name}", height)
    script = Markup('<script>(f => Plotly.newPlot("{}", f.data, f.layout, {}))({})</script>').format(
        f"plot-{plot.name}",
        Markup(config),
        Markup(json),
    )
    return container, script


def _plotly_js() -> Markup:
    from plotly.offline import get_plotlyjs

    return Markup(get_plotlyjs())
