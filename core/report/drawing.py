"""Numbers to SVG that prints: the report's figures, with the axes and colours of core.plots. They compute no figure of merit.

Drawn by matplotlib, since a report must not need a script: what is on the screen is on the paper, and the same numbers give the
same bytes. Text stays text; widths are in inches of an A4 page.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas

HALF, FULL = 3.5, 7.1
INK, QUIET, GRID = "#333845", "#6b7282", "#e4e7ee"

# Set once, not around each drawing: the settings belong to the process, and reports are made in threads.
mpl.rcParams["svg.fonttype"] = "none"
mpl.rcParams["svg.hashsalt"] = "mammolab"
mpl.rcParams["text.parse_math"] = False  # a "$" in the name of a scanner is a "$"

LONGEST = 42  # characters of a label; a longer one would leave no room for the drawing

_NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def canvas(width: float, height: float) -> tuple[Canvas, Any]:
    """An empty figure of that many inches and its axes, in the house's look."""
    figure = Canvas(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    return figure, dress(figure.add_subplot())


def dress(axes: Any) -> Any:
    """The house's look for a pair of axes."""
    axes.grid(True, color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#9aa1b1")
        axes.spines[side].set_linewidth(0.8)
    axes.tick_params(colors=INK, labelsize=8, width=0.8, length=3, color="#9aa1b1")
    return axes


def label(axes: Any, x: str, y: str) -> None:
    """Titles of the axes."""
    axes.set_xlabel(x, color=INK, fontsize=9)
    axes.set_ylabel(y, color=INK, fontsize=9)


def unit_square(axes: Any) -> None:
    """Both axes from 0 to 1, as long as each other."""
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    axes.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1])
    axes.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1])
    axes.set_aspect("equal")


def legend(axes: Any, where: str = "best") -> None:
    """A legend without a frame, where there is something to tell apart."""
    handles, _ = axes.get_legend_handles_labels()
    if handles:
        axes.legend(
            loc=where,
            frameon=True,
            framealpha=0.85,
            edgecolor="none",
            fontsize=8,
            labelcolor=INK,
            handlelength=1.8,
            borderpad=0.2,
        )


def percent(axis: Any) -> None:
    """Ticks of an axis as per cent."""
    axis.set_major_formatter(lambda value, _: f"{100 * value:.3g}%")


def to_svg(figure: Canvas, name: str) -> Markup:
    """The figure as an inline SVG element, its inner names made unique by `name`, numbers rounded to hundredths of a point."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata=_METADATA, transparent=True)
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' (?:xmlns(?::\w+)?|version|width|height)="[^"]*"', "", text[: text.index(">")]) + text[text.index(">") :]
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    used = set(re.findall(r'(?:url\(|href=")#([^)"]+)', text))
    text = re.sub(r' id="([^"]+)"', lambda found: f' id="{name}-{found[1]}"' if found[1] in used else "", text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    text = re.sub(r'(?:xlink:)?href="#', f'href="#{name}-', text)
    text = _outside_text(text, lambda part: _NUMBER.sub(_rounded, part))
    return Markup(re.sub(r"\n\s*", "\n", text).strip())


def _rounded(found: re.Match[str]) -> str:
    number = f"{float(found[0]):.2f}".rstrip("0").rstrip(".")
    return "0" if number == "-0" else number


def _outside_text(svg: str, change: Callable[[str], str]) -> str:
    """`change` applied to the tags, never to what a person reads between <text> and </text>."""
    parts = re.split(r"(>[^<]+</)", svg)
    return "".join(part if part.startswith(">") and part.endswith("</") else change(part) for part in parts)
