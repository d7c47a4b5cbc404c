"""Several warnings take the room of one, and none is lost."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest


def page(texts: tuple[str, ...]) -> None:
    import streamlit as st

    from dashboard.ui import notices

    notices.warnings(texts)
    st.markdown("below")


def shown(*texts: str) -> AppTest:
    app = AppTest.from_function(page, args=(texts,)).run()
    assert not app.exception
    return app


def test_the_first_warning_is_on_the_page_and_the_others_open_beside_it() -> None:
    app = shown("air is not black", "file_name is cut", "the model is [new]", "file_name is cut")
    assert [each.value for each in app.warning] == ["Air is not black.", "file\\_name is cut.", "The model is \\[new\\]."]
    (popover,) = app.get("popover")
    assert popover.proto.popover.label == "2 more"
    assert [each.value for each in popover.warning] == ["file\\_name is cut.", "The model is \\[new\\]."]


def test_a_single_warning_and_none_have_no_button() -> None:
    assert [each.value for each in shown("air is not black").warning] == ["Air is not black."]
    assert not shown("air is not black").get("popover")
    assert not shown().warning
