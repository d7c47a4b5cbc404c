"""All runs in a table, and several of them side by side: what the Runs page shows, read from their folders.

Each part is read once and again when its file changes, so that a hundred runs cost a hundred looks at status.json.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from core.config import Config, EvaluationConfig
from core.errors import LabError
from core.evaluate import read_predictions
from core.metrics import TITLES, Interval
from core.metrics.delong import auc_interval
from core.plots import METRIC_TITLES, losses_figure, metrics_figure
from core.runs import Run
from core.runs.folder import irregular_entry
from core.runs.status import Status
from core.runs.test_set.provenance import read_entries
from core.wording import setting, shortened
from dashboard.cache import results
from dashboard.state import models, settings, training_runs
from dashboard.state.file_stamps import of_run, stamp
from dashboard.state.run_states import STATES, state_of
from dashboard.ui import forms
from dashboard.ui.html_tables import metric_text

VALIDATION = "Validation (optimistic)"
CONFIDENCE_ROW = "Confidence level of the intervals"


@dataclass(frozen=True)
class Row:
    """A run in the table; what is not known, or does not exist, is None or ""."""

    run: Run
    status: Status
    state: str
    problem: str
    doubt: str = ""  # metrics that cannot be read, and why
    model: str = ""
    size: str = ""
    data: str = ""
    validation: Interval | None = None
    test: Interval | None = None
    note: str = ""
    chance: str = ""  # why its model is not shown to be better than chance
    leakage: str = ""  # what leaks between its splits

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
    return [row(run) for run in training_runs.all_runs()]


def row(run: Run) -> Row:
    """One run."""
    status = run.status()
    if not run.readable_name:  # no cache of a page takes its path
        return Row(run, status, STATES["damaged"][0], run.problem)
    config, problem = results.config_of(run)
    problem = _irregular(run) or status.problem or problem
    validation, wrong_validation = _validation(run, _level(config))
    test, wrong_test = _test(run)
    height, width = config.preprocessing.shape if config else (0, 0)
    return Row(
        run=run,
        status=status,
        state=(STATES["damaged"] if problem else state_of(status, run))[0],
        problem=problem,
        doubt=" ".join(dict.fromkeys(filter(None, (wrong_validation, wrong_test)))),
        model=models.ensemble(run)[0] or (config.model.name if config else ""),
        size=f"{height} × {width}" if config else "",
        data=_data(config) if config else "",
        validation=validation,
        test=test,
        note=run.note(),
        chance=models.chance(run),
        leakage=models.leakage(run),
    )


def _irregular(run: Run) -> str:
    """What of the folder leads elsewhere, in words; "" when nothing does."""
    found = irregular_entry(run.path)
    return (
        f"The entry {found}, where a run has regular files and folders only. Take it out, or delete the run." if found else ""
    )


def _level(config: Config | None) -> float:
    """The level of confidence of a run's intervals, in (0, 1); of one whose settings cannot be read, the usual one."""
    return (EvaluationConfig() if config is None else config.evaluation).confidence


def _data(config: Config) -> str:
    manifest = config.data.manifest
    return settings.display_path(manifest.parent if manifest.name == "manifest.csv" else manifest)[: results.LONGEST]


@st.cache_data(max_entries=1024, show_spinner=False, hash_funcs=of_run("predictions/val.csv"))
def _validation(run: Run, confidence: float) -> tuple[Interval | None, str]:
    """ROC AUC of the best model on validation, with its interval over patients, and why it cannot be read."""
    if not (run.path / "predictions" / "val.csv").exists():
        return None, ""
    try:
        scored = read_predictions(run, "val")
    except LabError as error:
        return None, shortened(str(error), results.LONGEST)
    try:
        return auc_interval(scored["label"], scored["score"], scored["patient_id"], confidence=confidence), ""
    except (ValueError, LabError):  # too few patients: the table has a dash
        return None, ""


