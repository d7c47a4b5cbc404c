"""Charts: one place in the page whatever their numbers, and a library from our own origin."""

from __future__ import annotations

import json

import plotly.graph_objects as go
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest

from core.wording import number
from dashboard.asgi import server
from dashboard.ui import components
from dashboard.ui.plotly_script import plotly_script


def _page() -> None:
    import plotly.graph_objects as go
    import streamlit as st

    from dashboard.ui import components

    points = st.session_state.get("points", 3)
    components.chart(go.Figure(go.Scatter(y=list(range(points)))), "curve", height=300)


def test_a_chart_with_more_points_is_still_the_same_element() -> None:
    app = AppTest.from_function(_page).run()
    assert not app.exception
    (before,) = app.get("bidi_component")
    app.session_state["points"] = 4
    app.run()
    (after,) = app.get("bidi_component")
    assert before.proto.json != after.proto.json
    assert before.proto.id == after.proto.id


def test_the_chart_library_is_served_from_our_own_origin_and_kept_by_the_browser() -> None:
    client = TestClient(Starlette(routes=[route for route in server.routes() if "plotly" in route.path]))
    answer = client.get(f"/{plotly_script()}")
    assert answer.status_code == 200
    assert "javascript" in answer.headers["content-type"]
    assert "immutable" in answer.headers["cache-control"]
    assert len(answer.content) > 1_000_000


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.000"),
        (1.12e-7, "1.1e-07"),
        (-0.0004, "-4.0e-04"),
        (0.0005, "0.001"),
        (0.25, "0.250"),
        (2e6, "2.0e+06"),
        (None, "–"),
    ],
)
def test_no_number_reads_as_zero_that_is_none(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(("asked", "drawn"), [(20, 20), (9, 14)])
def test_text_of_a_chart_is_as_large_as_the_figure_asks_and_never_below_14_px(asked: int, drawn: int) -> None:
    figure = go.Figure(go.Scatter(x=[0, 1], y=[0, 1])).update_layout(font_size=asked)
    layout = json.loads(components.as_drawn(figure)["figure"])["layout"]
    assert layout["xaxis"]["tickfont"]["size"] == layout["yaxis"]["title"]["font"]["size"] == drawn
    assert layout["legend"]["font"]["size"] == drawn
