"""Studies: which settings are better, over folds of the patients; what is shown, and what is not."""

from __future__ import annotations

import streamlit as st

from core.errors import LabError
from core.metrics.intervals import Interval
from core.plots import cells_figure, differences_figure
from core.studies import SearchResults, Study, StudyResults, start_process
from core.studies.results import HEADS, OPTIMISTIC
from core.wording import counted, duration, plain
from dashboard.cache import studies as results
from dashboard.state import preferences, studies, widgets
from dashboard.state.run_states import STATES
from dashboard.state.studies import Progress
from dashboard.ui import components, html_tables, notices
from dashboard.views.studies import ensemble, new_study, plan, search

REFRESH = 2.0  # seconds
NEW = "New study"
_SHOWN = "studies:shown"


def show() -> None:
    """The studies there are, and the chosen one; or the form of a new one."""
    names = [each.name for each in studies.all_studies()]
    if not names:
        notices.info(
            "No study yet. A study trains many runs over folds of the patients, and says with an interval if a setting helps.",
            icon="science",
        )
        new_study.form()
        return
    if preferences.get("study") not in (*names, NEW):
        preferences.set("study", names[0])
    chosen = widgets.select("Study", [*names, NEW], "study", hide_label=True)
    study = studies.current()
    if chosen == NEW or study is None:
        new_study.form()
        return
    one(study)


def one(study: Study) -> None:
    """How far the study is, what it says, and its runs."""
    with notices.errors_shown():
        design = study.design()
        if design.question:
            st.markdown(f"#### {plain(design.question)}")
        state = studies.progress_of(study)
        if state.workers:
            st.session_state.pop(_starting(study), None)
        active = state.workers > 0 or bool(st.session_state.get(_starting(study)))
        searched = results.search(study)
        st.session_state[_SHOWN] = _stamp(state, searched)
        st.fragment(head, run_every=REFRESH if active else None)(study)
        if not state.done:
            notices.info("Nothing is trained yet. Results appear with the first finished run.")
            if searched is None:
                runs_table(state)
            elif searched.trials:
                search.shown(searched)
            return
        found = results.results(study)
        answer(found)
        parts = {"Results": "Results", "Runs": "Runs", "Design": "Design", "Ensemble": "One model of the folds"}
        if searched is not None and design.search is not None:
            st.caption(search.winner(design.search))
            parts = {"Results": "Results", "Search": "Search", **parts}
        part = widgets.segmented("Part", parts, "studies:part", hide_label=True)
        if part == "Search" and searched is not None:
            search.shown(searched)
        elif part == "Runs":
            runs_table(state)
        elif part == "Design":
            about(study)
        elif part == "Ensemble":
            ensemble.form(study, state)
        else:
            shown_results(found)


@notices.errors_shown()
def head(study: Study) -> None:
    """Progress and what can be done; asks for the whole page when a run has ended."""
    state = studies.progress_of(study)
    searched = results.search(study, importance=False)
    if st.session_state.get(_SHOWN) != _stamp(state, searched):
        st.rerun()
    total = len(state.runs)
    trials, over = (0, 0) if searched is None else (searched.left + searched.over, searched.over)
    running = [name for name, each in state.runs.items() if each is not None and each.live]
    words = [] if searched is None else [searched.summary]
    words += [f"{state.done} of {counted(total, 'run')} trained"]
    words += [f"{state.failed} failed"] if state.failed else []
    if running:
        each = state.runs[running[0]]
        epoch = f", epoch {each.epoch + 1} of {each.epochs}" if each is not None and each.epochs else ""
        words.append(f"training {plain(running[0])}{epoch}")
    if state.workers and state.seconds_left and over == trials:
        words.append(f"about {duration(state.seconds_left)} left")
    st.progress(min(1.0, (state.done + over) / max(1, total + trials)), text=" · ".join(words))
    _buttons(study, state, failed=state.failed or (searched is not None and searched.hopeless))


def _stamp(state: Progress, searched: SearchResults | None) -> tuple[int, ...]:
    """What the whole page has to be drawn again for."""
    return state.done, state.failed, state.workers, 0 if searched is None else searched.over


