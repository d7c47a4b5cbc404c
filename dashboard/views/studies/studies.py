"""Studies: which settings are better, over folds of the patients; what is shown, and what is not."""

from __future__ import annotations

from functools import partial

import streamlit as st

from core.errors import LabError
from core.studies import SearchResults, Study
from core.studies.report import study_report
from core.wording import counted, duration, plain
from dashboard.cache import studies as cached
from dashboard.state import preferences, studies, widgets
from dashboard.state.studies import Progress
from dashboard.ui import components, notices
from dashboard.views.studies import design, ensemble, manage, new_study, results, runs, search

REFRESH = 2.0  # seconds
ALL, NEW = "All studies", "New study"
_SHOWN = "studies:shown"


def show() -> None:
    """All studies as cards, the chosen one, or the form of a new one."""
    manage.outcome()
    found = studies.all_studies()
    if not found:
        notices.info(
            "No study yet. A study trains many runs over folds of the patients, and says with an interval if a setting helps.",
            icon="science",
        )
        new_study.form()
        return
    names = [each.name for each in found]
    options = [*([ALL] if len(names) > 1 else []), *names, NEW]
    if preferences.get("study") not in options:
        preferences.set("study", options[0])
    chosen = widgets.select("Study", options, "study", hide_label=True)
    if chosen == NEW:
        new_study.form()
    elif chosen == ALL:
        cards(found)
    else:
        one(next(each for each in found if each.name == chosen))


def cards(found: list[Study]) -> None:
    """Each study with its question, how far it is, and its answer so far."""
    for first in range(0, len(found), 3):
        for column, study in zip(st.columns(3), found[first : first + 3], strict=False):
            with column, st.container(border=True, height="stretch"):
                card(study)


def card(study: Study) -> None:
    """One study in a few lines."""
    st.markdown(f"**{plain(study.name)}**")
    try:
        question, state = study.design().question, studies.progress_of(study)
        if question:
            st.caption(plain(question))
        st.progress(state.done / max(1, len(state.runs)), text=f"{state.done} of {counted(len(state.runs), 'run')} trained")
        if state.workers:
            st.badge("training", color="blue")
        if state.failed:
            st.badge(f"{state.failed} failed", color="red")
        if state.done:
            st.markdown(plain(cached.results(study).answer))
    except LabError as error:
        notices.show_error(str(error))
    st.button("Open", key=f"studies:open:{study.name}", on_click=preferences.set, args=("study", study.name))


def one(study: Study) -> None:
    """How far the study is, what it says, its runs, and what can be done with it."""
    with notices.errors_shown():
        asked = study.design()
        if asked.question:
            st.markdown(f"## {plain(asked.question)}", anchors=False)
        state = studies.progress_of(study)
        if state.workers:
            studies.forget_start(study)
        active = state.workers > 0 or studies.starting(study)
        searched = cached.search(study)
        st.session_state[_SHOWN] = _stamp(state, searched)
        st.fragment(head, run_every=REFRESH if active else None)(study)
        found = cached.results(study) if state.done else None
        if found is not None:
            results.answer(found)
        elif state.failed and not active:
            words = f"No run has finished: {counted(state.failed, 'run')} failed. The reasons stand with the runs below"
            notices.warning(f"{words}, where a failed run can be tried again.")
        else:
            notices.info("Nothing is trained yet. Results appear with the first finished run.")
        if searched is not None and asked.search is not None:
            st.caption(search.winner(asked.search))
        parts = {
            **({"Results": "Results"} if found is not None else {}),
            **({"Search": "Search"} if searched is not None and searched.trials else {}),
            "Runs": "Runs",
            "Design": "Design",
            "Ensemble": "One model of the folds",
        }
        part = widgets.segmented("Part", parts, "studies:part", hide_label=True)
        if part == "Results" and found is not None:
            results.shown(asked, found)
        elif part == "Search" and searched is not None:
            search.shown(searched)
        elif part == "Design":
            design.shown(study)
        elif part == "Ensemble":
            ensemble.form(study, state)
        else:
            st.fragment(runs.shown, run_every=REFRESH if active else None)(study)


@notices.errors_shown()
def head(study: Study) -> None:
    """Progress and what can be done; asks for the whole page when a run has ended."""
    state = studies.progress_of(study)
    searched = cached.search(study, importance=False)
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
        epoch = f", epoch {min(each.epoch + 1, each.epochs)} of {each.epochs}" if each is not None and each.epochs else ""
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
            studies.forget_start(study)
            label = "Stopping …" if study.stopping else "Stop"
            st.button(label, icon=":material/stop:", disabled=study.stopping, on_click=study.request_stop, key="studies:stop")
        elif studies.starting(study):
            st.button("Starting …", disabled=True, key="studies:starting")
        else:
            if left and st.button("Train", type="primary", icon=":material/play_arrow:", key="studies:train"):
                studies.start(study)
                st.rerun(scope="app")
            if failed and st.button("Try failed runs again", icon=":material/refresh:", key="studies:retry"):
                studies.start(study, retry=True)
                st.rerun(scope="app")
        if state.done:
            components.download("Report", partial(_report, study), f"{study.name}-report.html", "text/html", "studies:report")
            table = partial(_table, study)
            components.download("Results (CSV)", table, f"{study.name}-results.csv", "text/csv", "studies:csv")
        manage.show(study)


def _report(study: Study) -> bytes:
    return study_report(study).read_bytes()


def _table(study: Study) -> bytes:
    return results.table_csv(cached.results(study))


with components.page(
    "Studies", "A question answered with many runs: cross-validation, and settings compared on the same folds."
):
    show()
