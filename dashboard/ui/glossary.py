"""docs/glossary.md: read once, and shown with a search box in the sidebar of every page.

The file has a heading a term, the explanation, and lines that begin with "Source: " and "Appears on: ". It is plain text below
the headings, so that the page and the file show the same words.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import streamlit as st

from core.errors import BadConfig, LabError
from dashboard.ui import notices

FILE = Path(__file__).parents[2] / "docs" / "glossary.md"
_SOURCE, _PAGES = "Source: ", "Appears on: "
_SEARCH = "glossary:search"
NONE = "No term has all of these words. Try one of them, or its beginning."


@dataclass(frozen=True)
class Term:
    """One entry: what it is called, what it means, where that comes from, and on which pages it appears ("report": in it)."""

    name: str
    text: str
    source: str
    pages: tuple[str, ...]

    @property
    def searched(self) -> str:
        return f"{self.name} {self.text}".casefold()


def parse(text: str, source: str = "the glossary") -> tuple[Term, ...]:
    """The terms of a glossary, in their order. Raises BadConfig (a term lacks its explanation, source or pages)."""
    terms = []
    for block in f"\n{text}".split("\n## ")[1:]:
        name, _, body = block.partition("\n")
        parts = [" ".join(part.split()) for part in body.split("\n\n") if part.strip()]
        given = {mark: next((part for part in parts if part.startswith(mark)), "") for mark in (_SOURCE, _PAGES)}
        words = " ".join(part for part in parts if part not in given.values())
        if not (words and all(given.values())):
            raise BadConfig(
                f'{source}: {name.strip()}: expected an explanation, a paragraph "{_SOURCE}..." and one "{_PAGES}...". '
                "Restore the file from a copy of MammoLab"
            )
        pages = given[_PAGES].removeprefix(_PAGES).rstrip(".").split(", ")
        terms.append(Term(name.strip(), words, given[_SOURCE].removeprefix(_SOURCE), tuple(pages)))
    return tuple(terms)


@cache
def read() -> tuple[Term, ...]:
    """The terms of docs/glossary.md. Raises BadConfig (it is missing, cannot be read, or is damaged)."""
    try:
        text = FILE.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or error
        raise BadConfig(f"docs/{FILE.name}: cannot be read ({words}). Restore the file from a copy of MammoLab") from error
    return parse(text, f"docs/{FILE.name}")


def find(terms: Sequence[Term], query: str) -> list[Term]:
    """The terms that have all words of the query, those with all of them in their name first; all terms for an empty query."""
    words = query.casefold().split()
    found = [term for term in terms if all(word in term.searched for word in words)]
    return sorted(found, key=lambda term: not all(word in term.name.casefold() for word in words))


@st.fragment
def show() -> None:
    """The button that opens the glossary, which the browser has by then: it opens at once, also while a page computes."""
    with st.popover("Glossary", icon=":material/menu_book:", width="stretch"):
        query = st.text_input(
            "Search the glossary",
            placeholder="A term, or words of its explanation",
            live=True,
            label_visibility="collapsed",
            key=_SEARCH,
        )
        try:
            st.html(as_html(find(read(), query or "")))
        except LabError as error:
            notices.show_error(error)


def as_html(terms: Sequence[Term]) -> str:
    """The terms as a list of definitions that can be scrolled, also with the keyboard; a sentence where there are none."""
    rows = "".join(
        f"<dt>{html.escape(term.name)}</dt><dd>{html.escape(term.text)}</dd>"
        f'<dd class="more">{_SOURCE}{html.escape(term.source)}<br>{_PAGES}{html.escape(", ".join(term.pages))}</dd>'
        for term in terms
    )
    return (
        f'<div class="lab-terms" tabindex="0" role="region" aria-label="Glossary">{f"<dl>{rows}</dl>" if rows else NONE}</div>'
    )
