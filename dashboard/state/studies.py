"""Studies of the workspace: which there are, the chosen one, how far they are, and the quick answer in the background."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from core.config import Config
from core.config.yaml_text import parse_yaml, plain_yaml
from core.errors import BadConfig
from core.runs import Run
from core.studies import Design, ProbeResults, Study, active_workers, list_studies, probe, start_process
from core.studies.plan import Plan
from core.studies.plan import plan as make_plan
from core.studies.results import minutes_of
from core.training.rows import load_rows
from dashboard.state import preferences, settings, tasks

if TYPE_CHECKING:
    from core.runs.status import Status

MAKE, QUICK, PLAN = "study:make", tasks.QUICK_ANSWER, "study:plan"  # background tasks


def all_studies() -> list[Study]:
    """The studies in the runs folder, by name."""
    return list_studies(settings.checkpoints())


def current() -> Study | None:
    """The chosen study; without a choice the first."""
    found = all_studies()
    chosen = preferences.get("study")
    return next((each for each in found if each.name == chosen), found[0] if found else None)


@dataclass(frozen=True)
class Progress:
    """How far a study is: the status of each run by name (None: not begun), how many processes work on it, why runs could not
    be made, and how long finished ones took, without their pauses."""

    runs: dict[str, Status | None]
    workers: int
    failures: dict[str, str]
    seconds: dict[str, float]

    @property
    def done(self) -> int:
        return sum(each is not None and each.state == "done" for each in self.runs.values())

    @property
    def failed(self) -> int:
        return len(self.failures) + sum(each is not None and each.state == "failed" for each in self.runs.values())

    @property
    def seconds_left(self) -> float | None:
        """By the mean of the finished runs; None before the first."""
        times = [each for each in self.seconds.values() if each]
        left = len(self.runs) - self.done - self.failed
        return None if not times else left * sum(times) / len(times) / max(1, self.workers)


@dataclass(frozen=True)
class Planned:
    """A plan, and the data set that it is for."""

    manifest: Path
    plan: Plan


@dataclass(frozen=True)
class QuickAnswer:
    """The results of a probe, and what they are of."""

    config: Config
    design: Design
    manifest: Path
    found: ProbeResults


def progress_of(study: Study) -> Progress:
    """How far it is. Raises BadConfig: study.yaml is damaged."""
    runs = {job.name: None if run is None else run.status() for job, run in study.runs.items()}
    done = {name: each for name, each in runs.items() if each is not None and each.state == "done"}
    seconds = {name: _seconds(str(study.path / name), each.finished) for name, each in done.items()}
    return Progress(runs, active_workers(study), study.failures(), seconds)


@lru_cache(maxsize=4_096)
def _seconds(path: str, finished: float | None) -> float:
    return 60 * minutes_of(Run(path))


def factors_of(lines: str) -> dict[str, list[Any]]:
    """Settings and their values, a line each: `training.epochs = [4, 8]`. Raises BadConfig: a line cannot be read."""
    found: dict[str, list[Any]] = {}
    for line in filter(None, map(str.strip, lines.splitlines())):
        name, equals, values = line.partition("=")
        listed = parse_yaml(values, f"{name.strip()}", plain_yaml()) if equals else None
        if not isinstance(listed, list):
            raise BadConfig(f"{line}: expected a setting and its values, for example training.epochs = [4, 8]")
        if name.strip() in found:
            raise BadConfig(f"{name.strip()} is named twice. Give all its values at once")
        found[name.strip()] = list(listed)
    return found


def design_of(
    question: str,
    factors: dict[str, list[Any]],
    more: str,
    folds: int,
    repeats: int,
    how: str,
    search: Mapping[str, Any] | None = None,
) -> Design:
    """The design that the form describes; `more` has further settings, a line each: `training.epochs = [4, 8]`; `search` the
    fields of its search.

    Raises:
        BadConfig: a line cannot be read, or the design is impossible.
    """
    found = dict(factors)
    for name, values in factors_of(more).items():
        if name in found:
            raise BadConfig(f"{name} is named twice. Give all its values at once")
        found[name] = values
    fields = {"question": question, "folds": folds, "repeats": repeats, "factors": found, "how": how, "search": search}
    return Design.of(fields, "study")


def start(study: Study, *, retry: bool | Sequence[str] = False) -> None:
    """Train what is left in a process of its own; `retry` as core.studies.work takes it.

    Raises:
        BadRun: the system starts no process.
    """
    start_process(study, retry=retry)
    st.session_state[f"studies:starting:{study.path}"] = True


def starting(study: Study) -> bool:
    """Whether a process was started that is not at work yet."""
    return bool(st.session_state.get(f"studies:starting:{study.path}"))


def forget_start(study: Study) -> None:
    """The process that was started is at work."""
    st.session_state.pop(f"studies:starting:{study.path}", None)


def start_making(name: str, design: Design, config: Config, manifest: Path, *, plan: Mapping[str, Any] | None = None) -> None:
    """Draw the folds and make the study's folder, in the background; `plan` says why it is so, where it was planned."""
    chosen = _of(config, manifest)

    def work(report: tasks.Report) -> Study:
        return Study.create(name, design, chosen, load_rows(chosen), plan=plan, progress=report)

    tasks.forget_task(MAKE)
    tasks.start_task(MAKE, f"Drawing the folds of {name}", work)


def start_plan(config: Config, manifest: Path, minutes: float, question: str) -> None:
    """Choose a study by the data, the machine and the time, in the background."""
    chosen = _of(config, manifest)

    def work(report: tasks.Report) -> Planned:
        return Planned(manifest, make_plan(chosen, load_rows(chosen), minutes=minutes, question=question, progress=report))

    tasks.forget_task(PLAN)
    tasks.start_task(PLAN, "Looking at the images and the machine", work)


def start_quick(design: Design, config: Config, manifest: Path) -> None:
    """Compare settings by a probe, in the background."""
    chosen = _of(config, manifest)

    def work(report: tasks.Report) -> QuickAnswer:
        found = probe(design, chosen, load_rows(chosen), progress=report, searching=report)
        return QuickAnswer(config, design, manifest, found)

    tasks.forget_task(QUICK)
    tasks.start_task(QUICK, "Quick answer", work)


def _of(config: Config, manifest: Path) -> Config:
    """The configuration with this data set."""
    data = config.data.model_copy(update={"manifest": manifest})
    return config.model_copy(update={"data": data, "checkpoints": settings.checkpoints()})
