"""All runs in a table, and several of them side by side: what the Runs page shows, read from their folders.

Each part is read once and again when its file changes, so that a hundred runs cost a hundred looks at status.json.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from core.config import Config
from core.errors import LabError
from dashboard import forms, results, services
from dashboard.services import stamp
from dashboard.states import STATES, state_of

if TYPE_CHECKING:
    from core.metrics import Interval
    from core.training.run import Run
    from core.training.status import Status

Figure = tuple[float, float, float]  # value, and the ends of its 95 % interval


@dataclass(frozen=True)
class Row:
    """A run in the table; what is not known, or does not exist, is None or ""."""

    run: Run
    status: Status
    state: str
    problem: str
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
        return " ".join((self.name, self.state, self.model, self.size, self.data, self.note, self.problem)).lower()


def rows() -> list[Row]:
    """All runs, newest first; one with a damaged folder has a `problem`."""
    return [row(run) for run in services.runs()]


def row(run: Run) -> Row:
    """One run."""
    status = run.status()
    config, problem = _config(str(run.path), stamp(run.path / "config.yaml"))
    problem = status.problem or problem
    height, width = config.preprocessing.shape if config else (0, 0)
    return Row(
        run=run,
        status=status,
        state=(STATES["damaged"] if problem else state_of(status, run))[0],
        problem=problem,
        model=config.model.name if config else "",
        size=f"{height} × {width}" if config else "",
        data=_data(config) if config else "",
        validation=_validation(str(run.path), stamp(run.path / "predictions" / "val.csv")),
        test=_test(str(run.path), stamp(run.path / "evaluation.json"), stamp(run.path / "model.json")),
        note=run.note(),
        chance=services.chance(run),
    )


def config_of(run: Run) -> Config | None:
    """What the run was set up with; None where that cannot be read."""
    return _config(str(run.path), stamp(run.path / "config.yaml"))[0]


def _data(config: Config) -> str:
    manifest = config.data.manifest
    return services.display_path(manifest.parent if manifest.name == "manifest.csv" else manifest)


@st.cache_resource(max_entries=1024, show_spinner=False)
def _config(path: str, changed: int) -> tuple[Config | None, str]:
    from core.training.run import Run

    try:
        return Run(Path(path)).config(), ""
    except LabError as error:
        return None, str(error)


@st.cache_data(max_entries=1024, show_spinner=False)
def _validation(path: str, changed: int) -> Figure | None:
    """ROC AUC of the kept model on validation; patients, not images, make the interval."""
    if not changed:
        return None
    import pandas as pd

    from core.metrics.delong import auc_interval

    try:
        scored = pd.read_csv(Path(path) / "predictions" / "val.csv", dtype={"patient_id": "str"})
        return _figure(auc_interval(scored["label"], scored["score"], scored["patient_id"]))
    except (OSError, ValueError, KeyError, LabError):  # too few patients, or not ours to read: the table has a dash
        return None


@st.cache_data(max_entries=1024, show_spinner=False)
def _test(path: str, changed: int, model_changed: int) -> Figure | None:
    """ROC AUC of the last evaluation on the test set, if it is of the model as it is now."""
    from core.training.run import Run

    try:
        test = json.loads((Path(path) / "evaluation.json").read_text(encoding="utf-8"))["test"]
        card = Run(Path(path)).model_card()
        if test["weights_sha256"] != card["weights_sha256"]:
            return None
        figure = test["metrics"]["auc"]
        return float(figure["value"]), float(figure["low"]), float(figure["high"])
    except (LabError, OSError, ValueError, KeyError, TypeError):
        return None


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
    configs = {run.name: config for run in runs if (config := config_of(run))}
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
    table.append({"Figure": "Validation · ROC AUC"} | {name: figure_text(each.validation) for name, each in columns.items()})
    for split, title in (("val", "Validation"), ("test", "Test")):
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
            table.append({"Figure": f"{title} · {words}"} | cells)
    return table


def same_validation(runs: Sequence[Run]) -> bool:
    """Whether all these runs were validated on the same images: only then do their figures compare."""
    return len({_validated_on(str(run.path), stamp(run.path / "manifest.csv")) for run in runs}) <= 1


@st.cache_data(max_entries=256, show_spinner=False)
def _validated_on(path: str, changed: int) -> int:
    try:
        frame = services.manifest_frame(Path(path) / "manifest.csv")
    except LabError:
        return 0
    return hash(tuple(sorted(frame.loc[frame["split"] == "val", "path"])))
