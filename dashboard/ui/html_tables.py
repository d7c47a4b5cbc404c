"""Tables and words that the tabs share."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import streamlit as st

from core.metrics import Interval
from core.wording import plain

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

_STYLE = (
    "<style>.lab-table{border-collapse:collapse;font-size:15px;line-height:22px;font-variant-numeric:tabular-nums;width:100%}"
    ".lab-table td,.lab-table th{padding:5px 18px 5px 0;text-align:left;border-bottom:1px solid rgba(128,132,149,.25);"
    "vertical-align:top}.lab-table th{font-weight:500;opacity:.75}.lab-table td.n{white-space:nowrap}"
    ".lab-table td.q{opacity:.7}.lab-table small{font-size:14px;opacity:.75;"
    "display:block}.lab-table tr.h td{font-weight:600;padding-top:14px}</style>"
)


def figure(value: Interval | str | None, spec: str = ".3f") -> str:
    """`0.812 [0.774, 0.846]`, a note as it is, or a dash."""
    if value is None:
        return "–"
    return value if isinstance(value, str) else format(value, spec)


def said(text: str) -> str:
    """A message of ours as Markdown: what stands between backticks is code, all else is shown as it is."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return plain(text)
    return "`".join(part if place % 2 else plain(part) for place, part in enumerate(parts))


def table(head: Sequence[str], rows: Sequence[Sequence[Interval | str | None]], *, stacked: bool = False) -> None:
    """An HTML table; numbers do not break, notes are quiet. A row of one cell is a heading across the table.

    `stacked`: a figure's interval stands below it, where columns are many.
    """
    lines = []
    for row in rows:
        if len(row) == 1:
            lines.append(f'<tr class="h"><td colspan="{len(head)}">{escape(figure(row[0]))}</td></tr>')
            continue
        cells = (f"<td{_kind(cell, index)}>{_text(cell, stacked)}</td>" for index, cell in enumerate(row))
        lines.append(f"<tr>{''.join(cells)}</tr>")
    heads = "".join(f"<th>{escape(each)}</th>" for each in head)
    st.html(
        f"{_STYLE}<div style='overflow-x:auto'><table class='lab-table'><thead><tr>{heads}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def halves(name: str, narrowest: tuple[int, int] = (380, 420)) -> tuple[DeltaGenerator, DeltaGenerator]:
    """Two columns, or two rows where the page has no room for both at their `narrowest`, px. `name` is unique on the page."""
    # The layout's own item, not the box in it, is what goes into another row.
    rules = (f"div:has(> .st-key-{name}-{side}) {{ min-width: {width}px; }}" for side, width in enumerate(narrowest))
    st.html(f"<style>{' '.join(rules)}</style>")
    with st.container(horizontal=True, gap="medium"):
        return st.container(width="stretch", key=f"{name}-0"), st.container(width="stretch", key=f"{name}-1")


def _text(cell: Interval | str | None, stacked: bool) -> str:
    if stacked and isinstance(cell, Interval):
        return f"{cell.value:.3f}<small>[{cell.low:.3f}, {cell.high:.3f}]</small>"
    return escape(figure(cell))


def _kind(cell: Interval | str | None, index: int) -> str:
    if isinstance(cell, Interval) or (cell is not None and len(cell) <= 24 and (index == 0 or "[" in cell)):
        return " class='n'"
    return " class='q'" if index and isinstance(cell, str) and len(cell) > 24 else ""
