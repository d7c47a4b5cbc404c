"""The live components of the Preprocess page: picture with loupe, sliders, grid of images.

They exchange events in the browser and ask dashboard.asgi.preview_api for pictures by HTTP; the page's script gets a
recipe only when a slider comes to rest.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from core.config import Recipe
from dashboard.cache import images, lesions, previews
from dashboard.cache.images import ImageRef
from dashboard.cache.lesions import Lesions
from dashboard.ui import form_widgets
from dashboard.ui.image_components import COMPARE, component, label_color
from dashboard.ui.preview_address import preview_url

HEIGHT = 600  # px of the picture

_HELP = "Before and after: click, or move with the arrow keys, to place the loupe; plus and minus zoom, 0 resets, ? lists keys"
_LOUPES = "".join(
    f'<figure class="loupe"><img alt="{side}, enlarged"><span class="tag">{side} (100 %)</span></figure>'
    for side in ("before", "after")
)
_preview = component(
    "preview",
    html='<div class="preview"><div class="inner">'
    + COMPARE.format(
        more=f' tabindex="0" role="group" aria-label="{_HELP}"',
        marks='<div class="side lesions"></div><div class="frame"></div><div class="ruler" hidden title="Size on the screen: '
        'of mm as in the file (at the detector where it has no more), and of a pixel of the image"><span class="mm"></span>'
        '<span class="percent"></span><i></i></div>',
        notes='<div class="problem" role="alert" hidden></div>',
    )
    + f'<div class="aside">{_LOUPES}<figure class="histogram"><figcaption><span>Grey levels in the breast</span></figcaption>'
    '<svg viewBox="0 0 256 100" preserveAspectRatio="none" role="img" aria-label="histogram before and after">'
    '<polyline class="now"/><polyline class="old"/></svg>'
    '<div class="axis"><span>black</span><span class="key">before</span><span class="key solid">after</span>'
    "<span>white</span></div></figure></div></div></div>",
    uses=("element", "envelope", "here", "lesions", "live", "around", "swipe", "icons", "toolbar", "viewmath", "reading"),
)
_sliders = component(
    "sliders",
    html='<div class="sliders"><div class="fields"></div><dl class="numbers" title="Inside the breast, after against before">'
    '<div><dt>local contrast</dt><dd class="contrast">–</dd></div><div><dt>noise</dt><dd class="noise">–</dd></div>'
    "</dl></div>",
    uses=("element", "envelope", "live", "range"),
)
_grid = component("grid", uses=("element", "envelope", "here", "live", "tile"))


@dataclass(frozen=True)
class Slide:
    """A slider: its everyday range, which grows to the recipe's bounds when the value lies beyond it."""

    name: str
    label: str
    low: float
    high: float
    step: float


SLIDES = (
    Slide("clip_limit", "Clip limit", 0.1, 10.0, 0.1),
    Slide("tile_grid", "Tile grid", 1, 24, 1),
    Slide("window_low", "Black below (percentile)", 0.0, 20.0, 0.1),
    Slide("window_high", "White above (percentile)", 80.0, 100.0, 0.1),
    Slide("gamma", "Gamma", 0.2, 3.0, 0.05),
)
LIVE = ("clahe", *(slide.name for slide in SLIDES))


def preview(
    image: ImageRef, recipe: Recipe, found: Lesions, *, key: str, outlined: bool = True, as_stored: bool = False
) -> None:
    """Picture before and after under a movable bar, a loupe on both at native resolution, histograms; all live.

    The loupe begins at the first of the lesions `found`, or where there is something to see; `outlined`: they are drawn.
    `as_stored`: before is shown with its grey levels the other way round.
    """
    spatial = images.arranged(image, recipe)
    height, width = spatial.levels.shape
    outlines = lesions.mapped(found, spatial.matrix)
    data = {"url": preview_url(previews.open_image(image)), "recipe": recipe.model_dump(mode="json"), "height": HEIGHT}
    drawn = {"size": (width, height), "lesions": outlines if outlined else ()}
    spot = lesions.spot(outlines, (width, height))
    _preview(data={**data, **drawn, "spot": spot, "as_stored": as_stored}, key=key, on_lost_change=lambda: None)


def sliders(recipe: Recipe, *, key: str, on_change: Callable[[], None]) -> None:
    """The sliders and the numbers. `on_change` is called when a slider has come to rest."""
    fields: list[dict[str, Any]] = [
        {"name": "clahe", "kind": "switch", "label": "CLAHE", "help": Recipe.model_fields["clahe"].description}
    ]
    for slide in SLIDES:
        value = getattr(recipe, slide.name)
        low, high = _limits(slide, value)
        about = {"label": slide.label, "help": Recipe.model_fields[slide.name].description}
        fields.append({"name": slide.name, "kind": "slide", "min": low, "max": high, "step": slide.step, **about})
    values = {name: getattr(recipe, name) for name in LIVE}
    _sliders(data={"fields": fields, "values": values}, key=key, on_changed_change=on_change)


def _limits(slide: Slide, value: float) -> tuple[float, float]:
    """The slider's range: the everyday one, or out to the recipe's bound on the side where the value lies beyond it."""
    least, most = form_widgets.bounds(Recipe.model_fields[slide.name])
    return slide.low if value >= slide.low else float(least or 0), slide.high if value <= slide.high else float(most or 0)


def grid(refs: list[ImageRef], rows: pd.DataFrame, recipe: Recipe, *, key: str) -> str | None:
    """The images of these manifest rows under the recipe; returns the path of one just clicked, else None."""
    tiles = [
        {
            "id": str(row.path),
            "label": str(row.label),
            "color": label_color(str(row.label)),
            "caption": f"{row.laterality} {row.view}".strip(),
            "title": ref.name,
        }
        for ref, row in zip(refs, rows.itertuples(), strict=True)
    ]
    data = {"url": preview_url(previews.open_grid(refs)), "recipe": recipe.model_dump(mode="json"), "tiles": tiles}
    result = _grid(data=data, key=key, on_picked_change=lambda: None, on_lost_change=lambda: None)
    picked = getattr(result, "picked", None)
    return str(picked) if picked else None


def choose(frame: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """`count` rows of a manifest, labels and views in turn, no patient twice while there are others; same seed, same rows."""
    order = list(range(len(frame)))
    random.Random(seed).shuffle(order)
    kinds: dict[tuple[str, str], list[int]] = {}
    for index in order:
        row = frame.iloc[index]
        kinds.setdefault((str(row["label"]), str(row["view"])), []).append(index)
    chosen: list[int] = []
    patients: set[str] = set()
    while len(chosen) < min(count, len(frame)):
        for kind in sorted(kinds):
            if kinds[kind] and len(chosen) < count:
                fresh = [index for index in kinds[kind] if str(frame.iloc[index]["patient_id"]) not in patients]
                index = (fresh or kinds[kind])[0]
                kinds[kind].remove(index)
                patients.add(str(frame.iloc[index]["patient_id"]))
                chosen.append(index)
    return frame.iloc[chosen]
