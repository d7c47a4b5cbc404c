"""Runs: every training there is, in a table to sort and filter; one of them to act on, several side by side."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import streamlit as st

from core.metrics.chance import warning_of
from core.metrics.leakage_mark import leakage_warning_of
from core.plots import METRIC_TITLES
from core.runs import Run
from core.runs.removal import foreign, is_link
from core.wording import OPTIMISTIC, counted, duration, first_few, plain, shortened
from dashboard.cache import results
from dashboard.state import preferences, run_actions, settings, training_runs, widgets
from dashboard.state.run_states import LAUNCHERS
from dashboard.ui import chance_notices, components, notices, pages, run_controls
from dashboard.ui.html_tables import metric_text
from dashboard.views.runs import fork_form, run_table
from dashboard.views.runs.run_table import Row

SELECTED = "runs:selected"
PARTS = ["Curves", "Metrics", "Settings", "Fork", "Name and note", "Delete"]
REFRESH = 2.0  # seconds
_PAGE = "runs:page"
CHART_HEIGHT = 330
LONGEST = 1000  # characters in the columns of text
INTERVAL = 150  # px of a column with a metric and its interval


def show() -> None:
    """The table, and below it what is selected."""
    found = run_table.rows()
    if not found:
        components.nothing_trained("Nothing has been trained here.")
        return
    st.session_state[_PAGE] = what_is_shown(found)
    active = any(training_runs.is_active(each.run, each.status) for each in found)
    st.fragment(table, run_every=REFRESH if active else None)()
    chosen = [each for name in selected() for each in found if each.name == name]
    if not chosen:
        notices.info("Select a run to act on it, several to compare them.", icon="touch_app")
    elif len(chosen) == 1:
        one(chosen[0])
    else:
        several([each.run for each in chosen])


def what_is_shown(found: list[Row]) -> object:
    """Changes when the part below the table has to be drawn again."""
    return tuple(selected()), tuple((each.name, each.state) for each in found)


def selected() -> list[str]:
    """Names of the runs that are selected, in the table's order."""
    return [training_runs.current_name(name) for name in preferences.get(SELECTED, [])]


# ---------------------------------------------------------------- the table


@notices.errors_shown()
def table() -> None:
    """The filter and the runs that pass it; asks for the whole page when another state or selection needs it."""
    found = run_table.rows()
    words, states = filters(found)
    shown = [
        each for each in found if (not states or each.state in states) and all(w in each.text for w in words.lower().split())
    ]
    if not shown:
        notices.info("No run passes the filter.", icon="filter_alt_off")
        return
    names = [each.name for each in shown]
    # Selected rows are known to the browser by number: with other rows it has to be another table.
    key = "runs:table:" + hashlib.sha256("\n".join(names).encode()).hexdigest()[:12]
    st.dataframe(
        table_rows(shown),
        hide_index=True,
        key=key,
        height=min(38 + 35 * len(shown), 318),
        on_select=lambda: preferences.set(SELECTED, [names[i] for i in st.session_state[key]["selection"]["rows"]]),
        selection_mode="multi-row",
        selection_default={"selection": {"rows": [names.index(name) for name in selected() if name in names]}},
        column_config={
            "Input size": st.column_config.TextColumn(help="Height × width of what the model sees, in pixels."),
            "Duration": st.column_config.TextColumn(help="From its first start to its end; pauses count."),
            "Validation AUC": st.column_config.TextColumn(
                "Validation AUC, images",
                width=INTERVAL,
                help="ROC AUC by image of the best model on its validation images, with its interval, of the confidence level "
                f"in the run's settings; {OPTIMISTIC}.",
            ),
            "Better than chance": st.column_config.TextColumn(
                help="Whether its validation scores show that; see State detail for why not.",
            ),
            "Test AUC": st.column_config.TextColumn(
                "Test AUC, images",
                width=INTERVAL,
                help="ROC AUC by image of the last evaluation on the test set, with its interval, of the confidence level of "
                "that evaluation. Evaluate has it by "
                "breast and by patient, with the rule that makes one score of several images.",
            ),
            "Created": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm", width=150),
            "State detail": st.column_config.TextColumn(width="medium"),
            "Note": st.column_config.TextColumn(width="medium"),
        },
    )
    if st.session_state.get(_PAGE) != what_is_shown(found):
        st.rerun()


