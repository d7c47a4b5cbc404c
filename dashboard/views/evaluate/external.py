"""Another collection as an external test set: chosen here, evaluated, described, and beside the internal test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from core.evaluate import Evaluation
from core.evaluate.external import accesses_of, use_before, use_of
from core.evaluate.external_set import ExternalSet
from core.evaluate.opened_set import COPIES_LATER, OpenedSet
from core.evaluate.result import Excluded
from core.evaluate.sources import DEPENDS, compare_sources
from core.metrics import Interval
from core.runs import Run
from core.runs.test_set.accesses import counts_in_words
from core.runs.test_set.external import external_name, is_external, named, short_name
from core.runs.test_set.models import TestSetUse, seen_words
from core.runs.test_set.provenance import read_entries
from core.wording import counted, plain, times, upper_first
from dashboard.access.paths import require_allowed
from dashboard.cache import results
from dashboard.state import datasets, preferences, settings, widgets
from dashboard.ui import components, html_tables, notices, test_set_access
from dashboard.views.evaluate import access_list
from dashboard.views.evaluate.context import NEW, SPLITS, Context

WHAT = (
    "The run's frozen model, thresholds and calibration on images of another source. Patients and files that the run was "
    "trained, tuned or is tested on are left out and counted. Nothing can be chosen on it."
)


def splits_of(run: Run) -> dict[str, str]:
    """What can be looked at: the run's own splits, its external test sets by name, and the way to a new one."""
    found = {split: f"External: {short_name(split)}" for split in results.external_splits(run)}
    chosen = str(preferences.get("evaluate:split", ""))
    if is_external(chosen) and results.evaluation_task(run, chosen) is not None:  # it is being scored, or failed
        found.setdefault(chosen, f"External: {short_name(chosen)}")
    return SPLITS | found | {NEW: "New external test"}


# ---------------------------------------------------------------- a new one


def form(run: Run) -> None:
    """Choose a collection, see what of it counts, and have it scored behind a tick."""
    with st.container(border=True):
        st.markdown("## Test on another collection", anchors=False)
        st.markdown(WHAT)
        own = run.path / "manifest.csv"
        found = {str(path): settings.display_path(path) for path in datasets.find_manifests() if path != own.resolve()}
        if not found:
            components.empty_state(
                "No other data set",
                "Import the other collection first.",
                icon=":material/database:",
                page="data",
                action="Data",
            )
            return
        left, right = st.columns(2)
        with left:
            path = Path(widgets.select("Collection", found, "evaluate:external:manifest"))
        with right:
            default = short_name(external_name(path))
            name = st.text_input(
                "Name", value=default, key=f"evaluate:external:name:{path}", help="What the set is called from now on."
            )
        with notices.errors_shown():
            split = named(name.strip() or default)
            with st.spinner("Comparing it with the run's data", show_time=False):
                opened, keys = results.external_preview(run, require_allowed(path))
            _preview(run, opened)
            _seen(use_before(run, opened, keys, split), opened.about)
            _open(run, path, split, opened)


def _preview(run: Run, opened: OpenedSet) -> None:
    about = opened.about
    parts = [f"**{about.size_words}**", plain(about.source_words)]
    if about.unlabelled:
        parts.append(plain(about.unlabelled_words))
    count = len(opened.overlap)
    is_are = "is" if count == 1 else "are"
    parts.append(
        f"{counted(count, 'image')} of the run's own patients or files {is_are} left out"
        if count
        else "no patient or file of the run is among them"
    )
    st.markdown(" · ".join(parts))
    st.caption(f"{upper_first(COPIES_LATER)}: this count may grow.")
    if opened.overlap:
        with st.expander(f"Images that are left out: {count}"):
            listed(run, opened.overlap)
    for doubt in about.doubts:
        notices.warning(plain(f"{upper_first(doubt)}."))


def listed(run: Run, excluded: Sequence[Excluded]) -> None:
    """Images that were left out, with their reasons; those of a test set that has not been evaluated without their names."""
    named_ones = [(item, "" if test_set_access.is_sealed(item.path, run) else item.path) for item in excluded]
    rows = [
        {
            "image": Path(path).name or "a test image",
            "truth": item.label if path else "",
            "reason": item.reason,
            "path": path,
        }
        for item, path in named_ones
    ]
    st.dataframe(rows, hide_index=True)


def _open(run: Run, path: Path, split: str, opened: OpenedSet) -> None:
    """The button, behind a tick; where another set has the name, behind another one."""
    stored = read_entries(run.path).get(split) or {}
    taken = not opened.is_stored(stored)
    replaces = False
    if taken:
        notices.warning(f"This run has another external test set called {plain(short_name(split))}. Choose another name.")
        replaces = st.checkbox("Replace it: its metrics go, the record of its accesses stays", key="evaluate:external:replace")
    sure = st.checkbox("I am done choosing: no setting, threshold or run follows from it", key="evaluate:external:sure")
    ready = sure and (replaces or not taken)
    label = "Evaluate on it again" if stored.get("opened") and not taken else "Evaluate on it"
    if st.button(label, type="primary", icon=":material/lock_open:", key="evaluate:external:start", disabled=not ready):
        score(run, path, split, replaces=replaces)


