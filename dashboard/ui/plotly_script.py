"""The pages' chart library: the one that came with plotly, served by the dashboard itself."""

from __future__ import annotations


def plotly_script() -> str:
    """Its address below the dashboard; changes with the version, so that browsers can cache it for good."""
    from importlib.metadata import version

    return f"plotly-{version('plotly')}.min.js"
