"""The options of an importer as fields in plain words: choices, switches, text. Part of the Data page.

Every option of ours has its words here; those of an importer that another package registers are lines of text.
"""

from __future__ import annotations

import re
from typing import Any

import streamlit as st

from core.data.importers import IMPORTERS, Importer
from core.data.importers.folder_layout import ClassFolder
from core.data.label_rules import RULES

TITLES = {
    "patient_pattern": "Patient number in file names",
    "verify": "How thoroughly to check files",
    "rule": "Malignant and benign by",
    "split": "Train and test",
    "lesions": "Lesions",
    "image": "Images",
    "images": "Images",
    "copies": "Augmented copies",
    "odd": "Odd-numbered films show the … breast",
    "inbreast": "Folder of INbreast itself, if you have it",
    "benign": "Names that mean benign",
    "malignant": "Names that mean malignant",
    "train": "Words that mean training",
    "val": "Words that mean validation",
    "test": "Words that mean test",
    "root": "Folder that paths start from",
    "keep": "More columns to take over",
    "path_column": "Column with the file",
    "label_column": "Column with the label",
    "patient_column": "Column with the patient",
    "laterality_column": "Column with the side",
    "view_column": "Column with the view",
    "split_column": "Column with the split",
}
CHOICES = {  # answers of an option, with what they mean; the first one is its default
    "verify": {"auto": "decode all, or headers only above 1 GB", "all": "decode every file", "header": "read headers only"},
    "split": {
        "repaired": "as published, each patient on one side",
        "official": "exactly as published",
        "none": "made here when training starts",
    },
    "lesions": {"both": "masses and calcifications", "mass": "masses only", "calc": "calcifications only"},
    "image": {"full": "whole films", "crop": "crops around lesions"},
    "images": {"2d": "2D images", "all": "all, also synthesised ones"},
    "copies": {"first": "one of each image", "all": "all, grouped by patient"},
    "odd": {"left": "left, as marked on the films", "right": "right, as in the README"},
}
SWITCHES = {  # (words, answer when off, which is the default, answer when on); boxes is on at first
    "masks": ("Take in files that look like masks", "leave", "import"),
    "normals": ("Take in normal films as benign", "skip", "benign"),
    "unlabelled": ("Keep rows without a label, for predictions", "leave", "keep"),
    "boxes": ("Read masks for the lesions' boxes (slower)", "no", "yes"),
}
FIRST = ("rule", "split", "image", "images", "copies", "normals", "odd", "patient_pattern", "label_column", "patient_column")
ON = ("boxes",)
MEANINGS = {"": "not used", "benign": "benign", "malignant": "malignant"}
ASKED_APART = "classes"  # of `folder`: by `class_meanings`
_ANSWERED, _ALONE = "|".join([*CHOICES, *SWITCHES]), "|".join(name for name in TITLES if "_" in name)
_SPELLED = re.compile(rf"\b(?:(?P<name>{_ANSWERED})=(?P<value>\w+)|(?P<alone>{_ALONE})\b)")
_SHORT = 44  # characters of answers that are shown side by side


def fields(importer: Importer) -> dict[str, Any]:
    """A field for each option, what few people need folded away; only what differs from the default is passed on."""
    asked = {name: words for name, words in importer.options.items() if name != ASKED_APART}
    first = [name for name in asked if name in FIRST or importer.name not in IMPORTERS]
    chosen = {name: _option(importer, name, asked[name]) for name in first}
    if len(first) < len(asked):
        with st.expander("More options"):
            chosen |= {name: _option(importer, name, words) for name, words in asked.items() if name not in first}
    return {name: value for name, value in chosen.items() if value}


def class_meanings(folders: list[ClassFolder]) -> str:
    """What each folder means, asked; the option `classes`, "" while nothing was said."""
    st.markdown("**What do these folders mean?** Look at the data set's description: 1 may be any lesion, 0 normal or benign.")
    said = []
    for folder in folders:
        label = st.segmented_control(
            f"{folder.name} · {folder.files:,} files",
            list(MEANINGS),
            format_func=MEANINGS.__getitem__,
            default=folder.likely,
            key=f"import:class:{folder.name}",
            required=True,
        )
        if label:
            said.append(f"{folder.name}={label}")
    return ",".join(said)


def in_page_words(text: str) -> str:
    """A text that spells options as the command takes them (odd=right, patient_pattern), in the words of their fields."""
    return _SPELLED.sub(_named, text)


def _named(found: re.Match[str]) -> str:
    name, value = found["name"] or found["alone"], found["value"] or ""
    if name in SWITCHES:
        title, _, on = SWITCHES[name]
        return f'"{title}"' if value == on else f'"{title}" switched off'
    answer = CHOICES.get(name, {}).get(value, value)
    return f'"{TITLES[name]}: {answer}"' if answer else f'"{TITLES[name]}"'


def rules_of(importer: Importer) -> list[str]:
    """The label rules that suit it, the default first."""
    words = [part.split(":")[0].replace("(default)", "").strip() for part in importer.options.get("rule", "").split(";")]
    return [name for name in words if name in RULES]


def _option(importer: Importer, name: str, words: str) -> str:
    """The field of one option; "" where it is left at its default."""
    key = f"import:{importer.name}:{name}"
    title = TITLES.get(name, name.replace("_", " ").capitalize())
    if name == "rule" and (rules := rules_of(importer)):
        rule = str(st.selectbox(title, rules, format_func=lambda each: RULES[each].description, key=key, help=words))
        return "" if rule == rules[0] else rule
    if name in SWITCHES:
        title, off, on = SWITCHES[name]
        value = on if st.toggle(title, value=name in ON, key=key, help=words) else off
        return "" if value == (on if name in ON else off) else value
    if name in CHOICES:
        answers = CHOICES[name]
        draw: Any = st.segmented_control if sum(map(len, answers.values())) <= _SHORT else st.selectbox
        more = {"default": next(iter(answers)), "required": True} if draw is st.segmented_control else {}
        answer = str(draw(title, list(answers), format_func=answers.__getitem__, key=key, help=words, **more))
        return "" if answer == next(iter(answers)) else answer
    return st.text_input(title, help=words, placeholder="found by itself" if name.endswith("_column") else "", key=key).strip()