def filters(found: list[Row]) -> tuple[str, list[str]]:
    """(words that all have to be in a row, states of which it has to have one; [] for any)."""
    left, right = st.columns([2, 3], vertical_alignment="bottom")
    with left:
        words = widgets.text(
            "Filter", "runs:words", placeholder="name, model, data set, note", help="Rows that hold all of these words."
        )
    with right:
        there = list(dict.fromkeys(each.state for each in found))
        states = widgets.pills("State", there, "runs:states")
    return words, states


def what_to_know(row: Row) -> str:
    """The detail column: what is wrong or in doubt, else what it waits for or how it ended."""
    failed = row.status.reason if row.status.state == "failed" else ""
    parts = (leakage_warning_of(row.leakage), row.doubt, failed, warning_of(row.chance))
    return shortened(row.problem or " · ".join(filter(None, parts)) or row.status.reason, LONGEST)


def table_rows(rows: list[Row]) -> list[dict[str, object]]:
    """The runs as rows of the table."""
    return [
        {
            "Run": each.name,
            "State": each.state,
            "Model": each.model,
            "Input size": each.size,
            "Data set": each.data,
            "Validation AUC": metric_text(each.validation),
            "Better than chance": "not so far" if each.chance else "–" if each.validation is None else "yes",
            "Test AUC": metric_text(each.test),
            "Epochs": f"{each.status.epoch} / {each.status.epochs}" if each.status.epochs else "–",
            "Duration": "–" if each.seconds is None else duration(each.seconds),
            "State detail": what_to_know(each),
            "Note": shortened(each.note, LONGEST),
            "Created": None if each.status.created is None else datetime.fromtimestamp(each.status.created, UTC),
            "Trained by": LAUNCHERS.get(each.status.launcher, each.status.launcher),
        }
        for each in rows
    ]


# ---------------------------------------------------------------- one run


def one(row: Row) -> None:
    """What can be done with a run, and one part of its details at a time."""
    run, status = row.run, row.status
    at_work = training_runs.is_active(run, status)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"## {plain(run.name)}", anchors=False, width="stretch")
        run_controls.requests(run, status, "runs")
        if not at_work and (status.resumable or status.state == "queued") and not row.problem:
            with st.container(width=150):
                run_controls.start_button(run, status, "runs", primary=False)
        if training_runs.has_model(run) and st.button("Evaluate", icon=":material/query_stats:", key="runs:evaluate"):
            training_runs.set_current_run(run.name)
            pages.go_to("evaluate")
        if st.button("Open", type="primary", icon=":material/monitoring:", key="runs:open"):
            results.watch_run(run)
            pages.go_to("train")
    if row.problem:
        notices.show_error(f"This run's folder is damaged: {row.problem}")
    elif status.reason:
        st.markdown(plain(status.reason))
    if row.doubt:
        notices.show_error(row.doubt)
    chance_notices.chance_notice(run)
    if row.note:
        st.caption(plain(row.note))
    part = widgets.segmented("Part", PARTS, "runs:part", hide_label=True)
    with notices.errors_shown():
        if part == "Curves":
            st.fragment(curves, run_every=REFRESH if at_work else None)([run])
        elif part == "Metrics":
            metrics_table([run])
        elif part == "Settings":
            settings_table(run)
        elif part == "Fork":
            fork_form.show(run)
        elif part == "Name and note":
            name_and_note(run, at_work=at_work)
        else:
            delete(run, at_work=at_work)


def settings_table(run: Run) -> None:
    """Everything it was trained with; what config.yaml has otherwise comes first."""
    rows = run_table.settings_of(run)
    rows.sort(key=lambda each: each["This run"] == each["config.yaml"])
    different = sum(each["This run"] != each["config.yaml"] for each in rows)
    st.markdown(
        f"{different} of {len(rows)} settings differ from config.yaml; they come first."
        if different
        else "All settings are those of config.yaml."
    )
    st.dataframe(rows, hide_index=True)


