"""A search on the Studies page: the form of its ranges, and its trials in charts and a table."""

from __future__ import annotations

from typing import Any

import streamlit as st

from core.errors import BadConfig
from core.plots import METRIC_TITLES, coordinates_figure, importance_figure, trials_figure
from core.studies.search import IMPORTANCE, TOO_FEW, SearchResults, settings_text
from core.studies.search_space import STORAGE, Search, on_log_scale, parse_searched
from core.wording import counted, plain, upper_first
from dashboard.state import widgets
from dashboard.ui import components, html_tables, notices

# What is searched most: (words, setting, range as (from, to), or choices)
RANGES: dict[str, tuple[str, tuple[float, float]]] = {
    "Learning rate": ("training.learning_rate", (1e-4, 1e-2)),
    "Fine-tuning learning rate": ("training.fine_tune_learning_rate", (1e-5, 1e-3)),
    "Weight decay": ("training.advanced.weight_decay", (1e-3, 0.2)),
    "Dropout": ("model.dropout", (0.0, 0.6)),
    "Rotation (degrees)": ("augmentation.rotation", (0.0, 30.0)),
    "CLAHE clip limit": ("preprocessing.clip_limit", (1.0, 6.0)),
}
CHOICES: dict[str, tuple[str, list[Any]]] = {
    "Network": ("model.name", ["small_cnn", "tf_efficientnet_lite0"]),
    "CLAHE": ("preprocessing.clahe", [True, False]),
    "Loss": ("training.loss", ["bce", "focal"]),
    "Schedule": ("training.schedule", ["one_cycle", "cosine", "constant"]),
}
SAMPLERS = {"tpe": "By what was good so far (TPE)", "random": "At random"}
SCALES = {"linear": "Linear", "log": "Log"}


def form() -> dict[str, Any] | None:
    """Ranges and choices, and how many trials look for the best; gives the fields of a design's search, None where nothing is
    searched yet.

    Raises:
        BadConfig: a range or a line cannot be read.
    """
    asked = widgets.pills("Search", [*RANGES, *CHOICES], "study:searched", help="Settings whose best values are looked for.")
    written: list[str] = []
    space: dict[str, Any] = {}
    for words in asked:
        if words in RANGES:
            written.append(_range(words, *RANGES[words]))
        else:
            setting, choices = CHOICES[words]
            space[setting] = choices
            st.caption(f"`{setting}`: {', '.join(map(str, choices))}")
    more = st.text_area(
        "More settings, a line each",
        key="study:searched:more",
        height=80,
        placeholder="training.batch_size = 4..32 step 4",
        help="LOW..HIGH, log:LOW..HIGH, LOW..HIGH step S or [A, B], for any setting of preprocessing, model, augmentation and "
        "training.",
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        trials = widgets.whole("Trials", 2, 1_000, "study:trials", default=20)
        sampler = widgets.segmented("Propose settings", SAMPLERS, "study:sampler")
    pruning = widgets.toggle(
        "Stop hopeless trials early",
        "study:pruning",
        default=True,
        help="After the first third of its epochs, a trial is stopped once its best validation metric is below the median of "
        "the others at that epoch.",
    )
    with st.expander("Workers on several machines", icon=":material/dns:"):
        storage = widgets.text("URL of a database server", "study:storage", placeholder="postgresql://user@server/database")
        st.caption(
            f"Empty: a file in the study's folder. Where a server has a password, {STORAGE} in the environment of every worker "
            "and of the dashboard has its URL with it. The study's folder has to be shared, too."
        )
    for line in (*written, *filter(None, map(str.strip, more.splitlines()))):
        name, values = parse_searched(line, "Search:")
        if name in space:
            raise BadConfig(f"{name} is named twice. Give one range, or all its choices at once")
        space[name] = values
    if not space:
        return None
    return {"space": space, "trials": trials, "sampler": sampler, "pruning": pruning, "storage": storage.strip()}


def _range(words: str, setting: str, ends: tuple[float, float]) -> str:
    """A row with from, to and scale; gives it as a line of the command's --search."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        low, high = (
            widgets.text(f"{words} {side}", f"study:range:{setting}:{side}", placeholder=f"{end:g}").strip() or f"{end:g}"
            for side, end in zip(("from", "to"), ends, strict=True)
        )
        usual = "log" if on_log_scale(setting, *ends) else "linear"
        scale = widgets.segmented("Scale", SCALES, f"study:range:{setting}:scale", default=usual)
    return f"{setting}={scale}:{low}..{high}"


def described(search: Search) -> None:
    """What is searched, a line each."""
    lines = [
        f"- `{name}`: {plain(', '.join(map(str, each)) if isinstance(each, list) else str(each))}"
        for name, each in search.space.items()
    ]
    st.markdown("\n".join(lines))


def shown(found: SearchResults) -> None:
    """The best trial in words, the charts, and a table of all."""
    best, metric = found.best_trial, METRIC_TITLES.get(found.metric, found.metric)
    if best is not None and best.value is not None:
        which = "Best so far" if found.left else "Best"
        st.markdown(
            f"**{which}: trial {best.number}, {metric} {best.value:.3f} on its validation fold** "
            f"({plain(settings_text(best.settings))})."
        )
    st.caption(
        plain(found.summary)
        + ". The best of many trials looks better on its fold than it is: what counts are the Results, on the other folds."
    )
    finished = [each for each in found.trials if each.state == "finished" and each.value is not None]
    points = [(each.number, each.value) for each in finished if each.value is not None]
    pruned = [(each.number, each.value) for each in found.trials if each.state == "pruned" and each.value is not None]
    history = trials_figure(points, pruned, found.metric, higher_is_better=found.higher_is_better)
    left, right = html_tables.columns("search-charts", (420, 320))
    with left:
        components.chart(
            history, "studies:trials", height=340, alt="metric of each trial, and the best so far", subject=found.study
        )
    with right:
        if found.importance:
            components.chart(
                importance_figure(found.importance), "studies:importance", alt="importance of each setting", subject=found.study
            )
            st.caption(IMPORTANCE)
        else:
            notices.info(TOO_FEW)
    settings = [(each.number, each.settings, each.value) for each in finished if each.value is not None]
    lines = coordinates_figure(settings, found.metric, higher_is_better=found.higher_is_better, log=found.log)
    components.chart(lines, "studies:coordinates", alt="settings and metric of each finished trial", subject=found.study)
    st.caption("A line a finished trial: orange the best, blue the better quarter.")
    heads = [metric if head == found.metric else upper_first(head).replace("_", " ") for head in found.heads]
    html_tables.table(heads, found.table_rows())


def noted(search: Search, runs: int) -> str:
    """How much a study with this search trains, in words."""
    trials = counted(search.trials, "trial")
    return (
        f"{trials} on the first fold, then {counted(runs, 'run')} on the other folds: the settings as they are, and the best."
    )


def winner(search: Search) -> str:
    """The best trial's settings in words; "" before they are known."""
    if search.winner is None:
        return ""
    return f"Winner: trial {search.winner.trial} ({plain(settings_text(search.winner.settings))})."
