"""Another run on the same images: paired differences, both curves; and published results where they compare."""

from __future__ import annotations

import streamlit as st

from core.errors import LabError, NotEnoughData
from core.evaluate import Comparison
from core.evaluate.baselines import Baseline
from core.metrics import Interval
from core.metrics.intervals import SIGNIFICANT
from core.plots import empty_figure, roc_figure
from core.runs import Run
from core.runs.test_set.external import is_external, short_name
from core.wording import p_value, plain
from dashboard.cache import results
from dashboard.state import training_runs, widgets
from dashboard.ui import components, html_tables, notices
from dashboard.views.evaluate import split_scoring
from dashboard.views.evaluate.charts import curves
from dashboard.views.evaluate.context import SPLITS, Context

MOST = 5  # runs on the ROC chart besides the two that are compared: more colours cannot be distinguished
HELP = """
Scores of two models on one image go up and down together, so their difference is known far better than two intervals side by
side suggest. **DeLong** tests the difference of the two AUCs; the **bootstrap** draws the same patients for both runs; the
**exact test** looks only at images that the two runs decide differently, and the interval beside it leaves out 0 only where the
test does (Fay and Lumbard, 2021). Sensitivity and specificity are each run's own, at its
own threshold in use.

A p value says how surprising the difference would be if the runs were equally good. It does not say that a difference matters,
and after trying many runs the best one looks better than it is.
"""


def comparing(context: Context) -> None:
    """Choose a run; the paired comparison, or the reason why there is none. Below: published results."""
    others = [run for run in training_runs.list_runs() if run.name != context.run.name and training_runs.has_model(run)]
    if not others:
        notices.info("There is no other trained run to compare with.")
    else:
        _other(context, [run.name for run in others])
    published(context)


def _not_scored(other: Run, split: str) -> None:
    """That there is nothing to compare with yet, and the button that scores it here; a test set is not opened in passing."""
    if split == "test":
        notices.info(
            f"The test set of {plain(other.name)} has not been evaluated. Choose that run above to open it, once you "
            "are done choosing.",
            icon="lock",
        )
        return
    if split_scoring.scoring(other, split):
        return
    if is_external(split):
        notices.info(
            f"{plain(other.name)} was not evaluated on {plain(short_name(split))}. Choose that run above, then New external "
            "test.",
            icon="lock",
        )
        return
    notices.info(f"{plain(other.name)} has not been scored on its {SPLITS[split].lower()} set yet.")
    if st.button(
        f"Score {plain(other.name)}",
        icon=":material/play_arrow:",
        type="primary",
        key=f"evaluate:score_other:{other.name}",
    ):
        split_scoring.score(other, split)


def _other(context: Context, names: list[str]) -> None:
    left, right = html_tables.columns("comparing", (300, 600))
    with left:
        name = widgets.select("Compare with", names, f"evaluate:other:{context.run.name}", default=_likely(context, names))
        with notices.errors_shown():
            second = _context_of(context, name, same_images=False)
            if second is None:
                return
            try:
                found = results.comparison(context.run, second.run, context.found, second.found, context.level)
            except LabError as error:
                notices.warning(html_tables.message(str(error)), icon="block")
                return
            _overlay(context, second, [each for each in names if each != name])
    with right:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(verdict(found), width="stretch")
            with st.popover("What is this?", icon=":material/help:"):
                st.markdown(HELP)
        for warning in found.warnings:
            notices.warning(html_tables.message(warning), icon="update")
        rows = [[title, a, b, change, p or "–", note] for title, a, b, change, p, note in found.table_rows()]
        html_tables.table(["Metric", found.first, found.second, "Difference", "p", "Test"], rows)
        both = found.first, found.second
        by_view = [f" {name}: thresholds by view, {words}." for name, words in zip(both, found.by_view, strict=True) if words]
        with_limits = f"with its {found.statistics.confidence:.0%} interval"
        rule = f" Score of a {found.level}: {found.rule}." if found.rule else ""
        st.caption(
            f"{found.matching}.{rule} A difference is {found.second} less {found.first}, {with_limits}.{''.join(by_view)}"
        )


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


def _overlay(context: Context, second: Context, others: list[str]) -> None:
    """ROC curves of both runs, and of as many others as are wanted."""
    chosen = widgets.pills("More runs on the chart", others, f"evaluate:others:{context.run.name}") if others else []
    more = [found for name in chosen[:MOST] if (found := _context_of(context, name)) is not None]
    try:
        shown = {each.run.name: curves(each)[0] for each in (context, second, *more)}
        chart = roc_figure(shown, band=curves(context)[1], height=400)
    except NotEnoughData as error:
        chart = empty_figure(str(error).split(".")[0], height=400)
    components.chart(chart, "evaluate:compare", alt=f"ROC curves of {2 + len(more)} runs")
    if len(chosen) > MOST:
        st.caption(f"The chart holds {MOST + 2} runs at most: the first {MOST} of those chosen are shown.")
    if more:
        st.caption("Differences and tests are of the two runs compared. The best of many runs looks better than it is.")


def _context_of(context: Context, name: str, *, same_images: bool = True) -> Context | None:
    """Another run on the same split (and images), at the same level; None, and the reason on the page, where there is none."""
    run = training_runs.open_run(name)
    found = results.evaluation(run, context.found.split)
    if found is None:
        _not_scored(run, context.found.split)
        return None
    level = found.levels[context.level]
    if isinstance(level, str):
        notices.info(html_tables.message(f"{name}: {level}"))
        return None
    if same_images and set(found.predictions["path"]) != set(context.found.predictions["path"]):
        notices.info(f"{plain(name)} was scored on other images, so its curve does not compare.", icon="block")
        return None
    return Context(run, found, level)


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
