"""The pages, in the order of the navigation, and the ways that lead to an image on another page."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit

import streamlit as st

from dashboard.state import datasets, preferences


class Page(NamedTuple):
    """How a page is called in the navigation, its Material icon, and what it is for in a line."""

    title: str
    icon: str
    about: str = ""

    @property
    def material(self) -> str:
        return f":material/{self.icon}:"


PAGES = {
    "home": Page("Home", "home"),
    "data": Page("Data", "database", "Import images, see counts, find leaks and duplicates."),
    "inspect": Page("Inspector", "frame_inspect", "One image after each step, from file to model input."),
    "preprocess": Page("Preprocess", "tune", "Tune contrast on real images; see exactly what the model sees."),
    "train": Page("Train", "model_training", "Train with live curves. Pause, resume or close the page."),
    "runs": Page("Runs", "stacked_line_chart", "Every training, side by side with others."),
    "studies": Page("Studies", "science", "Many runs, one question: does a setting help?"),
    "evaluate": Page("Evaluate", "query_stats", "ROC, confusion matrix, threshold, the worst errors."),
    "explain": Page("Explain", "blur_on", "Heatmaps: where a score comes from."),
    "test_image": Page("Test image", "image_search", "Files in, scores out."),
    "present": Page("Present", "slideshow", "The model in a few slides, for an audience."),
}
GROUPS = {"": ["home"], "Images": ["data", "inspect", "preprocess"], "Model": [*PAGES][4:]}


def presenting() -> bool:
    """Whether the page that the browser asks for is the presentation: by its address, or by ?present=1 at any page."""
    return st.query_params.get("present") == "1" or urlsplit(st.context.url or "").path.rstrip("/").endswith("/present")


def script(name: str) -> str:
    """The page's script, as Streamlit names it."""
    return f"views/{name}/{name}.py"


def go_to(name: str) -> None:
    """Show another page; ends this run of the script."""
    st.switch_page(script(name))


def choose_image(page: str, path: str) -> None:
    """Make an image the one of a page with an image picker: from the current data set where it is in it, else by its path."""
    manifest = datasets.current_manifest()
    listed = manifest is not None and path in set(datasets.manifest_frame(manifest)["path"])
    preferences.set(f"{page}:source", "Data set" if listed else "File path")
    preferences.set(f"{page}:{'image' if listed else 'path'}", path)


def choose_explained(path: str, split: str) -> None:
    """Make an image of a run's split the one that Explain shows."""
    for key, value in (("source", split), ("filter", "All"), ("image", path)):
        preferences.set(f"explain:{key}", value)