@st.cache_data(max_entries=1024, show_spinner=False, hash_funcs=of_run("evaluation.json", "model.json"))
def _test(run: Run) -> tuple[Interval | None, str]:
    """ROC AUC of the last evaluation on the test set, if it is of the model as it is now, and why it cannot be read."""
    try:
        card = run.model_card() if stamp(run.path / "model.json") else None
        test = read_entries(run.path).get("test") if stamp(run.path / "evaluation.json") else None
    except LabError as error:
        return None, shortened(str(error), results.LONGEST)
    if not test or not card or test.get("weights_sha256") != card.weights_sha256:
        return None, ""
    try:
        auc = test["metrics"]["auc"]
        return Interval(float(auc["value"]), float(auc["low"]), float(auc["high"])), ""
    except (ValueError, LookupError, TypeError, OverflowError) as error:
        words = f"evaluation.json: the entry of test is damaged ({type(error).__name__}: {error})."
        return None, shortened(words, results.LONGEST)


# ---------------------------------------------------------------- side by side


def curves(runs: Sequence[Run], metric: str, height: int) -> tuple[Any, Any]:
    """(loss, metric) charts of several runs."""
    monitors = {run.name: results.monitor(run) for run in runs}
    with ExitStack() as stack:
        for monitor in monitors.values():
            stack.enter_context(monitor.lock)
        histories = {name: monitor.history for name, monitor in monitors.items()}
        return losses_figure(histories, height=height), metrics_figure(histories, metric, height=height)


def metrics_of(runs: Sequence[Run]) -> list[str]:
    """The validation metrics that any of these runs has, in the order in which they are offered."""
    there = {name for run in runs for name in (results.monitor(run).last.get("epoch", {}).get("val") or {})}
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
        {"Setting": forms.title_of(path)} | {name: _shown(forms.value_of(config, path)) for name, config in configs.items()}
        for path in sorted(paths, key=order.__getitem__)
        if path != "checkpoints"
    ]


def settings_of(run: Run) -> list[dict[str, str]]:
    """Every setting of a run and what config.yaml has now: "Setting", "This run", "config.yaml". Raises BadRun."""
    config, now = run.config(), settings.current()
    return [
        {
            "Setting": forms.title_of(path),
            "This run": _shown(forms.value_of(config, path)),
            "config.yaml": _shown(forms.value_of(now, path)),
        }
        for path in forms.all_paths()
        if path != "checkpoints"
    ]


def _shown(value: Any) -> str:
    return settings.display_path(value) if isinstance(value, Path) else setting(value)


def headline(runs: Sequence[Run]) -> list[dict[str, str]]:
    """Metrics with intervals, a row each: "Metric", and a column per run. From evaluations where there are some."""
    columns = {run.name: row(run) for run in runs}
    auc = {name: metric_text(each.validation) for name, each in columns.items()}
    table: list[dict[str, str]] = [{"Metric": f"{VALIDATION} · ROC AUC, images"} | auc]
    levels = {run.name: {VALIDATION: _level(results.config_of(run)[0])} for run in runs}
    for split, title in (("val", VALIDATION), ("test", "Test")):
        found = {}
        for run in runs:
            try:
                evaluation = results.evaluation(run, split)
                current = evaluation is not None and not evaluation.outdated(run.model_card())
            except LabError:
                continue  # the Evaluate page shows what is wrong with it
            if evaluation is not None and current:
                found[run.name] = evaluation.summary
                levels[run.name][title] = evaluation.summary.confidence
        for name, words in TITLES.items():
            if not found or (split == "val" and name == "auc"):
                continue
            known = {run: metric for run, summary in found.items() if isinstance(metric := summary[name], Interval)}
            cells = {each: metric_text(known.get(each)) for each in columns}
            table.append({"Metric": f"{title} · {words}, images"} | cells)
    return [*table, {"Metric": CONFIDENCE_ROW} | {name: _levels_text(found) for name, found in levels.items()}]


def _levels_text(levels: Mapping[str, float]) -> str:
    """`95%`, or where validation and test have different ones `95% (validation), 80% (test)`."""
    if len(set(levels.values())) == 1:
        return f"{next(iter(levels.values())):.0%}"
    return ", ".join(f"{level:.0%} ({title.split(' ')[0].lower()})" for title, level in levels.items())


def same_validation(runs: Sequence[Run]) -> bool:
    """Whether all these runs were validated on the same images: only then do their metrics compare."""
    return len({_validated_on(run) for run in runs}) <= 1


@st.cache_data(max_entries=256, show_spinner=False, hash_funcs=of_run("manifest.csv"))
def _validated_on(run: Run) -> int:
    try:
        frame = run.manifest()
    except LabError:
        return 0
    return hash(tuple(sorted(frame.loc[frame["split"] == "val", "path"])))
