"""Where the server answers for live previews and tiles: named by itself and by the pages that ask."""

from __future__ import annotations

PREVIEWS = "tune"  # first part of the path


def preview_url(token: str) -> str:
    """The address of what a token stands for (see dashboard.cache.previews), below the dashboard's."""
    return f"{PREVIEWS}/{token}/"
