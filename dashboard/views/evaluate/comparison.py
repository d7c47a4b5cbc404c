"""Other runs on the same images: paired differences, all curves; and published results where they compare."""

from __future__ import annotations

import streamlit as st

from core.errors import LabError, NotEnoughData
from core.evaluate import Comparison, adjusted_p
from core.evaluate.baselines import Baseline
from core.metrics import TITLES, Interval
from core.metrics.intervals import SIGNIFICANT
from core.plots import empty_figure, precision_recall_figure, roc_figure
from core.runs import Run
from core.runs.test_set.external import short_name
from core.wording import p_value, plain
from dashboard.cache import results
from dashboard.state import training_runs, widgets
from dashboard.ui import components, html_tables, notices
from dashboard.views.evaluate import external, split_scoring
from dashboard.views.evaluate.charts import curves, plain_curves
from dashboard.views.evaluate.context import SPLITS, Context

MOST = 7  # runs beside the one above
CURVES = {"roc": "ROC", "precision_recall": "Precision-recall"}
HELP = """
Scores of two models on one image go up and down together, so their difference is known far better than two intervals side by
side suggest. **DeLong** tests the difference of the two AUCs; the **bootstrap** draws the same patients for both runs; the
**exact test** looks only at images that the two runs decide differently, and the interval beside it leaves out 0 only where the
test does (Fay and Lumbard, 2021). Sensitivity and specificity are each run's own, at its
own threshold in use.

A p value says how surprising the difference would be if the runs were equally good. It does not say that a difference matters,
and after trying many runs the best one looks better than it is. So with several runs the p values of a metric are
**adjusted for the number of runs** (Holm): among runs that are all as good as the reference, the chance that any has an
adjusted p below 0.05 is at most 5 %. The intervals are those of each difference by itself.
"""


def comparing(context: Context) -> None:
    """Choose runs; their curves, and the paired comparison with each, or why there is none. Below: published results."""
    others = [run for run in training_runs.list_runs() if run.name != context.run.name and training_runs.has_model(run)]
    if not others:
        notices.info("There is no other trained run to compare with.")
    else:
        _others(context, [run.name for run in others])
    published(context)


def _others(context: Context, names: list[str]) -> None:
    left, right = html_tables.columns("comparing", (330, 520))
    with left:
        chosen = widgets.several(
            f"Compare {context.run.name} with",
            names,
            f"evaluate:with:{context.run.name}",
            most=MOST,
            default=[_likely(context, names)],
            help=f"Up to {MOST} runs. Differences are each run less {context.run.name}.",
        )
        pairs: list[tuple[Context, Comparison]] = []
        unscored: list[Run] = []
        for name in chosen:
            with notices.errors_shown():
                _compared(context, training_runs.open_run(name), pairs, unscored)
        kind = widgets.segmented("Curve", CURVES, "evaluate:compare_curve", hide_label=True) if pairs else ""
        if pairs:
            _overlay(context, [second for second, _ in pairs], kind)
    with right:
        for run in unscored:
            _not_scored(context, run)
        if not chosen:
            notices.info("Choose at least one run.")
        if len(pairs) == 1:
            _in_full(pairs[0][1])
        elif pairs:
            _several(context, pairs)


def _compared(context: Context, run: Run, pairs: list[tuple[Context, Comparison]], unscored: list[Run]) -> None:
    """Put the run to those that are compared, or to those that have not been scored; else the reason on the page."""
    found = results.evaluation(run, context.found.split)
    if found is None:
        unscored.append(run)
        return
    level = found.levels[context.level]
    if isinstance(level, str):
        notices.info(html_tables.message(f"{run.name}: {level}"))
        return
    second = Context(run, found, level)
    try:
        pairs.append((second, results.comparison(context.run, run, context.found, found, context.level)))
    except LabError as error:
        notices.warning(html_tables.message(f"{run.name}: {error}"), icon="block")


def _not_scored(context: Context, other: Run) -> None:
    """That there is nothing to compare with yet, and the button that scores it here; a test set only behind a tick, counted."""
    split = context.found.split
    if split_scoring.scoring(other, split):
        return
    key, name = f"evaluate:score_other:{other.name}", plain(other.name)
    with st.container(horizontal=True, vertical_alignment="center", key=f"sentence_{other.name}"):
        if split == "test":
            st.markdown(f":material/lock: The test set of {name} has not been evaluated.", width="stretch")
            split_scoring.confirmed_access(other, f"Score {name}", key)
        elif context.found.external is not None:
            st.markdown(f":material/lock: {name} was not evaluated on {plain(short_name(split))}.", width="stretch")
            external.confirmed_access(other, context.found.external, split, f"Score {name}", key)
        else:
            st.markdown(f"{name} has not been scored on its {SPLITS[split].lower()} set yet.", width="stretch")
            if st.button(f"Score {name}", icon=":material/play_arrow:", type="primary", key=key):
                split_scoring.score(other, split)