def score(run: Run, path: Path, split: str, *, replaces: bool = False) -> None:
    """Score the collection in the background, and show it from now on."""
    with notices.errors_shown():
        with st.spinner("Loading the model", show_time=False):
            results.start_external(run, require_allowed(path), split, replaces=replaces)
        preferences.set("evaluate:split", split)
        st.rerun()


# ---------------------------------------------------------------- described


def about(run: Run, found: Evaluation) -> None:
    """What is external, who saw it before, and what could not be compared."""
    if found.external is None:
        return
    known = found.external
    lines = [
        plain(upper_first(known.source_words)),
        f"manifest {plain(settings.display_path(known.manifest))} ({known.size_words})",
    ]
    st.markdown(f":material/public: {' · '.join([*lines, *filter(None, [plain(known.unlabelled_words)])])}")
    _seen(use_of(run, found), known)
    for doubt in known.doubts:
        notices.warning(plain(f"{upper_first(doubt)}."))
    if found.refrozen:
        notices.warning(
            f"The threshold was chosen again after this set had been evaluated {times(found.refrozen[-1].evaluations)}."
        )


def _seen(use: TestSetUse, known: ExternalSet) -> None:
    words = seen_words(use, known.patients is not None)
    st.markdown(f":material/groups: {plain(' '.join(words[: len(words) - bool(use.gap)]))}")
    if use.gap:
        notices.warning(plain(use.gap))


def again(run: Run, found: Evaluation) -> None:
    """Score it once more, from the manifest it was read from; and every access so far."""
    with st.popover("History", icon=":material/history:", width="content"), notices.errors_shown():
        lines = accesses_of(run, found)
        counts: dict[str, int] = {}
        for each in lines:
            counts[each.kind] = counts.get(each.kind, 0) + each.times * each.counts
        st.markdown(f"On record: {counts_in_words({kind: count for kind, count in counts.items() if count})}.")
        access_list.listing(lines)
    with st.popover("Evaluate again", icon=":material/refresh:"):
        st.markdown("Scores the external test set again. It is counted, and the count cannot be taken back.")
        path = Path(found.external.manifest) if found.external is not None else Path()
        offered = path in datasets.find_manifests()
        if not offered:
            st.caption("Its manifest is no longer among the data sets: import it again and choose New external test.")
        if st.button("Evaluate it again", key="evaluate:again", disabled=not offered):
            score(run, path, found.split)


def confirmed_access(run: Run, about: ExternalSet, split: str, label: str, key: str) -> None:
    """The button that has another run scored on the same set, behind a tick; the manifest must still be among the data sets."""
    path = Path(about.manifest)
    offered = path in datasets.find_manifests()
    with st.popover(label, icon=":material/lock_open:", type="primary"):
        st.markdown(f"{WHAT} The access is recorded and cannot be taken back.")
        if not offered:
            st.caption("Its manifest is no longer among the data sets: import it again.")
        sure = st.checkbox("I am done choosing", key=f"{key}:sure", disabled=not offered)
        if st.button("Evaluate on it", type="primary", icon=":material/lock_open:", key=key, disabled=not sure):
            score(run, path, split)


# ---------------------------------------------------------------- beside the internal test


def sources(context: Context) -> None:
    """Internal and external metrics side by side, at the level above; a table for each external set."""
    chosen = context.found.split if is_external(context.found.split) else ""
    names = [chosen] if chosen else results.external_splits(context.run)
    internal = results.evaluation(context.run, "test")
    if not names:
        notices.info("This run has no external test. Choose New external test above to evaluate it on another collection.")
        return
    if internal is None:
        notices.info("The run's own test set has not been evaluated, so nothing stands beside the external test.", icon="lock")
        return
    for split in names:
        with notices.errors_shown():
            external = results.evaluation(context.run, split)
            if external is not None:
                _side_by_side(context, internal, external)


def _side_by_side(context: Context, internal: Evaluation, external: Evaluation) -> None:
    name = short_name(external.split)
    found = compare_sources(internal, external)[context.level]
    several = external.external.collection_words if external.external is not None else ""
    st.markdown(f"## Internal test and {plain(f'{name} ({several})' if several else name)}", anchors=False)
    if isinstance(found, str):
        notices.info(plain(found))
        return
    rows: list[list[Interval | str | None]] = [
        [
            row.title,
            row.internal,
            row.external,
            f"{row.difference:+.3f}" if isinstance(row.difference, Interval) else row.difference,
        ]
        for row in found.rows
    ]
    rows.append(["Share of malignant", *(f"{share:.1%}" for share in found.shares), ""])
    html_tables.table(["Metric", "Internal test", f"External: {name}", "External less internal"], rows)
    st.caption(
        f"By {context.units}, with {' and '.join(sorted({f'{each:.0%}' for each in found.confidence}))} intervals, at the "
        f"thresholds that the sets were evaluated at. Independent samples: limits by square-and-add. What {DEPENDS} has no "
        "difference. The two are never pooled."
    )
