"""HTML page of an inspection: one file that opens offline, with every picture in it, nothing loaded, no script.

It is made to be passed on as proof: it names no file and no patient, and the same file and recipe give the same bytes
on any machine, which is why it tells no milliseconds.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from core import __version__
from core.images import encode_jpeg, encode_png
from core.inspection.build import BINS
from core.inspection.descriptions import facts, geometry, parameter_words, recipe_facts, value_words
from core.inspection.result import Counts, InspectedStage, Inspection
from core.preprocessing.preview import fit

_HERE = Path(__file__).parent
_SIDE = 768  # px; the pictures' longer side
_CHART = (256, 64)  # of the histograms, in the SVG's units


def to_html(inspection: Inspection) -> str:
    """The inspection as one HTML text."""
    prepared = inspection.prepared
    return _template().render(
        style=Markup((_HERE / "style.css").read_text(encoding="utf-8")),
        synthetic=inspection.meta.synthetic,
        version=__version__,
        hash=prepared.recipe_hash,
        fingerprint=hashlib.sha256(prepared.pixels.tobytes()).hexdigest(),
        geometry=geometry(inspection),
        warnings=inspection.warnings,
        stages=[_stage(number, stage, inspection) for number, stage in enumerate(inspection.stages, start=1)],
        facts=facts(inspection.meta, inspection.stages[0].shape),
        reading=[(step.name, parameter_words(step.parameters)) for step in inspection.reading],
        recipe=recipe_facts(inspection.recipe),
    )


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    return environment.from_string((_HERE / "template.html").read_text(encoding="utf-8"))


def _stage(number: int, stage: InspectedStage, inspection: Inspection) -> dict[str, Any]:
    last = number == len(inspection.stages)
    height, width = stage.shape
    return {
        "number": number,
        "title": stage.title,
        "words": stage.words,
        "same": number > 1 and not stage.changed,
        # The model's input keeps its every pixel.
        "source": _data("png", encode_png(inspection.prepared.pixels)) if last else _data("jpeg", _jpeg(stage)),
        "pixelated": last,
        "chart": _outline(stage.inside),
        "parameters": [
            ("size", f"{width} × {height} px"),
            ("range", f"{stage.lowest:.3f}–{stage.highest:.3f}, mean {stage.mean:.3f}"),
            *((name.replace("_", " "), value_words(value)) for name, value in stage.step.parameters.items()),
        ],
        "warnings": stage.step.warnings,
    }


def _jpeg(stage: InspectedStage) -> bytes:
    return encode_jpeg(fit(stage.picture, _SIDE), quality=90)


def _data(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _outline(counts: Counts) -> str:
    """A histogram as the points of an SVG polygon, 64 bins, black left, the fullest bin (black apart) at the top."""
    width, height = _CHART
    bins = counts.reshape(64, -1).sum(axis=1)
    # Black is often most of the image, and would flatten all the rest.
    top = max(int(bins[1:].max()), 1)
    step = width * 4 // BINS
    points = [f"0,{height}"]
    for index, value in enumerate(bins):
        y = height - min(int(value), top) * height / top
        points += [f"{index * step},{y:.1f}", f"{(index + 1) * step},{y:.1f}"]
    return " ".join([*points, f"{width},{height}"])
