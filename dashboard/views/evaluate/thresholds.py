"""Which threshold a rule would choose on validation, a look at it, and freezing it."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from core.errors import NotEnoughData
from core.evaluate.fitted import fitted_predictions
from core.evaluate.thresholds import evaluated_sets, is_frozen
from core.metrics import MIN_VIEW_PATIENTS, VIEWS, Interval, ThresholdRule, ViewThresholds
from core.metrics.by_view import choose_by_group
from core.metrics.sweep import Shares, Sweep, sweep
from core.runs.test_set.external import short_name
from core.wording import number, plain, times
from dashboard.cache import results
from dashboard.state import widgets
from dashboard.ui import html_tables, notices
from dashboard.views.evaluate.context import Context
from dashboard.views.evaluate.threshold_slider import explore

RULES = {"sensitivity": "Target sensitivity", "youden": "Youden", "cost": "Costs"}
HELP = {
    "sensitivity": "The highest threshold that still finds this share of the malignant. Usual for screening, where a miss "
    "weighs most.",
    "youden": "Where sensitivity + specificity is highest: a miss weighs as much as a false alarm, at a prevalence of a half. "
    "Seldom what a clinic wants; often what papers report.",
    "cost": "The lowest expected cost, where one missed cancer weighs as much as so many false alarms, at the prevalence of "
    "those who will be examined.",
}


def choosing(context: Context) -> None:
    """On validation: rule, what it gives, and the button that freezes it. On the test set: why not here."""
    if context.found.split != "val":
        notices.info(
            "A threshold is chosen on validation, never here: on the test set it would be fitted to the images that judge it. "
            "Switch to Validation to choose one.",
            icon="lock",
        )
        return
    left, right = html_tables.columns("choosing", (290, 290))
    with left:
        rule = chosen_rule(context)
        st.caption(HELP[rule.kind])
    with right:
        try:
            value = rule.choose(context.table["label"], context.table["score"])
        except NotEnoughData as error:
            notices.info(str(error))
            return
        outcome(context, rule, value)
        freezing(context, rule, value)


def chosen_rule(context: Context) -> ThresholdRule:
    """The rule that the widgets say; stored across pages."""
    rule = _chosen()
    per_view = widgets.toggle(
        "A threshold for each view",
        "evaluate:per_view",
        default=context.rule is not None and context.rule.per_view,
        help="By the same rule, CC and MLO images each get a threshold of their own, chosen on the validation images of that "
        f"view. It needs {MIN_VIEW_PATIENTS} patients of each class with such images; all other images are judged at the "
        "common threshold. At one threshold for all, the view whose scores are higher gets more false alarms.",
    )
    return replace(rule, per_view=per_view)


def _chosen() -> ThresholdRule:
    kind = widgets.segmented("Rule", RULES, "evaluate:rule")
    if kind == "sensitivity":
        target = widgets.slider("Target sensitivity", 0.5, 1.0, 0.01, "evaluate:target", default=0.9, format="%.2f")
        return ThresholdRule("sensitivity", target=target)
    if kind == "youden":
        return ThresholdRule("youden")
    cost = widgets.slider("A missed cancer weighs as many false alarms as", 1.0, 200.0, 1.0, "evaluate:cost", default=10.0)
    words = {"": "As in these images", "0.005": "0.5% (screening)", "0.02": "2%", "0.1": "10% (assessment)"}
    share = widgets.segmented("Prevalence of those examined", words, "evaluate:cost_prevalence")
    return ThresholdRule("cost", cost_ratio=cost, prevalence=float(share) if share else None)


def outcome(context: Context, rule: ThresholdRule, value: float) -> None:
    """What this threshold does on validation, beside the frozen one; of images also view by view, where views matter."""
    chosen = ViewThresholds(value, choose_by_group(context.table, "view", VIEWS, rule) if _views_matter(context, rule) else {})
    both = chosen, context.thresholds
    views = list(dict.fromkeys(view for each in both for view in each.own))
    found = [_at(context, each) for each in both]
    rows: list[list[Interval | str | None]] = [
        ["Threshold" + (", common" if views else ""), number(value), number(context.frozen)]
    ]
    rows += [[f"Threshold of {view}", *(number(each.of(view)) for each in both)] for view in views]
    for name, title in (("sensitivity", "Sensitivity"), ("specificity", "Specificity"), ("ppv", "PPV"), ("npv", "NPV")):
        rows.append([title, *(_only(getattr(each, name)) for each in found)])
    for view in views:
        of_view = [_at(context, each, view) for each in both]
        for name in ("sensitivity", "specificity"):
            rows.append([f"{name.capitalize()} of {view}", *(_only(getattr(each, name)) for each in of_view)])
    rows.append(["Flagged as malignant", *(f"{int(each.tp[0] + each.fp[0]):,} of {context.summary.rows:,}" for each in found)])
    html_tables.table(["On validation", "by this rule", "in use now"], rows, stacked=True)
    st.caption(
        f"By {context.units}. Both thresholds were chosen on validation, the very {context.units} that are counted here, so "
        "both columns are optimistic; the test set will show."
    )
    if chosen.notes:
        notices.info(f"{chosen.notes_words}.")
    elif rule.per_view and context.level != "image":
        st.caption(
            f"Thresholds by view are of images. {context.units.capitalize()} have the mean score of their images, of all "
            "views, and a threshold of their own; no score is recalibrated by view."
        )


def _views_matter(context: Context, rule: ThresholdRule) -> bool:
    return rule.per_view and context.level == "image"


def _at(context: Context, thresholds: ViewThresholds, view: str = "") -> Sweep:
    """The decisions on validation at these thresholds; `view`: those about its images only."""
    table = context.table if not view else context.table[context.table["view"] == view]
    scores = thresholds.shifted(table["score"], table["view"]) if thresholds.own else table["score"]
    confidence = context.summary.confidence
    return sweep(table["label"], scores, table["patient_id"], [thresholds.common], confidence=confidence)


def _only(shares: Shares) -> Interval | str:
    value = float(shares.value[0])
    return "–" if value != value else Interval(value, float(shares.low[0]), float(shares.high[0]))


def freezing(context: Context, rule: ThresholdRule, value: float) -> None:
    """Look at it with the slider, or freeze it; after the test set was evaluated only with a word that it is known."""
    run = context.run
    evaluated = evaluated_sets(run)
    already = context.same_weights and is_frozen(context.card, rule, fitted_predictions(run, context.card))
    press = False
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Try on the slider",
            icon=":material/visibility:",
            key="evaluate:look",
            disabled=_views_matter(context, rule) or context.by_view,
            help="Moves the slider there; the model keeps its own threshold. Thresholds by view have no single place on it.",
            on_click=lambda: explore(context, value),
        )
        sure = True
        if already:
            st.badge("This is what is in use", icon=":material/lock:")
        elif evaluated:
            with st.popover("Use it all the same", icon=":material/warning:"):
                st.markdown(
                    f"{_evaluated_words(evaluated)}. A threshold chosen now is chosen with that "
                    "in view: these metrics are no longer unbiased. If you continue, this is recorded and is in the report."
                )
                sure = st.checkbox("I understand; record it", key="evaluate:reopen")
                press = st.button("Use and record it", type="primary", disabled=not sure, key="evaluate:freeze")
        else:
            press = st.button("Use this threshold", type="primary", icon=":material/lock:", key="evaluate:freeze")
    st.caption(
        "This chooses a threshold by this rule"
        + (" for images, breasts and patients, each" if context.patients_known else "")
        + " on validation, and stores it with the model. "
        + (f"In use now: {_words(context.rule)}." if context.rule else "")
        + (f" Images are judged by view: {context.views_now.words}." if context.views_now.per_view else "")
    )
    if press:
        with notices.errors_shown():
            results.freeze_threshold(run, rule, reopen=bool(evaluated) and sure)
            explore(context, None)
            st.rerun()


def _evaluated_words(evaluated: dict[str, int]) -> str:
    names = {split: f"external test set {plain(short_name(split))}" for split in evaluated} | {"test": "test set"}
    said = [f"The {names[split]} of this run has been evaluated **{times(count)}**" for split, count in evaluated.items()]
    return ". ".join(said)


def _words(rule: ThresholdRule) -> str:
    """A rule in words."""
    at = "" if rule.prevalence is None else f" at a prevalence of {rule.prevalence:.1%}"
    words = {
        "sensitivity": f"a target sensitivity of {rule.target:.2f}",
        "youden": "Youden's index",
        "cost": f"costs, a missed cancer as {rule.cost_ratio:g} false alarms{at}",
    }
    return words[rule.kind] + (", for each view" if rule.per_view else "")