def _buttons(study: Study, state: Progress, *, failed: bool | int) -> None:
    left = len(state.runs) - state.done - state.failed
    with st.container(horizontal=True):
        if state.workers:
            st.session_state.pop(_starting(study), None)
            label = "Stopping …" if study.stopping else "Stop"
            st.button(label, icon=":material/stop:", disabled=study.stopping, on_click=study.request_stop, key="studies:stop")
        elif st.session_state.get(_starting(study)):
            st.button("Starting …", disabled=True, key="studies:starting")
        else:
            if left and st.button("Train", type="primary", icon=":material/play_arrow:", key="studies:train"):
                _start(study, retry=False)
            if failed and st.button("Try failed runs again", icon=":material/refresh:", key="studies:retry"):
                _start(study, retry=True)


def _start(study: Study, *, retry: bool) -> None:
    try:
        start_process(study, retry=retry)
    except LabError as error:
        notices.show_error(str(error))
        return
    st.session_state[_starting(study)] = True
    st.rerun()


def _starting(study: Study) -> str:
    return f"studies:starting:{study.path}"


def answer(found: StudyResults) -> None:
    """The answer in words, and how far it can be trusted."""
    st.markdown(f"**{plain(found.answer)}**")
    for warning in found.warnings:
        notices.warning(plain(warning))
    st.caption(f"{found.confidence:.0%} intervals, patients taken as independent; AUC counts pairs within a fold. {OPTIMISTIC}")


def shown_results(found: StudyResults) -> None:
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
    if found.failed:
        with st.expander(f"Failed: {counted(len(found.failed), 'run')}"):
            st.markdown("\n".join(f"- {plain(name)}: {plain(reason)}" for name, reason in found.failed.items()))
    unknown = [f"{each.label}: {each.auc}" for each in found.cells if not isinstance(each.auc, Interval)]
    if unknown:
        st.caption(plain("; ".join(unknown)))


def runs_table(state: Progress) -> None:
    """Every run and what it is doing."""
    rows = []
    for name, each in state.runs.items():
        epoch = "" if each is None or not each.epochs else f"{each.epoch} of {each.epochs}"
        failure = state.failures.get(name, "")
        said = STATES["failed" if failure else "queued" if each is None else each.state][0]
        took = duration(state.seconds[name]) if state.seconds.get(name) else ""
        rows.append((name, said, epoch, took, failure if each is None else each.reason))
    html_tables.table(["Run", "State", "Epoch", "Time", "Detail"], rows)


def about(study: Study) -> None:
    """What the study asks, and the data that it asks it of."""
    design, manifest = study.design(), study.manifest()
    folds = manifest["fold_1"].astype("int64")
    rows = []
    for fold in sorted(set(folds) - {-1}):
        part = manifest[folds == fold]
        malignant = int((part["label"] == "malignant").sum())
        rows.append((str(fold + 1), f"{part['patient_id'].nunique():,}", f"{len(part):,}", f"{malignant:,}"))
    names = [f"`{name}`: {', '.join(map(str, values))}" for name, values in design.factors.items()]
    if design.search is not None:
        search.described(design.search)
    else:
        st.markdown("\n".join(f"- {each}" for each in names) or "A cross-validation: nothing is compared.")
    test = int((folds == -1).sum())
    st.caption(
        f"{design.folds} folds, {counted(design.repeats, 'repeat')}. "
        + (f"{counted(test, 'image')} of the test split take no part." if test else "The data set has no test split.")
    )
    html_tables.table(["Fold", "Patients", "Images", "Malignant images"], rows)
    if planned := study.plan().get("choices"):
        st.markdown("##### Why it is planned so")
        plan.choices(planned)
    components.download("study.yaml", (study.path / "study.yaml").read_bytes(), "study.yaml", "text/yaml", key="studies:yaml")


with components.page(
    "Studies", "A question answered with many runs: cross-validation, and settings compared on the same folds."
):
    show()
