"""Having a split scored, and what is said of it: how many images, when, and how often its test set was used."""

from __future__ import annotations

import streamlit as st

from core.errors import LabError
from core.evaluate import Evaluation
from core.evaluate.result import excluded_words
from core.metrics import Interval
from core.metrics.levels import UNITS
from core.runs import Run
from core.runs.test_set.external import is_external
from core.runs.test_set.provenance import read_parent
from core.wording import OPTIMISTIC, counted, number, plain, times
from dashboard.cache import results
from dashboard.ui import background, chance_notices, components, html_tables, notices
from dashboard.views.evaluate import access_list, endpoint, external, tables
from dashboard.views.evaluate.context import SPLITS


def not_scored(run: Run, split: str) -> None:
    """What scoring means, and the button; the test set only behind a confirmation."""
    if is_external(split):
        external.form(run)
        return
    images = int((run.manifest()["split"] == split).sum())
    if not images:
        components.empty_state(
            f"This run has no {SPLITS[split].lower()} images",
            "Its manifest puts no image into this split. Choose the other split.",
            icon=":material/inbox:",
        )
        return
    threshold = _frozen(run)
    with st.container(border=True):
        if split == "test":
            st.markdown("## The test set has not been evaluated for this run", anchors=False)
            st.markdown(
                f"Use it once, at the very end, when you are done choosing between settings. The threshold **{threshold}** was "
                "fixed on validation. Each evaluation is counted and printed in the report."
            )
            access_list.summary(run)
            access_list.models(run)
            endpoint.form(run)
            confirmed_access(run, "Open the test set", "evaluate:start")
            with st.expander("What its test images were used for"):
                access_list.table(run)
        else:
            st.markdown("## The validation set has not been scored yet", anchors=False)
            st.markdown(f"Scores {counted(images, 'image')} with the run's best model; its threshold is **{threshold}**.")
            if st.button("Score the validation set", type="primary", icon=":material/play_arrow:", key="evaluate:start"):
                score(run, split)


def _frozen(run: Run) -> str:
    """The thresholds of images, one or by view."""
    card = run.model_card()
    return number(None) if card.threshold is None else card.image_thresholds.stated()


def confirmed_access(run: Run, label: str, key: str) -> None:
    """The button that opens the test set, behind a word about what that means and a tick that it is known."""
    with st.popover(label, icon=":material/lock_open:", type="primary"):
        st.markdown(
            f"Run **{plain(run.name)}**, threshold **{_frozen(run)}**.\n\n"
            "Its metrics on the test set are worth what they say only if nothing is chosen after seeing them: no setting, no "
            "threshold, no other run. The access is recorded and cannot be taken back."
        )
        sure = st.checkbox("I am done choosing", key=f"{key}:sure")
        if st.button("Open it", type="primary", icon=":material/lock_open:", key=key, disabled=not sure):
            score(run, "test")


def damaged(run: Run, split: str, error: LabError) -> None:
    """Why the stored metrics cannot be read, and the way to new ones."""
    notices.show_error(error)
    if split == "test":
        st.markdown("Scoring the test set again is counted as one more evaluation, as far as the count can still be read.")
        access_list.summary(run)
        confirmed_access(run, "Open the test set again", "evaluate:again")
    elif is_external(split):
        external.form(run)
    elif st.button("Score again", type="primary", icon=":material/refresh:", key="evaluate:again"):
        score(run, split)


def score(run: Run, split: str) -> None:
    """Score the split in the background."""
    with notices.errors_shown():
        with st.spinner("Loading the model", show_time=False):
            results.start_evaluation(run, split)
        st.rerun()


def scoring(run: Run, split: str) -> bool:
    """Whether the split is being scored: then with its progress, and the whole page when it is done."""
    return background.running(results.evaluation_name(run, split), on_draw=lambda: notices.require_existing(run))


def report(run: Run) -> None:
    """The button with the report."""
    with st.popover("Report", icon=":material/description:", key="evaluate:report_popover"):
        st.markdown("One HTML file with data, recipe, curves, metrics with intervals and heatmaps. It opens without internet.")
        tables.report(run)


