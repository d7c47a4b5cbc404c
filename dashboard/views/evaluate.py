"""Evaluate: how good a run's model is, with intervals, and what a threshold does to its decisions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from core.config import Recipe
from core.errors import LabError, NotEnoughData
from dashboard import components, kept, pictures, results, services
from dashboard.components import Metric, duration, number
from dashboard.pictures import Tile

if TYPE_CHECKING:
    import pandas as pd

    from core.evaluate import Evaluation
    from core.metrics import Interval, Summary
    from core.training import Run

SPLITS = {"val": "Validation", "test": "Test"}
LEVELS = {"image": "Image", "breast": "Breast", "patient": "Patient"}
BELOW = ("Figures", "Mistakes", "Images", "Downloads")
CHART_HEIGHT = 330
MISTAKES = 8
AT_THRESHOLD = {
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "precision": "Precision",
    "accuracy": "Accuracy",
    "f1": "F1",
}


def show() -> None:
    """Run and split first; then the split's figures, or the way to have it scored."""
    left, middle, right = st.columns([4, 2, 3])
    with left:
        run = components.run_picker(with_model=True)
    if run is None:
        return
    with middle:
        split = kept.segmented("Split", SPLITS, "evaluate:split")
    with right:
        level = kept.segmented(
            "Scores by", LEVELS, "evaluate:level", help="Scores of one breast, or one patient, are averaged."
        )
    found = results.evaluation(run, split)
    task = results.evaluation_task(run, split)
    if task is not None and task.running:
        scoring(run, split)
    elif found is None:
        if task is not None and task.state == "failed":
            components.show_error(task.error)
        not_scored(run, split)
    if found is None:
        return
    about(run, found)
    summary = found.levels[level]
    if isinstance(summary, str):
        st.info(summary, icon=":material/info:")
        return
    studio(run, found, summary)


# ---------------------------------------------------------------- scoring a split


def not_scored(run: Run, split: str) -> None:
    """What scoring means, and the button; opening the test set is said as such."""
    images = int((run.manifest()["split"] == split).sum())
    if not images:
        components.empty_state(
            f"This run has no {SPLITS[split].lower()} images",
            "Its manifest puts no image into this split. Choose the other split.",
            icon=":material/inbox:",
        )
        return
    threshold = number(run.model_card().get("threshold"))
    with st.container(border=True):
        if split == "test":
            st.markdown("### The test set has not been opened for this run", anchors=False)
            st.markdown(
                f"It tells the truth once. The threshold **{threshold}** is frozen on validation. Each opening is counted and "
                "stands in the report: open it when you are done choosing between settings."
            )
            label, icon = "Open the test set", ":material/lock_open:"
        else:
            st.markdown("### The validation set has not been scored yet", anchors=False)
            st.markdown(f"Scores {images:,} images with the run's best model; its threshold is **{threshold}**.")
            label, icon = "Score the validation set", ":material/play_arrow:"
        if st.button(label, type="primary", icon=icon, key="evaluate:start"):
            score(run, split)


def score(run: Run, split: str) -> None:
    """Score the split in the background."""
    with components.errors_shown():
        with st.spinner("Loading the model", show_time=False):
            results.start_evaluation(run, split)
        st.rerun()


@st.fragment(run_every=0.5)
@components.errors_shown()
def scoring(run: Run, split: str) -> None:
    """Progress while a split is scored; the whole page when it is done."""
    task = results.evaluation_task(run, split)
    if task is None or not task.running:
        st.rerun()
        return
    components.task_progress(task)


