"""Tables, columns and texts that the parts of a page share."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, NamedTuple

import streamlit as st

from core.metrics import Interval
from core.wording import plain

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator
    from streamlit.elements.lib.layout_utils import Gap


class Noted(NamedTuple):
    """A cell with a quiet line below it."""

    text: str
    note: str

    def __str__(self) -> str:
        return self.text


Cell = Interval | Noted | str | None


def metric_text(value: Cell) -> str:
    """`0.812 [0.774, 0.846]`, a note as it is, or a dash."""
    return "–" if value is None else str(value)


def message(text: str) -> str:
    """A message of ours as Markdown: what stands between backticks is code, all else is shown as it is."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return plain(text)
    return "`".join(part if place % 2 else plain(part) for place, part in enumerate(parts))


def table(head: Sequence[str], rows: Sequence[Sequence[Cell]], *, stacked: bool = False) -> None:
    """An HTML table; numbers do not break, notes are quiet. A row of one cell is a heading across the table.

    `stacked`: a metric's interval stands below it, where columns are many.
    """
    lines = []
    for row in rows:
        if len(row) == 1:
            lines.append(f'<tr class="h"><td colspan="{len(head)}">{escape(metric_text(row[0]))}</td></tr>')
            continue
        cells = (f"<td{_kind(cell, index)}>{_text(cell, stacked)}</td>" for index, cell in enumerate(row))
        lines.append(f"<tr>{''.join(cells)}</tr>")
    heads = "".join(f"<th>{escape(each)}</th>" for each in head)
    st.html(
        f"<div style='overflow-x:auto'><table class='lab-table'><thead><tr>{heads}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def columns(name: str, narrowest: Sequence[int], gap: Gap = "medium") -> list[DeltaGenerator]:
    """Columns, or rows where the page has no room for all at their `narrowest`, px. `name` is unique on the page."""
    # The layout's own item, not the box in it, is what goes into another row.
    rules = (f"div:has(> .st-key-{name}-{place}) {{ min-width: {width}px; }}" for place, width in enumerate(narrowest))
    st.html(f"<style>{' '.join(rules)}</style>")
    with st.container(horizontal=True, gap=gap):
        return [st.container(width="stretch", key=f"{name}-{place}") for place in range(len(narrowest))]


def _text(cell: Cell, stacked: bool) -> str:
    if stacked and isinstance(cell, Interval):
        return f"{cell.value:.3f}<small>[{cell.low:.3f}, {cell.high:.3f}]</small>"
    if isinstance(cell, Noted):
        return f"{escape(cell.text)}<small>{escape(cell.note)}</small>"
    return escape(metric_text(cell))


def _kind(cell: Cell, index: int) -> str:
    if isinstance(cell, Noted):
        return ""
    if isinstance(cell, Interval) or (cell is not None and len(cell) <= 24 and (index == 0 or "[" in cell)):
        return " class='n'"
    return " class='q'" if index and isinstance(cell, str) and len(cell) > 24 else ""