def _several(context: Context, pairs: list[tuple[Context, Comparison]]) -> None:
    """One metric of all runs, with differences to the reference and p values adjusted for their number; one of them in full."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        metric = widgets.select("Metric", TITLES, "evaluate:compare_metric")
        with st.popover("What is this?", icon=":material/help:"):
            st.markdown(HELP)
    adjusted = adjusted_p([found for _, found in pairs], metric)
    own = context.summary.metrics.get(metric)
    rows: list[list[Interval | str | None]] = [[f"{context.run.name} (reference)", own, "", "", ""]]
    for (second, found), p in zip(pairs, adjusted, strict=True):
        change = found.statistics.metrics[metric]
        value = second.summary.metrics.get(metric)
        if isinstance(change, str):
            rows.append([second.run.name, value, change, "", ""])
        else:
            rows.append([second.run.name, value, f"{change.difference:+.3f}", p_value(change.p), p_value(p)])
    html_tables.table(["Run", TITLES[metric], "Difference", "p", "adjusted p"], rows, stacked=True)
    matching = sorted({found.matching for _, found in pairs})
    st.caption(
        f"Differences are each run less {plain(context.run.name)}, paired on the same images, with "
        f"{pairs[0][1].statistics.confidence:.0%} intervals of each by itself. The adjusted p is for {len(pairs)} comparisons "
        f"(Holm): below {SIGNIFICANT} the runs differ. {'; '.join(map(plain, matching))}."
    )
    by_name = {second.run.name: found for second, found in pairs}
    with st.expander("All metrics against one of them"):
        name = widgets.select("Run in full", list(by_name), f"evaluate:in_full:{context.run.name}")
        _in_full(by_name[name])


def _in_full(found: Comparison) -> None:
    """Every metric of two runs, and what the comparison rests on."""
    with st.container(horizontal=True, vertical_alignment="center", key="sentence_comparison"):
        st.markdown(verdict(found), width="stretch")
        with st.popover("What is this?", icon=":material/help:", key="evaluate:compare_help"):
            st.markdown(HELP)
    for warning in found.warnings:
        notices.warning(html_tables.message(warning), icon="update")
    rows: list[list[html_tables.Cell]] = [
        [html_tables.Noted(title, note), a, b, change, p or "–"] for title, a, b, change, p, note in found.table_rows()
    ]
    html_tables.table(["Metric, and its test", found.first, found.second, "Difference", "p"], rows)
    both = found.first, found.second
    by_view = [f" {name}: thresholds by view, {words}." for name, words in zip(both, found.by_view, strict=True) if words]
    with_limits = f"with its {found.statistics.confidence:.0%} interval"
    rule = f" Score of a {found.level}: {found.rule}." if found.rule else ""
    st.caption(f"{found.matching}.{rule} A difference is {found.second} less {found.first}, {with_limits}.{''.join(by_view)}")


def _likely(context: Context, names: list[str]) -> str:
    """The first run that has scored an image of this one; the first of all where there is none."""
    mine = set(context.found.predictions["path"])
    for name in names:
        try:
            other = results.evaluation(training_runs.open_run(name), context.found.split)
        except LabError:
            continue
        if other is not None and mine & set(other.predictions["path"]):
            return name
    return names[0]


def verdict(found: Comparison) -> str:
    """Which run is better, by DeLong's paired test."""
    delong = found.statistics.auc
    if isinstance(delong, str):
        return delong
    change = delong.difference
    words = f"AUC {delong.second.value:.3f} against {delong.first.value:.3f}: a difference of {change:+.3f}, p "
    words += p_value(delong.p).replace("0.", "= 0.", 1) if delong.p >= 0.001 else "< 0.001"
    if delong.p >= SIGNIFICANT:
        return f"{words}. **Neither run is shown to be better.**"
    return f"{words}. **{plain(found.second if change.value > 0 else found.first)} is better** on these images."


def _overlay(context: Context, others: list[Context], kind: str) -> None:
    """The curves of all runs on one chart; the band is that of the reference."""
    every = (context, *others)
    height = 330 + 22 * (len(every) + 1)  # a line of the legend each
    try:
        if kind == "roc":
            chart = roc_figure({each.run.name: plain_curves(each)[0] for each in every}, band=curves(context)[1], height=height)
        else:
            chart = precision_recall_figure({each.run.name: plain_curves(each)[1] for each in every}, height=height)
    except NotEnoughData as error:
        chart = empty_figure(str(error).split(".")[0], height=height)
    title = CURVES[kind]
    saved_as = " ".join((*(each.run.name for each in every), context.found.split, context.level, title))
    alt = f"{title} curves of {len(every)} runs"
    components.chart(chart, "evaluate:compare", subject=kind, alt=alt, saved_as=saved_as)


# ---------------------------------------------------------------- published results


def published(context: Context) -> None:
    """Results from papers, only where data set and split are the same; else one sentence why."""
    found = context.found.baselines
    st.markdown("## Published results", anchors=False)
    if isinstance(found, str):
        st.markdown(f"{found[:1].upper()}{found[1:]}.".replace("..", "."))
        return
    rows = [_row(context, each) for each in found]
    html_tables.table(["Published", "Level", "Metric", "Value", "This run", "Source"], rows)
    st.caption("On the same data set and the split that it came with. Other preprocessing, other exclusions: read the source.")


def _row(context: Context, each: Baseline) -> list[Interval | str | None]:
    summary = context.found.levels.get(each.level)
    own: Interval | str | None = None
    if summary is not None and not isinstance(summary, str) and each.metric in summary.metrics:
        own = summary[each.metric]
    metric = "ROC AUC" if each.metric == "auc" else each.metric
    return [each.model, each.level, metric, f"{each.value:.3f} {each.spread}".strip(), own, f"{each.source} {each.link}"]