def about(run: Run, found: Evaluation) -> None:
    """What was scored, when and how often; and whether the model has changed since."""
    times = "once" if found.opened == 1 else f"{found.opened} times"
    parts = [f"{found.images:,} images of {found.patients:,} patients"]
    if found.split == "test":
        parts.append(f"test set opened **{times}**, last {_day(found.last_opened)}")
    else:
        parts.append(f"scored {_day(found.last_opened)}")
    if found.excluded:
        parts.append(f"{len(found.excluded)} left out")
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if found.synthetic:
            st.badge("SYNTHETIC", color="orange", help="The demo set: a figure on it says nothing about real mammograms.")
        st.markdown(" · ".join(parts), width="stretch")
        if found.split == "test":
            with st.popover("Open again", icon=":material/refresh:"):
                st.markdown("Scores the test set anew. It is counted, and the count cannot be taken back.")
                if st.button("Open it again", key="evaluate:again"):
                    score(run, found.split)
        elif st.button("Score again", icon=":material/refresh:", key="evaluate:again"):
            score(run, found.split)
    if run.model_card().get("weights_sha256", "") != found.weights_sha256:
        st.warning("The run's model has changed since these figures were made (it trained on). Score again.")
    if found.excluded:
        with st.expander("Images that were left out"):
            st.dataframe([{"image": item.path, "reason": item.reason} for item in found.excluded], hide_index=True)


def _day(iso: str) -> str:
    return iso.replace("T", " ")[:16] + " UTC"


# ---------------------------------------------------------------- the threshold studio


@st.fragment
@components.errors_shown()
def studio(run: Run, found: Evaluation, summary: Summary) -> None:
    """Everything that answers to the threshold slider; only this reruns when it moves."""
    from core.metrics import at_level, confusion

    table = at_level(found.predictions, summary.level)  # type: ignore[arg-type]
    labels, scores = table["label"], table["score"]
    threshold = threshold_slider(run, found, float(scores.min()), float(scores.max()))
    counts = confusion(labels, scores, threshold)
    cards(summary, counts, exploring=threshold != found.threshold)
    charts(found, summary, table, threshold)
    below = kept.segmented("Below the charts", BELOW, "evaluate:below", hide_label=True)
    if below == "Figures":
        figures(summary)
    elif below == "Mistakes":
        mistakes(run, found, threshold)
    elif below == "Images":
        images(found, threshold)
    else:
        downloads(run, found)


def threshold_slider(run: Run, found: Evaluation, low: float, high: float) -> float:
    """The slider, at the frozen threshold until it is moved; says so when it only explores. Gives the exact threshold."""
    frozen = round(found.threshold, 3)
    key = f"evaluate:threshold:{run.name}:{found.weights_sha256[:8]}"
    bottom = round(max(0.0, min(low, frozen) - 0.01), 3)
    top = round(min(1.0, max(high, frozen) + 0.01), 3)
    slider, reset, words = st.columns([6, 2, 5], vertical_alignment="bottom")
    with slider:
        label = "Threshold: a score from here on is called malignant"
        chosen = kept.slider(label, bottom, top, 0.001, key, default=frozen, format="%.3f")
    moved = round(chosen, 3) != frozen
    with reset:
        st.button(
            "Reset",
            icon=":material/restart_alt:",
            disabled=not moved,
            key="evaluate:reset",
            on_click=lambda: services.remember(key, None),
            width="stretch",
        )
    with words:
        target = (
            "" if found.target_sensitivity is None else f" for a sensitivity of {found.target_sensitivity:.2f} on validation"
        )
        if moved:
            st.markdown(f":orange-badge[exploring] Nothing is changed: the model decides at **{found.threshold:.3f}**.")
        else:
            st.markdown(f":green-badge[frozen] The model's own threshold, chosen{target}.")
    return chosen if moved else found.threshold


def cards(summary: Summary, counts: Any, *, exploring: bool) -> None:
    """AUC and the figures at the threshold; with their intervals at the frozen one, beside the frozen figure elsewhere."""
    shown = {name: getattr(counts, name) if exploring else None for name in AT_THRESHOLD}
    items = [_card(AT_THRESHOLD[name], summary[name], value) for name, value in shown.items()]
    components.metric_cards([_card("ROC AUC", summary["auc"], None), *items])


def _card(title: str, figure: Interval | str, explored: float | None) -> Metric:
    if explored is not None:
        frozen = "–" if isinstance(figure, str) else f"{figure.value:.3f}"
        return Metric(title, number(explored), f"frozen: {frozen}", "Exploring: no interval. Reset to see the frozen figure's.")
    if isinstance(figure, str):
        return Metric(title, "–", "too little data", figure)
    return Metric(title, f"{figure.value:.3f}", f"[{figure.low:.3f}, {figure.high:.3f}]", _interval_words(figure))


