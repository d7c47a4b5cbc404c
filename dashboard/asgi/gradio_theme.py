"""Colours, sizes and styles of the Gradio tab: those of the dashboard (see .streamlit/config.toml)."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
import streamlit as st

# (light, dark) -> what has this colour
COLOURS = {
    ("#ffffff", "#12141a"): (
        "body_background_fill",
        "block_background_fill",
        "block_label_background_fill",
        "background_fill_primary",
    ),
    ("#f3f4f8", "#1d2029"): ("input_background_fill", "background_fill_secondary"),
    ("#1d2230", "#e7e9f0"): ("body_text_color", "block_label_text_color", "block_title_text_color"),
    ("#5b6070", "#a6abba"): ("body_text_color_subdued",),
    ("#5146c9", "#6a5fe6"): ("button_primary_background_fill",),  # white on it: 4.5:1 and more
    ("#4338b8", "#5f54dd"): ("button_primary_background_fill_hover",),
    ("#d9dce5", "#343946"): ("block_border_color", "border_color_primary"),
}
FRONTEND = Path(__file__).parents[1] / "ui" / "frontend"


def theme() -> gr.themes.Base:
    """The dashboard's colours and sizes, light and dark."""
    light = {name: pair[0] for pair, names in COLOURS.items() for name in names}
    dark = {f"{name}_dark": pair[1] for pair, names in COLOURS.items() for name in names}  # Gradio's names for the dark theme
    return gr.themes.Default(
        primary_hue=gr.themes.colors.indigo,
        neutral_hue=gr.themes.colors.gray,
        radius_size=gr.themes.sizes.radius_md,
        font=["Source Sans", "system-ui", "sans-serif"],
        font_mono=["ui-monospace", "Consolas", "monospace"],
    ).set(**light, **dark, **{f"block_{name}_text_size": "14px" for name in ("label", "title", "info")})


def css() -> str:
    """The tab's styles. The font is the one that Streamlit serves, one folder above the tab."""
    media = Path(st.__file__).parent / "static" / "static" / "media"
    faces = [
        f"@font-face {{ font-family: 'Source Sans'; font-weight: 200 900; font-display: swap; "
        f"src: url('../static/media/{file.name}') format('woff2'); }}"
        for file in sorted(media.glob("SourceSansVF-Upright*.woff2"))
    ]
    return "\n".join([*faces, (FRONTEND / "verdict.css").read_text(encoding="utf-8")])
