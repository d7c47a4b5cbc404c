"""The switch of lesion outlines, the same on every page that draws them."""

from __future__ import annotations

from core.wording import plain
from dashboard.cache.lesions import Lesions
from dashboard.state import widgets
from dashboard.ui import notices

LABEL = "Lesion outlines"


def switch(known: bool, key: str) -> bool:
    """Whether outlines are drawn; off, and not to be switched, where no manifest says where a lesion is."""
    words = "The lesions' places as in the manifest." if known else "The manifest draws no lesion in this image."
    return widgets.toggle(LABEL, key, default=True, help=words, disabled=not known)


def problem(lesions: Lesions) -> None:
    """Why they cannot be drawn, where that is so."""
    if lesions.problem:
        notices.warning(plain(lesions.problem))