def name_and_note(run: Run, *, at_work: bool) -> None:
    """Another name, and what is to be remembered about the run."""
    left, right = st.columns([2, 3], gap="large")
    with left:
        name = st.text_input("Name", value=run.name, key=f"runs:name:{run.name}", disabled=at_work)
        if st.button("Rename", key="runs:rename", disabled=at_work or name.strip() in ("", run.name)):
            with notices.errors_shown():
                run_actions.rename_run(run, name)
                st.rerun()
        if at_work:
            st.caption("A run can be renamed once nobody trains it.")
    with right:
        text = st.text_area("Note", value=run.note(), key=f"runs:note:{run.name}", height=120, max_chars=10_000)
        if st.button("Save note", key="runs:save_note", disabled=text.strip() == run.note()):
            with notices.errors_shown():
                run.set_note(text)
                st.rerun()


def delete(run: Run, *, at_work: bool) -> None:
    """Delete the folder, after the name has been typed."""
    if at_work:
        notices.info("Stop it first: a run that is training or in the queue cannot be deleted.")
        return

    words = (
        f"{plain(str(run.path))} is a link to another folder: only the link is deleted, and what it leads to stays."
        if is_link(run.path)
        else f"Deletes the folder {plain(settings.display_path(run.path))} with the model, its checkpoint, scores and report. "
        "This cannot be undone. Images and manifests are not touched."
    )
    notices.warning(words, icon="delete")
    others = foreign(run.path)
    everything = not others or st.checkbox(
        f"Also delete what MammoLab did not make: {plain(first_few(others, 10))}",
        key=f"runs:everything:{run.name}",
    )
    typed = st.text_input("Type the run's name to delete it", key=f"runs:typed:{run.name}", placeholder=run.name)
    if st.button(
        "Delete this run", icon=":material/delete:", key="runs:delete", disabled=not everything or typed.strip() != run.name
    ):
        with notices.errors_shown():
            run_actions.delete_run(run, everything=bool(others))
            st.rerun()


# ---------------------------------------------------------------- several runs


def several(runs: list[Run]) -> None:
    """Curves over each other, metrics with intervals, and the settings in which they differ."""
    st.markdown(f"## {counted(len(runs), 'run')} side by side", anchors=False)
    if not run_table.same_validation(runs):
        notices.warning("These runs were not validated on the same images: their validation metrics do not compare.")
    active = any(training_runs.is_active(run, run.status()) for run in runs)
    st.fragment(curves, run_every=REFRESH if active else None)(runs)
    left, right = st.columns(2) if len(runs) == 2 else (st.container(), st.container())
    with left:
        metrics_table(runs)
    with right:
        st.markdown("## Settings that differ", anchors=False)
        different = run_table.differences(runs)
        if different:
            st.dataframe(different, hide_index=True)
        else:
            st.markdown("None: these runs have the same configuration.")


@notices.errors_shown()
def curves(runs: list[Run]) -> None:
    """Loss and one validation metric of the runs, one colour per run."""
    metric = "auc"
    if len(runs) > 1:
        left, right = st.columns([3, 1], vertical_alignment="center")
        left.caption(
            "Solid: validation, optimistic since it chose the epoch, with a star at the best one. Dashed: training, smoothed."
        )
        with right:
            offered = {name: METRIC_TITLES[name] for name in run_table.metrics_of(runs)}
            metric = widgets.select("Validation metric", offered, "runs:metric", hide_label=True)
    subject = ", ".join(run.name for run in runs)
    if len(runs) == 1:
        found = results.monitor(runs[0])
        charts = {"loss": found.loss(CHART_HEIGHT), "metric": found.metric(runs[0].status().monitor, CHART_HEIGHT)}
    else:
        loss, chart = run_table.curves(runs, metric, CHART_HEIGHT)
        charts = {"loss": loss, "metric": chart}
    for column, (name, chart) in zip(st.columns(2), charts.items(), strict=True):
        with column:
            components.chart(chart, f"runs:{name}", subject=f"{subject}, {metric}", alt=f"{name} of {subject}")


def metrics_table(runs: list[Run]) -> None:
    """Metrics with intervals, a column per run."""
    if len(runs) > 1:
        st.markdown("## Metrics, with intervals", anchors=False)
    rows = run_table.headline(runs)
    st.dataframe(rows, hide_index=True, column_config={"Metric": st.column_config.TextColumn(width=200)})
    if len(rows) == 2:  # one of the training, and the level of its interval
        st.caption("Evaluate a run on the Evaluate page to see more metrics.")


with components.page("Runs", "Every training with its outcome: sort, filter and compare; resume, fork, rename or delete."):
    show()
