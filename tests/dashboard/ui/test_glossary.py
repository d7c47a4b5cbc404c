"""The glossary: one file, shown on every page."""

from __future__ import annotations

import html
from pathlib import Path

import pytest
from builders.lab_pages import HOME, open_page
from streamlit.testing.v1 import AppTest

from core.errors import BadConfig
from dashboard.ui import glossary, pages

TITLES = {"Home", "Data", "Inspector", "Preprocess", "Train", "Runs", "Studies", "Evaluate", "Explain", "Test image", "report"}


def shown(app: AppTest) -> str:
    return "".join(str(element.proto.body) for element in app.sidebar.get("html"))


def test_the_file_has_each_term_once_in_order_with_explanation_source_and_pages() -> None:
    terms = glossary.read()
    names = [term.name for term in terms]
    assert 40 <= len(names) <= 80
    assert names == sorted(names, key=str.casefold) and len({name.casefold() for name in names}) == len(names)
    for term in terms:
        assert 40 <= len(term.text) <= 400 and term.text.endswith("."), term.name
        assert term.text.count(". ") <= 2, f"{term.name}: two or three sentences"
        assert set(term.pages) <= TITLES, term.name
        assert not set("`*_[]$") & set(term.text + term.source), f"{term.name}: shown as plain text"
        if term.source.startswith("docs/"):
            assert (HOME.parents[1] / term.source.rstrip(".")).is_file(), term.source


def test_the_titles_of_pages_are_those_of_the_navigation() -> None:
    assert TITLES - {"report"} <= {page.title for page in pages.PAGES.values()}


def test_every_heading_of_the_file_is_a_term() -> None:
    headings = [line[3:] for line in glossary.FILE.read_text(encoding="utf-8").splitlines() if line.startswith("## ")]
    assert headings == [term.name for term in glossary.read()]


@pytest.mark.slow_for("data")
@pytest.mark.parametrize("view", sorted(pages.PAGES))
def test_every_page_has_the_glossary_with_all_terms(workspace: Path, view: str) -> None:
    app = open_page(view)
    told = shown(app)
    for term in glossary.read():
        assert f"<dt>{html.escape(term.name)}</dt>" in told
        assert html.escape(term.text) in told and html.escape(term.source) in told
    assert not app.exception


def test_a_search_leaves_the_terms_that_have_its_words(workspace: Path) -> None:
    app = open_page()
    box = next(each for each in app.text_input if each.label == "Search the glossary")
    told = shown(box.set_value("ClahE").run())
    assert told.count("<dt>") == 1 and "<dt>CLAHE</dt>" in told
    box = next(each for each in app.text_input if each.label == "Search the glossary")
    app = box.set_value("<b>zebra").run()
    assert "<dt>" not in shown(app) and glossary.NONE in shown(app)


def test_terms_that_are_called_so_come_before_those_that_mention_it() -> None:
    found = [term.name for term in glossary.find(glossary.read(), "ROC")]
    assert found[:3] == ["AFROC", "AUC (area under the ROC curve)", "FROC"] and "ROC curve" in found[:4]
    assert any("ROC" not in name for name in found)
    assert len(glossary.find(glossary.read(), "  ")) == len(glossary.read())
    assert [term.name for term in glossary.find(glossary.read(), "recall true positive")] == ["Sensitivity (recall)"]


def test_a_missing_file_is_said_in_the_glossary_and_the_page_stays(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glossary, "FILE", workspace / "glossary.md")
    glossary.read.cache_clear()
    try:
        app = open_page()
    finally:
        glossary.read.cache_clear()
    assert not app.exception
    assert "cannot be read (No such file" in app.error[0].value
    assert app.title[0].value


@pytest.mark.parametrize("lacks", ["Explained.", "Source: a book.", "Appears on: Home."])
def test_a_term_that_lacks_a_part_is_named(lacks: str) -> None:
    whole = "# G\n\n## Term\n\nExplained.\n\nSource: a book.\n\nAppears on: Home.\n"
    assert glossary.parse(whole) == (glossary.Term("Term", "Explained.", "a book.", ("Home",)),)
    with pytest.raises(BadConfig, match="Term: expected"):
        glossary.parse(whole.replace(lacks, ""))
