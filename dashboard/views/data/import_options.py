"""The options of an importer as fields with plain titles, choices where there are few answers. Part of the Data page."""

from __future__ import annotations

import streamlit as st

from core.data.importers import Importer

TITLES = {
    "patient_pattern": "Patient number in file names",
    "verify": "How thoroughly to check files",
    "odd": "Odd-numbered films show the … breast",
    "normals": "Normal films",
    "masks": "Files that look like masks",
    "benign": "Names that mean benign",
    "malignant": "Names that mean malignant",
    "train": "Words that mean training",
    "val": "Words that mean validation",
    "test": "Words that mean test",
    "root": "Folder that paths start from",
    "keep": "More columns to take over",
}
CHOICES = {  # answers of an importer's option, with what they mean; the first one is its default
    "verify": {"": "decode all, or headers only above 1 GB", "all": "decode every file", "header": "read headers only"},
    "odd": {"": "left, as marked on the films", "right": "right, as in the README"},
    "normals": {"": "leave them out", "benign": "take them in as benign"},
    "masks": {"": "leave them out", "import": "take them in"},
}


def fields(importer: Importer) -> dict[str, str]:
    """A field for each option of the importer; only what was filled in is passed on."""
    if not importer.options:
        return {}
    with st.expander("Options"):
        typed = {name: _option(importer.name, name, words) for name, words in importer.options.items()}
    return {name: text for name, text in typed.items() if text}


def _option(importer: str, name: str, words: str) -> str:
    """The field of one option: a choice where there are few answers, else a line of text. "" is its default."""
    key = f"import:{importer}:{name}"
    default = name.removesuffix("_column").replace("_", " ")
    title = TITLES.get(name) or (f"Column with the {default}" if name.endswith("_column") else default.capitalize())
    if name in CHOICES:
        return str(st.selectbox(title, list(CHOICES[name]), format_func=CHOICES[name].__getitem__, help=words, key=key))
    return st.text_input(title, help=words, placeholder=words, key=key).strip()
