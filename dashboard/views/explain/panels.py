"""Heatmaps on the page: images with a map over each, whose opacity and colours the browser changes by itself."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from core.images.encode import encode_png
from dashboard.cache.envelope import envelope
from dashboard.cache.explanations import View
from dashboard.ui import viewer
from dashboard.ui.image_components import component
from dashboard.ui.viewer import Pane

_heat = component(
    "heat",
    html='<div class="heat"><div class="viewer"></div><div class="captions"></div><div class="look">'
    '<label>Opacity <input type="range" min="0" max="1" step="0.05" aria-label="Opacity"><output></output></label>'
    '<label>Colours <select aria-label="Colours"></select></label>'
    '<label title="A line round what is at least half as strong as the strongest"><input type="checkbox" name="outline"> '
    'Outline</label><label title="A bar over the heatmap: on its left the image alone"><input type="checkbox" name="swipe"> '
    'Swipe</label><button type="button" class="hold" title="Or hold the space bar on a picture">Hold to hide</button>'
    '<div class="scale"><span class="low"></span><canvas role="img" aria-label="colour scale"></canvas>'
    '<span class="high"></span><span class="under"></span></div></div></div>',
    uses=(*viewer.VIEWING, "range"),
)


@dataclass(frozen=True)
class Panel:
    """One picture: `view`'s map over the image in `pane`, or that alone where `bare`; `note` is written onto it: why there is
    no map, or why it is not to be trusted."""

    view: View
    pane: Pane
    title: str
    detail: str = ""
    note: str = ""
    bare: bool = False


def show(
    panels: Sequence[Panel],
    *,
    key: str,
    height: int,
    look: Mapping[str, Any],
    scale: tuple[str, str, str],
    subject: str,
    linked: bool,
    on_look: Callable[[], None],
) -> None:
    """The panels in a row, over what changes their look and a bar: `scale` is what its ends mean, and the line under it.

    They are at most `height` px high; less where the window is low.
    `linked`: they show the same places, so they are zoomed together, and stay so while `subject` is the same. `look`:
    opacity, colormap, outline, swipe; what the user makes of them is in `st.session_state[key]["look"]` when `on_look` is
    called.
    """
    from core.gradcam import HALF

    blobs: list[bytes] = []
    shown = []
    for panel in panels:
        view = panel.view
        entry = {"title": panel.title, "detail": panel.detail, "note": panel.note, "pane": panel.pane.data()}
        across, down = (size / own for size, own in zip(panel.pane.size, view.values.shape[::-1], strict=True))
        shown.append(entry | {"map": -1 if panel.bare else len(blobs), "matrix": [across, 0, 0, down, 0, 0]})
        if not panel.bare:
            blobs.append(_levels(view))
    signed = any(panel.view.signed for panel in panels)
    header = {
        "panels": shown,
        "height": height,
        "look": dict(look),
        "half": HALF,
        "signed": signed,
        "scale": scale,
        "subject": subject,
        "linked": linked,
        "id": hashlib.blake2b(b"".join(blobs) + repr((shown, signed)).encode()).hexdigest(),
        **_tables(),
    }
    _heat(data=envelope(header, blobs), key=key, on_look_change=on_look, on_lost_change=lambda: None)


def _levels(view: View) -> bytes:
    """The map as a grey PNG, from which the browser makes colours."""
    from core.gradcam import levels

    return encode_png(levels(view.values, signed=view.signed), compression=3)


@cache
def _tables() -> dict[str, object]:
    """The colours of each level, RGB after RGB, in base64."""
    from core.gradcam import COLORMAPS, colours_of, two_colours

    tables = {name: base64.b64encode(colours_of(name).tobytes()).decode() for name in COLORMAPS}
    return {"tables": tables, "two_colours": base64.b64encode(two_colours().tobytes()).decode()}