def _interval_words(figure: Interval) -> str:
    return {
        "wilson": "Wilson's interval with the number of images that the patients are worth.",
        "delong": "DeLong's interval, on the logit scale.",
        "obuchowski": "Obuchowski's interval for several images a patient, on the logit scale.",
    }.get(figure.method, "Bootstrap interval: patients resampled, not images.")


def charts(found: Evaluation, summary: Summary, table: pd.DataFrame, threshold: float) -> None:
    """ROC with its interval, confusion matrix and score histogram, side by side."""
    from core.metrics import confusion
    from core.plots import confusion_figure, empty_figure, roc_figure, score_histogram

    labels, scores = table["label"], table["score"]
    left, middle, right = st.columns(3)
    with left:
        try:
            curve, band = results.roc_curve(found, summary.level)
            chart = roc_figure({found.split: curve}, band=band, threshold=threshold, height=CHART_HEIGHT)
            chart.update_traces(cliponaxis=False, selector={"mode": "markers"})
        except NotEnoughData as error:
            chart = empty_figure(str(error).split(".")[0], height=CHART_HEIGHT)
        components.figure(chart, "evaluate:roc")
    with middle:
        components.figure(confusion_figure(confusion(labels, scores, threshold), height=CHART_HEIGHT), "evaluate:confusion")
    with right:
        components.figure(score_histogram(labels, scores, threshold, height=CHART_HEIGHT), "evaluate:histogram")


# ---------------------------------------------------------------- below the charts


def figures(summary: Summary) -> None:
    """The table of figures at the frozen threshold."""
    st.markdown(
        f"At the frozen threshold {summary.threshold:.3f}. {summary.confidence:.0%} intervals from {summary.samples:,} "
        f"resamples of {summary.patients:,} patients: {summary.malignant_patients:,} with a malignant and "
        f"{summary.benign_patients:,} with a benign {summary.level}."
    )
    rows = "".join(
        f"<tr><td>{title}</td><td>{value}</td><td>{interval}</td><td>{note}</td></tr>"
        for title, value, interval, note in summary.table_rows()
    )
    st.html(
        "<style>.lab-figures{border-collapse:collapse;font-size:15px;font-variant-numeric:tabular-nums}"
        ".lab-figures td,.lab-figures th{padding:5px 28px 5px 0;text-align:left;border-bottom:1px solid rgba(128,132,149,.25)}"
        ".lab-figures th{font-weight:500;opacity:.7}</style>"
        "<table class='lab-figures'><tr><th>Figure</th><th>Value</th>"
        f"<th>{summary.confidence:.0%} interval</th><th>Note</th></tr>{rows}</table>"
    )


def mistakes(run: Run, found: Evaluation, threshold: float) -> None:
    """The worst missed cancers and false alarms as the model saw them, on black; a click opens Explain."""
    table = found.predictions
    called = table["score"] >= threshold
    malignant = table["label"] == "malignant"
    missed = table[malignant & ~called].sort_values("score")
    alarms = table[~malignant & called].sort_values("score", ascending=False)
    recipe = Recipe.model_validate(run.model_card()["recipe"])  # not from the loaded model: loading it takes seconds
    for title, rows, key in (("Missed cancers", missed, "missed"), ("False alarms", alarms, "alarms")):
        worst = f", the {MISTAKES} worst" if len(rows) > MISTAKES else ""
        st.markdown(f"#### {title}: {len(rows):,}{worst}", anchors=False)
        if rows.empty:
            st.markdown("None at this threshold.")
            continue
        tiles = [_tile(row, recipe) for row in rows.head(MISTAKES).itertuples()]
        picked = pictures.gallery(tiles, key=f"evaluate:{key}", columns=MISTAKES, height=170, clickable=True)
        if picked:
            explain(picked, found.split)


