"""All runs in a table, and several of them side by side: what the Runs page shows, read from their folders.

Each part is read once and again when its file changes, so that a hundred runs cost a hundred looks at status.json.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from core.config import Config
from core.errors import LabError
from dashboard.cache import results
from dashboard.state import services
from dashboard.state.run_states import STATES, state_of
from dashboard.state.services import stamp
from dashboard.ui import forms

if TYPE_CHECKING:
    from core.metrics import Interval
    from core.runs.run import Run
    from core.runs.status import Status

Figure = tuple[float, float, float]  # value, and the ends of its 95 % interval
VALIDATION = "Validation (optimistic)"


@dataclass(frozen=True)
class Row:
    """A run in the table; what is not known, or does not exist, is None or ""."""

    run: Run
    status: Status
    state: str
    problem: str
    doubt: str  # figures that cannot be read, and why
    model: str
    size: str
    data: str
    validation: Figure | None
    test: Figure | None
    note: str
    chance: str = ""  # why its model has not shown to be better than chance

    @property
    def name(self) -> str:
        return self.run.name

    @property
    def seconds(self) -> float | None:
        """From its first start to its end, or until now; pauses and the time until it was resumed count."""
        status = self.status
        if status.started is None:
            return None
        end = time.time() if status.live else status.finished or status.heartbeat or status.started
        return max(0.0, end - status.started)

    @property
    def text(self) -> str:
        """What a search looks through."""
        return " ".join((self.name, self.state, self.model, self.size, self.data, self.note, self.problem, self.doubt)).lower()


def rows() -> list[Row]:
    """All runs, newest first; one with a damaged folder has a `problem`."""
    return [row(run) for run in services.all_runs()]


def row(run: Run) -> Row:
    """One run."""
    status = run.status()
    if not run.readable_name:  # no cache of a page takes its path
        empty: dict[str, Any] = {"model": "", "size": "", "data": "", "validation": None, "test": None, "note": "", "doubt": ""}
        return Row(run=run, status=status, state=STATES["damaged"][0], problem=run.problem, **empty)
    config, problem = results.config_of(run)
    problem = _irregular(run) or status.problem or problem
    validation, wrong_validation = _validation(str(run.path), stamp(run.path / "predictions" / "val.csv"))
    test, wrong_test = _test(str(run.path), stamp(run.path / "evaluation.json"), stamp(run.path / "model.json"))
    height, width = config.preprocessing.shape if config else (0, 0)
    return Row(
        run=run,
        status=status,
        state=(STATES["damaged"] if problem else state_of(status, run))[0],
        problem=problem,
        doubt=" ".join(dict.fromkeys(filter(None, (wrong_validation, wrong_test)))),
        model=config.model.name if config else "",
        size=f"{height} × {width}" if config else "",
        data=_data(config) if config else "",
        validation=validation,
        test=test,
        note=run.note(),
        chance=services.chance(run),
    )


def _irregular(run: Run) -> str:
    """What of the folder leads elsewhere, in words; "" when nothing does."""
    from core.runs.folder import irregular_entry

    found = irregular_entry(run.path)
    return f"{found}, where a run has regular files and folders only. Take it out, or delete the run." if found else ""


def _data(config: Config) -> str:
    manifest = config.data.manifest
    return services.display_path(manifest.parent if manifest.name == "manifest.csv" else manifest)[: results.LONGEST]


@st.cache_data(max_entries=1024, show_spinner=False)
def _validation(path: str, changed: int) -> tuple[Figure | None, str]:
    """ROC AUC of the kept model on validation, where there is one, and what keeps it from being read; patients, not images,
    make the interval."""
    if not changed:
        return None, ""
    from core.evaluate import read_predictions
    from core.metrics.delong import auc_interval
    from core.runs.run import Run

    try:
        scored = read_predictions(Run(Path(path)), "val")
    except LabError as error:
        return None, results.one_line(str(error))
    try:
        return _figure(auc_interval(scored["label"], scored["score"], scored["patient_id"])), ""
    except (ValueError, LabError):  # too few patients: the table has a dash
        return None, ""


@st.cache_data(max_entries=1024, show_spinner=False)
def _test(path: str, changed: int, model_changed: int) -> tuple[Figure | None, str]:
    """ROC AUC of the last evaluation on the test set, if it is of the model as it is now, and what keeps it from being read."""
    from core.runs.run import Run
    from core.runs.test_set.provenance import read_entries

    run = Run(Path(path))
    try:
        card = run.model_card() if model_changed else None
        test = read_entries(run.path).get("test") if changed else None
    except LabError as error:
        return None, results.one_line(str(error))
    if not test or not card or test.get("weights_sha256") != card.weights_sha256:
        return None, ""
    try:
        figure = test["metrics"]["auc"]
        return (float(figure["value"]), float(figure["low"]), float(figure["high"])), ""
    except (ValueError, LookupError, TypeError, OverflowError) as error:
        return None, results.one_line(f"evaluation.json: the entry of test is damaged ({type(error).__name__}: {error}).")


def _figure(interval: Interval) -> Figure:
    return interval.value, interval.low, interval.high


def figure_text(figure: Figure | None) -> str:
    """`0.812 [0.740, 0.870]`, or a dash."""
    return "–" if figure is None else f"{figure[0]:.3f} [{figure[1]:.3f}, {figure[2]:.3f}]"


# ---------------------------------------------------------------- side by side


def curves(runs: Sequence[Run], metric: str, height: int) -> tuple[Any, Any]:
    """(loss, metric) figures of several runs."""
    from core.plots import losses_figure, metrics_figure

    watches = {run.name: results.watch(run) for run in runs}
    with ExitStack() as stack:
        for watch in watches.values():
            stack.enter_context(watch.held)
        histories = {name: watch.history for name, watch in watches.items()}
        return losses_figure(histories, height=height), metrics_figure(histories, metric, height=height)


def metrics_of(runs: Sequence[Run]) -> list[str]:
    """The validation figures that any of these runs has, in the order in which they are offered."""
    from core.plots import METRIC_TITLES

    there = {name for run in runs for name in (results.watch(run).last.get("epoch", {}).get("val") or {})}
    return [name for name in METRIC_TITLES if name in there] or ["auc"]


def differences(runs: Sequence[Run]) -> list[dict[str, str]]:
    """The settings in which these runs differ, a row each: "Setting", and a column a run. Unreadable ones are left out."""
    configs = {run.name: config for run in runs if (config := results.config_of(run)[0])}
    base = next(iter(configs.values()), None)
    if base is None:
        return []
    paths = list(dict.fromkeys(path for config in configs.values() for path in forms.changed(config, base)))
    order = {path: number for number, path in enumerate(forms.all_paths())}
    return [
        {"Setting": forms.title_of(path)} | {name: _said(forms.value_of(config, path)) for name, config in configs.items()}
        for path in sorted(paths, key=order.__getitem__)
        if path != "checkpoints"
    ]


def settings_of(run: Run) -> list[dict[str, str]]:
    """Every setting of a run and what config.yaml has now: "Setting", "This run", "config.yaml". Raises BadRun."""
    config, now = run.config(), services.settings()
    return [
        {
            "Setting": forms.title_of(path),
            "This run": _said(forms.value_of(config, path)),
            "config.yaml": _said(forms.value_of(now, path)),
        }
        for path in forms.all_paths()
        if path != "checkpoints"
    ]


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Path):
        return services.display_path(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {item}" for key, item in value.items()) or "–"
    if isinstance(value, tuple | list):
        return " × ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def headline(runs: Sequence[Run]) -> list[dict[str, str]]:
    """Figures with intervals, a row each: "Figure", and a column a run. From evaluations where there are some."""
    from core.metrics import TITLES, Interval

    table: list[dict[str, str]] = []
    columns = {run.name: row(run) for run in runs}
    table.append(
        {"Figure": f"{VALIDATION} · ROC AUC, images"} | {name: figure_text(each.validation) for name, each in columns.items()}
    )
    for split, title in (("val", VALIDATION), ("test", "Test")):
        found = {}
        for run in runs:
            try:
                evaluation = results.evaluation(run, split)
                current = evaluation is not None and not evaluation.outdated(run.model_card())
            except LabError:
                continue  # the Evaluate page says what is wrong with it
            if evaluation is not None and current:
                found[run.name] = evaluation.summary
        for name, words in TITLES.items():
            if not found or (split == "val" and name == "auc"):
                continue
            cells = {}
            for each in columns:
                figure = found[each][name] if each in found else None
                cells[each] = figure_text(_figure(figure)) if isinstance(figure, Interval) else "–"
            table.append({"Figure": f"{title} · {words}, images"} | cells)
    return table


def same_validation(runs: Sequence[Run]) -> bool:
    """Whether all these runs were validated on the same images: only then do their figures compare."""
    return len({_validated_on(str(run.path), stamp(run.path / "manifest.csv")) for run in runs}) <= 1


@st.cache_data(max_entries=256, show_spinner=False)
def _validated_on(path: str, changed: int) -> int:
    from core.runs.run import Run

    try:
        frame = Run(Path(path)).manifest()
    except LabError:
        return 0
    return hash(tuple(sorted(frame.loc[frame["split"] == "val", "path"])))
