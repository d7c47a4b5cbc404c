"""The metrics of subgroups, and which groups differ from the others."""

from __future__ import annotations

import plotly.graph_objects as go
import streamlit as st

from core.evaluate.subgroup_tests import (
    Tested,
    comparisons,
    count_tests,
    differing,
    equivalence_sentence,
    equivalent,
    omnibus_sentence,
)
from core.metrics import Interval, Subgroup
from core.metrics.features import feature_title, value_title
from core.metrics.levels import UNITS
from core.plots import forest_figure
from core.wording import counted, p_value, plain
from dashboard.state import widgets
from dashboard.ui import components, html_tables, notices
from dashboard.views.evaluate.context import Context

SHOWN = {"auc": "ROC AUC", "sensitivity": "Sensitivity", "specificity": "Specificity"}
GROUP_HELP = """
**How to read it.** A dot with its line is a group's value with its {level} interval; the shaded band is that of all images.
With many groups, one may stand out by chance alone: of ten true null hypotheses, at least one has p below 0.05 in about 40%
of studies. So each group is tested against all other images whose value is known, and the p values are **adjusted for the
number of tests** (Holm): only an adjusted p below 0.05 is worth a second look.

A group that does not differ is not shown to be equal. It is called **equivalent** only where the whole interval of its
difference lies within the margin that was set before (`evaluation.equivalence_margin`).

A group with fewer than five {people} of a class gets no number: it would be noise. Groups are counted by images.
Sensitivity and specificity are those at the threshold that was in use when the split was scored, wherever the slider stands.
"""


def subgroups(context: Context) -> None:
    """A forest of groups, and a table with numbers, tests and notes."""
    every = context.found.subgroups
    if not every:
        notices.info(
            "No column of the manifest makes groups here, or the split was scored by an earlier version: score it again."
        )
        return
    with st.container(horizontal=True, vertical_alignment="center", key="sentence_subgroups"):
        shown = widgets.segmented("Metric", SHOWN, "evaluate:subgroup_figure", hide_label=True)
        st.markdown(_finding(every), width="stretch")
        with st.popover("How to read it", icon=":material/help:"):
            st.markdown(GROUP_HELP.format(people=context.people, level=f"{context.summary.confidence:.0%}"))
    rows = _rows(every, shown)
    left, right = html_tables.columns("subgroups", (380, 420))
    with left:
        alt, saved_as = f"{SHOWN[shown]} by subgroup", context.file(f"subgroups {shown}")
        components.chart(forest(context, shown), "evaluate:forest", alt=alt, saved_as=saved_as)
    with right:
        _table(rows, shown, context.found.equivalence_margin)
    alike = equivalence_sentence(every, context.found.equivalence_margin, context.found.summary.confidence)
    st.markdown(plain(f"{omnibus_sentence(context.found.omnibus)} {alike}".strip()))
    _caption(context, every)


def _finding(rows: tuple[Subgroup, ...]) -> str:
    tests = count_tests(rows)
    odd = [
        f"{feature_title(row.feature)} {value_title(row.feature, row.value)} ({_names(differing(row))})"
        for row in rows
        if differing(row)
    ]
    if not tests:
        return "No group has enough data to be tested against the others."
    made = counted(tests, "test")
    if odd:
        return f"**{', '.join(odd)}** differ{'s' if len(odd) == 1 else ''} from the others, adjusted for {made}."
    return f"No group is shown to differ from the others, adjusted for {made}."


def _rows(every: tuple[Subgroup, ...], shown: str) -> tuple[Subgroup, ...]:
    """The groups that have this metric: a kind of lesion is one of malignant images, only their sensitivity is defined."""
    lesions = {row.feature for row in every if row.compared == "sensitivity"}
    return tuple(row for row in every if row.feature not in lesions or (shown == "sensitivity" and row.malignant_images))


def forest(context: Context, shown: str) -> go.Figure:
    """A metric (a key of SHOWN) of each group, beside that of all images."""
    rows = _rows(context.found.subgroups, shown)
    overall = context.found.summary[shown]
    named = [f"{feature_title(row.feature)}: {value_title(row.feature, row.value)}" for row in rows]
    names: dict[str, int] = {}
    unique = []
    for name, metric in zip(named, (short_note(getattr(row, shown)) for row in rows), strict=True):
        names[name] = names.get(name, 0) + 1
        unique.append((name if names[name] == 1 else f"{name} ({names[name]})", metric))
    return forest_figure(
        unique,
        title=SHOWN[shown],
        reference=overall if isinstance(overall, Interval) else None,
        chance=0.5 if shown == "auc" else None,
        height=70 + 27 * len(rows),
    )


def short_note(metric: Interval | str) -> Interval | str:
    """The metric, or in few words that there is none: for a chart."""
    return "too few of a class" if isinstance(metric, str) else metric


def _table(rows: tuple[Subgroup, ...], shown: str, margin: float) -> None:
    lines: list[list[Interval | str | None]] = []
    feature = ""
    for row in rows:
        if row.feature != feature:
            feature = row.feature
            lines.append([feature_title(feature)])
        metric = getattr(row, shown)
        adjusted = {each.name.lower(): each.adjusted for each in comparisons(row)}
        lines.append(
            [
                value_title(row.feature, row.value),
                f"{row.images:,} / {row.malignant_images:,}",
                metric.split(":")[0] if isinstance(metric, str) else metric,
                p_value(adjusted.get(shown)),
                _names(differing(row)),
                _names(equivalent(row, margin)),
            ]
        )
    html_tables.table(
        ["Group", "images / malignant", SHOWN[shown], "adjusted p", "differs in", f"equivalent in (±{margin:g})"], lines
    )


def _names(found: tuple[Tested, ...]) -> str:
    return ", ".join(each.name for each in found) or "–"


def _caption(context: Context, rows: tuple[Subgroup, ...]) -> None:
    unit = context.found.level
    notes = [] if context.level == unit else [f"By {UNITS[unit]}, whatever the level above."]
    now = context.now(context.found.summary)
    if now != context.found.threshold:
        notes.append(f"At the earlier threshold {context.found.threshold:.3f}; in use now: {now:.3f}.")
    if context.found.thresholds.per_view:
        notes.append(f"Sensitivity and specificity: every image at its view's threshold ({context.found.thresholds.words}).")
    if any(row.compared == "sensitivity" for row in rows):
        notes.append(
            "Kinds of lesions are shown under Sensitivity and compared by it; all other groups by AUC, sensitivity and "
            "specificity."
        )
    notes.append(
        "Shaded: all images. p values: two-sided, the group against all other images whose value is known, adjusted for all "
        "tests of the table (Holm)."
    )
    st.caption(" ".join(notes))
