"""Images on pure black: a before/after slider and a gallery."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard.cache.envelope import envelope

_FRONTEND = Path(__file__).parent / "frontend"


COMPARE = (
    '<div class="compare"{more}><div class="side before"><img alt="before"></div>'
    '<div class="side after"><img alt="after"></div>{marks}<div class="bar" role="slider" tabindex="0" '
    'aria-label="before and after" aria-valuemin="0" aria-valuemax="100"></div>'
    '<span class="tag left"></span><span class="tag right"></span>{notes}</div>'
)


def component(name: str, *, html: str = "", uses: Sequence[str] = (), isolate: bool = True) -> Callable[..., Any]:
    """The component of frontend/<name>.js and .css, after the shared pieces it `uses`; `html` if it is not one empty box."""
    read = {
        kind: "\n".join(
            path.read_text(encoding="utf-8")
            for path in (_FRONTEND / f"{each}.{kind}" for each in (*uses, name))
            if path.is_file()
        )
        for kind in ("js", "css")
    }
    html = html or f'<div class="{name}"></div>'
    return st.components.v2.component(f"mammolab_{name}", html=html, js=read["js"], css=read["css"], isolate_styles=isolate)


_compare = component(
    "compare", html=COMPARE.format(more="", marks="", notes=""), uses=("element", "envelope", "around", "swipe")
)
_gallery = component("gallery", uses=("element", "envelope", "tile"))


def compare_slider(
    before: bytes,
    after: bytes,
    *,
    key: str,
    height: int = 560,
    labels: tuple[str, str] = ("before", "after"),
    bar: float = 0.5,
) -> None:
    """Two encoded images of the same geometry on black, under one movable bar; zoomed and moved by mouse and keys (swipe.js).

    `bar` (0 to 1) is where it begins: left of it is `before`.
    """
    header = {"height": height, "labels": labels, "bar": bar}
    _compare(data=envelope(header, [before, after]), key=key, height=height)


@dataclass(frozen=True)
class Tile:
    """One image of a gallery: encoded bytes, or b"" with the reason in `missing`. `detail` is a second line."""

    image: bytes
    caption: str = ""
    label: str = ""
    color: str = "#888888"
    id: str = ""
    missing: str = ""
    detail: str = ""


def gallery(
    tiles: Sequence[Tile], *, key: str, columns: int = 6, height: int = 180, pixelated: bool = False, clickable: bool = False
) -> str | None:
    """Images on pure black in a grid, never stretched. With `clickable`: the id of the tile just clicked, else None."""
    shown = [{name: value for name, value in vars(tile).items() if name != "image"} for tile in tiles]
    header = {"columns": columns, "height": height, "pixelated": pixelated, "clickable": clickable, "tiles": shown}
    result = _gallery(data=envelope(header, [t.image for t in tiles]), key=key, on_picked_change=lambda: None)
    picked = getattr(result, "picked", None)
    return str(picked) if picked else None


def image_on_black(image: bytes, *, key: str, height: int = 400, caption: str = "", pixelated: bool = False) -> None:
    """One encoded image on pure black, never stretched; `pixelated` shows each pixel as a crisp square."""
    gallery([Tile(image, caption)], key=key, columns=1, height=height, pixelated=pixelated)


def label_color(label: str) -> str:
    """The colour that means this label (or split) everywhere."""
    from core.plots import COLORS

    return COLORS.get(label, "#888888")