def _tile(row: Any, recipe: Any) -> Tile:
    side = f"{row.laterality} {row.view}".strip()
    label, caption, color = f"{row.score:.3f}", side or Path(row.path).name, pictures.label_color(row.label)
    try:
        return Tile(results.input_thumbnail(row.path, recipe), caption, label, color, row.path)
    except LabError as error:
        return Tile(b"", caption, label, color, row.path, str(error))


def explain(path: str, split: str) -> None:
    """Open an image on the Explain page."""
    services.remember("explain:source", split)
    services.remember("explain:filter", "All")
    services.remember("explain:image", path)
    st.switch_page(components.PAGES["explain"])


def images(found: Evaluation, threshold: float) -> None:
    """Every scored image; click a heading to sort, a row to explain it."""
    table = found.predictions
    called = table["score"] >= threshold
    malignant = table["label"] == "malignant"
    shown = table.assign(
        image=[Path(path).name for path in table["path"]],
        decision=called.map({True: "malignant", False: "benign"}),
        outcome=[_outcome(*pair) for pair in zip(malignant, called, strict=True)],
    )[["image", "patient_id", "laterality", "view", "label", "score", "decision", "outcome"]]
    state = st.dataframe(
        shown,
        hide_index=True,
        key=f"evaluate:table:{found.run}:{found.split}",
        on_select="rerun",
        selection_mode="single-row",
        height=420,
        column_config={
            "image": st.column_config.TextColumn("Image", width="medium"),
            "patient_id": "Patient",
            "laterality": "Side",
            "view": "View",
            "label": "Truth",
            "score": st.column_config.NumberColumn("Score", format="%.3f"),
            "decision": "Decision",
            "outcome": "Outcome",
        },
    )
    rows = state["selection"]["rows"]
    if st.button(
        "Explain the selected image" if rows else "Select a row to explain its image",
        icon=":material/blur_on:",
        disabled=not rows,
        key="evaluate:explain",
    ):
        explain(str(table["path"].iloc[rows[0]]), found.split)


def _outcome(malignant: bool, called: bool) -> str:
    if malignant:
        return "found" if called else "missed cancer"
    return "false alarm" if called else "cleared"


def downloads(run: Run, found: Evaluation) -> None:
    """The predictions as CSV, and the report as one HTML file."""
    left, right = st.columns(2)
    with left.container(border=True, height="stretch"):
        st.markdown("#### Predictions", anchors=False)
        st.markdown(f"{found.images:,} rows: path, patient, side, view, label, split, score.")
        content = (run.path / "predictions" / f"{found.split}.csv").read_bytes()
        st.download_button(
            "Download CSV",
            content,
            f"{run.name}-{found.split}.csv",
            "text/csv",
            icon=":material/download:",
            on_click="ignore",
            key="evaluate:csv",
        )
    with right.container(border=True, height="stretch"):
        st.markdown("#### Report", anchors=False)
        st.markdown("One self-contained HTML file: data, recipe, curves, figures with intervals, heatmaps. Opens offline.")
        report(run)


@components.errors_shown()
def report(run: Run) -> None:
    """Make the report in the background, then offer it."""
    task = results.report_task(run)
    path = run.path / "report.html"
    if task is not None and task.running:
        st.fragment(_report_progress, run_every=1.0)(run)
        return
    if task is not None and task.state == "failed":
        components.show_error(task.error)
    with st.container(horizontal=True):
        if path.is_file():
            st.download_button(
                "Download report",
                path.read_bytes(),
                f"{run.name}-report.html",
                "text/html",
                icon=":material/download:",
                on_click="ignore",
                key="evaluate:report",
            )
        if st.button(
            "Make it again" if path.is_file() else "Make the report", icon=":material/description:", key="evaluate:make"
        ):
            results.start_report(run)
            st.rerun()


def _report_progress(run: Run) -> None:
    task = results.report_task(run)
    if task is None or not task.running:
        st.rerun()
        return
    st.markdown(f":material/hourglass_top: Writing the report, {duration(task.seconds)} so far")


with components.page(
    "Evaluate", "How good the model is on patients it has never seen, and what a threshold does to its decisions."
):
    show()
