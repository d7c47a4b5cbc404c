"""What a study has found: the answer in words, charts, and a table. Part of the Studies page."""

from __future__ import annotations

import csv
import io
import itertools

import streamlit as st

from core.metrics.intervals import Interval
from core.plots import cells_figure, differences_figure
from core.plots.study import heat_figure, levels_figure
from core.studies import Design, StudyResults
from core.studies.design import plain_value
from core.studies.results import HEADS, OPTIMISTIC
from core.wording import counted, plain
from dashboard.state import widgets
from dashboard.ui import components, html_tables, notices


def answer(found: StudyResults) -> None:
    """The answer in words, and how far it can be trusted."""
    st.markdown(f"**{plain(found.answer)}**")
    for warning in found.warnings:
        notices.warning(plain(warning))
    st.caption(f"{found.confidence:.0%} intervals, patients taken as independent; AUC counts pairs within a fold. {OPTIMISTIC}")


def shown(design: Design, found: StudyResults) -> None:
    """Charts, then the table."""
    areas = [(each.label, each.auc) for each in found.cells]
    figure = cells_figure(areas, [each.by_fold for each in found.cells])
    height = max(190, 120 + 34 * len(found.cells))  # of both: with a single row the title would lie on the axis
    others = [(each.label, each.difference) for each in found.cells[1:] if each.difference is not None]
    if others:
        left, right = html_tables.columns("study-charts", (420, 420))
        with left:
            components.chart(
                figure, "studies:cells", height=height, alt="AUC of each combination, with its folds", subject=found.study
            )
        with right:
            differences = differences_figure(others, found.cells[0].label)
            components.chart(
                differences,
                "studies:differences",
                height=height,
                alt="differences of AUC to the reference",
                subject=found.study,
            )
    else:
        components.chart(figure, "studies:cells", height=height, alt="AUC over all folds and of each fold", subject=found.study)
    heads = [head if head.startswith("AUC") else head.capitalize() for head in HEADS]
    rows: list[list[html_tables.Cell]] = []
    for each, texts in zip(found.cells, found.table_rows(), strict=True):
        row: list[html_tables.Cell] = [text.replace(" to ", "\u00a0to\u00a0") for text in texts]
        for place, metric in ((2, each.auc), (4, each.sensitivity), (5, each.specificity)):
            if isinstance(metric, Interval):
                row[place] = metric  # its limits stand below it: columns are many
        rows.append(row)
    html_tables.table(heads, rows, stacked=True)
    by_level(design, found)
    if found.failed:
        with st.expander(f"Failed: {counted(len(found.failed), 'run')}"):
            st.markdown("\n".join(f"- {plain(name)}: {plain(reason)}" for name, reason in found.failed.items()))
    unknown = [f"{each.label}: {each.auc}" for each in found.cells if not isinstance(each.auc, Interval)]
    if unknown:
        st.caption(plain("; ".join(unknown)))


def by_level(design: Design, found: StudyResults) -> None:
    """AUC by the values of one setting, or of two as a heat table; nothing where the first chart says it all."""
    names = list(design.factors)
    if not names or (len(names) == 1 and len(design.factors[names[0]]) < 3):
        return
    titles = design.cells[0].short
    st.markdown("## AUC by setting", anchors=False)
    pairs = list(itertools.combinations(names, 2)) if design.how == "full" else []
    offered = {name: titles[name] for name in names} | {f"{a} {b}": f"{titles[a]} × {titles[b]}" for a, b in pairs}
    chosen = widgets.segmented("Setting", offered, "studies:by", hide_label=True) if len(offered) > 1 else names[0]
    areas = {repr(each.settings): each.auc for each in found.cells}
    pair = next(((a, b) for a, b in pairs if f"{a} {b}" == chosen), None)
    missing = "not trained"
    if pair is not None:
        down, across = pair
        others = {name: design.factors[name][0] for name in names if name not in pair}  # at their reference
        rows = [
            [areas.get(repr({**dict.fromkeys(names), **others, down: y, across: x}), missing) for x in design.factors[across]]
            for y in design.factors[down]
        ]
        chart = heat_figure(
            (titles[down], [plain_value(each) for each in design.factors[down]]),
            (titles[across], [plain_value(each) for each in design.factors[across]]),
            rows,
        )
        if others:
            held = ", ".join(f"{titles[name]} {plain_value(value)}" for name, value in others.items())
            st.caption(f"Other settings at their reference: {held}.")
    else:
        rest = [name for name in names if name != chosen]
        lines: dict[str, dict[str, Interval | str]] = {}
        for each in found.cells:
            label = ", ".join(f"{titles[name]} {plain_value(each.settings[name])}" for name in rest)
            lines.setdefault(label, {})[plain_value(each.settings[chosen])] = each.auc
        levels = [plain_value(each) for each in design.factors[chosen]]
        lines = {label: line for label, line in lines.items() if len(line) > 1 or not rest}
        chart = levels_figure(
            titles[chosen], levels, {label: [line.get(level, missing) for level in levels] for label, line in lines.items()}
        )
    components.chart(chart, "studies:by_level", alt=f"AUC by {offered[chosen]}", subject=f"{found.study} {chosen}")


def table_csv(found: StudyResults) -> bytes:
    """The results as CSV: numbers and limits in columns of their own; empty where there is none."""
    stream = io.StringIO()
    writer = csv.writer(stream)
    metrics = ("auc", "sensitivity", "specificity", "difference")
    limits = [f"{name}{end}" for name in metrics for end in ("", "_low", "_high")]
    writer.writerow(["settings", "folds", "images", "patients", *limits, "p", "adjusted_p", "minutes"])
    for each in found.cells:
        row: list[object] = [each.label, each.folds, each.images, each.patients]
        for name in metrics:
            value = getattr(each, name)
            row += [value.value, value.low, value.high] if isinstance(value, Interval) else ["", "", ""]
        writer.writerow([*row, each.p, each.adjusted_p, each.minutes])
    return stream.getvalue().encode("utf-8-sig")
