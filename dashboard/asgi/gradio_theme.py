"""Colours, sizes and styles of the Gradio tab: those of the dashboard (see .streamlit/config.toml)."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
import streamlit as st

FRONTEND = Path(__file__).parents[1] / "ui" / "frontend"


def theme() -> gr.themes.Base:
    """The dashboard's colours and sizes, light and dark."""
    return gr.themes.Default(
        primary_hue=gr.themes.colors.indigo,
        neutral_hue=gr.themes.colors.gray,
        radius_size=gr.themes.sizes.radius_md,
        font=["Source Sans", "system-ui", "sans-serif"],
        font_mono=["ui-monospace", "Consolas", "monospace"],
    ).set(
        body_background_fill="#ffffff",
        body_background_fill_dark="#12141a",
        body_text_color="#1d2230",
        body_text_color_dark="#e7e9f0",
        body_text_color_subdued="#5b6070",
        body_text_color_subdued_dark="#a6abba",
        block_background_fill="#ffffff",
        block_background_fill_dark="#12141a",
        block_border_color="#d9dce5",
        block_border_color_dark="#343946",
        block_label_background_fill="#ffffff",
        block_label_background_fill_dark="#12141a",
        block_label_text_color="#1d2230",
        block_label_text_color_dark="#e7e9f0",
        block_label_text_size="14px",
        block_title_text_color="#1d2230",
        block_title_text_color_dark="#e7e9f0",
        block_title_text_size="14px",
        block_info_text_size="14px",
        border_color_primary="#d9dce5",
        border_color_primary_dark="#343946",
        input_background_fill="#f3f4f8",
        input_background_fill_dark="#1d2029",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="#12141a",
        background_fill_secondary="#f3f4f8",
        background_fill_secondary_dark="#1d2029",
    )


def css() -> str:
    """The tab's styles. The font is the one that Streamlit serves, one folder above the tab."""
    media = Path(st.__file__).parent / "static" / "static" / "media"
    faces = [
        f"@font-face {{ font-family: 'Source Sans'; font-weight: 200 900; font-display: swap; "
        f"src: url('../static/media/{file.name}') format('woff2'); }}"
        for file in sorted(media.glob("SourceSansVF-Upright*.woff2"))
    ]
    return "\n".join([*faces, (FRONTEND / "verdict.css").read_text(encoding="utf-8")])