def scored_again(run: Run, found: Evaluation) -> None:
    """The buttons that have the split scored once more, and the history of a set that should seldom be."""
    if found.split == "test":
        _history(run, found)
        with st.popover("Open again", icon=":material/refresh:"):
            st.markdown("Scores the test set again. It is counted, and the count cannot be taken back.")
            if st.button("Open it again", key="evaluate:again"):
                score(run, found.split)
    elif found.external is not None:
        external.again(run, found)
    elif st.button("Score again", icon=":material/refresh:", key="evaluate:again"):
        score(run, found.split)


def about(run: Run, found: Evaluation) -> None:
    """What was scored, when and how often; and whether the model has changed since."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if found.synthetic:
            notices.synthetic_badge("The demo set: a metric on it says nothing about real mammograms.")
        known = results.patients_known(run) if found.external is None else found.external.patients is not None
        whose = f" of {counted(found.patients, 'patient')}" if known else ", of nobody that is known"
        parts = [f"{counted(found.images, 'image')}{whose}"]
        if found.excluded:
            parts.append(excluded_words(found.excluded))
        if found.split == "test":
            parts.append(f"test set evaluated **{times(found.evaluations)}**, last {_day(found.last_evaluated)}")
        elif found.external is not None:
            parts.append(f"external test set evaluated **{times(found.evaluations)}**, last {_day(found.last_evaluated)}")
        else:
            parts.append(f"scored {_day(found.last_evaluated)}, **{OPTIMISTIC}**")
        if found.split == "val" and (words := run.model_card().validation_words):
            parts.append(words)
        parent = read_parent(run.path) if found.split == "test" else None
        if parent is not None and parent.evaluations:
            parts.append(f"{times(parent.evaluations)} more before it was forked from {plain(parent.run)}")
        st.markdown(" · ".join(parts), width="stretch")
    if found.split == "test":
        access_list.models(run)
        endpoint.declared(run)
    external.about(run, found)
    _outdated(run, found)
    chance_notices.chance_notice(run)
    if found.excluded:
        with st.expander(f"Images that were left out: {len(found.excluded)}"):
            external.listed(run, found.excluded)


def _outdated(run: Run, found: Evaluation) -> None:
    """That the model is no longer the one behind the stored metrics, where those stand on this page, and what to do."""
    card = run.model_card()
    if found.weights_sha256 != card.weights_sha256:
        why = found.outdated(card)
    else:
        scored = {level: summary for level, summary in found.levels.items() if not isinstance(summary, str)}
        moved = [
            f"{value:.3f} for {UNITS[level]}"
            for level, value in card.level_thresholds.items()
            if level in scored and not isinstance(value, str) and value != scored[level].threshold
        ]
        now = card.image_thresholds
        if now.own != found.thresholds.own:
            moved.append(f"by view {now.words}" if now.own else "one for all views")
        if not moved:
            return
        why = (
            f"The threshold has been chosen again since this split was scored: {', '.join(moved)} now. The slider and all that "
            "follows it use that; Subgroups, Compare and All numbers still show the earlier one."
        )
    task = results.evaluation_task(run, found.split)
    again = "Open the test set again" if found.split == "test" else "Evaluate it again" if found.external else "Score again"
    doing = task is not None and task.running
    notices.warning(f"{why} {'They are being made again.' if doing else f'{again} for metrics of the model as it is.'}")


def _history(run: Run, found: Evaluation) -> None:
    """What the test set was used for, and with which thresholds and weights it was scored, on demand."""
    with st.popover("History", icon=":material/history:", width="content"):
        st.markdown("Each look at the test set is a chance to choose with it in view. The report prints this history.")
        access_list.table(run)
        st.markdown("**Evaluations of the test set, with the threshold and the weights of each**")
        rows: list[list[Interval | str | None]] = [
            [_day(each.when), "scored", each.thresholds.stated(), each.weights_sha256[:8]] for each in found.history
        ]
        rows += [
            [_day(each.when), "threshold chosen again", " to ".join(one.stated() for one in each.change), each.rule]
            for each in found.refrozen
        ]
        html_tables.table(["When", "What", "Threshold", "Model or rule"], sorted(rows, key=lambda row: str(row[0])))
        if found.evaluations > len(found.history):
            st.caption("Earlier evaluations were only counted: an earlier version wrote no times.")


def _day(iso: str) -> str:
    return iso.replace("T", " ")[:16] + " UTC"
