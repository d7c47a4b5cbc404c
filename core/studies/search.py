"""A search: trials with settings that Optuna proposes, each an ordinary run; the best one's settings are the winner.

A trial whose worker was killed is taken over by the next one: the same run is resumed, no second trial begins. A trial is
pruned when its best metric so far is below the median of the others at that epoch: it is stopped and not resumed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from core.errors import BadRun, LabError
from core.files.typed import to_plain
from core.runs.events import Event
from core.runs.history import History, metric_of
from core.runs.run import Run
from core.studies.attempts import LOOK, attempt, free
from core.studies.design import Design, Job
from core.studies.search_space import Winner
from core.studies.study import Study
from core.studies.trial_store import FEWEST, Trial, TrialStore


@dataclass
class Searched:
    """How the search ended here: stopped, or with the reasons of all trials where none has finished."""

    stopped: bool = False
    failed: dict[str, str] = field(default_factory=dict)


def search(
    study: Study,
    design: Design,
    manifest: pd.DataFrame,
    *,
    on_run: Callable[[Job, Run], None] | None,
    on_event: Callable[[Event], None] | None,
    retry: bool,
    queue: bool,
) -> Searched:
    """Train trials until all are over, those of other workers included, and write down the winner.

    Raises:
        LabError: the database cannot be used, or the study's folder cannot be written to.
    """
    refused = Counter[str]()
    with TrialStore.open(study, design) as store:
        assert store is not None
        if retry:
            with store.lock:
                store.repeat_failed()
        while not study.stopping:
            with store.lock:
                trial, run, waiting = _taken(store, study, manifest, refused)
                if trial is None and not waiting:
                    return _ended(store, study)
            if trial is None or run is None:
                time.sleep(LOOK)
                continue
            if _trained(store, study, trial, run, refused, on_run=on_run, on_event=on_event, queue=queue):
                break
    return Searched(stopped=True)


def _taken(
    store: TrialStore, study: Study, manifest: pd.DataFrame, refused: Counter[str]
) -> tuple[Trial | None, Run | None, bool]:
    """A trial that nobody trains, and its run: one that a worker left behind, else a new one. None where there is none; the
    last value says whether others are still at work."""
    waiting = False
    for trial in store.trials():
        if trial.state != "running":
            continue
        run = study.run_of(trial.job)
        if run is None:
            if (run := _made(store, study, store.complete(trial), manifest)) is None:
                continue
        elif (found := free(run, refused)) is not None:
            if found.ended == "elsewhere":
                waiting = True
            else:
                store.end(trial, "failed", reason=found.reason)
            continue
        elif _settled(store, trial, run):
            continue
        return trial, run, True
    while (asked := store.ask()) is not None:
        if (run := _made(store, study, asked, manifest)) is not None:
            return asked, run, True
    return None, None, waiting


def _made(store: TrialStore, study: Study, trial: Trial, manifest: pd.DataFrame) -> Run | None:
    """The new run of a trial; None where its settings are impossible, which is written down."""
    try:
        return study.create_run(trial.job, manifest)
    except BadRun:
        raise  # it is the folder that is wrong, not the settings
    except LabError as error:
        store.end(trial, "failed", reason=str(error))
        return None


def _settled(store: TrialStore, trial: Trial, run: Run) -> bool:
    """Whether the trial is over, as its run says, which nobody trains; then its end is written down."""
    status = run.status()
    if status.state == "done":
        _report(store, trial, run)
        if status.best_value is None:
            store.end(trial, "failed", reason=f"{store.metric} is undefined in every epoch")
        else:
            store.end(trial, "finished", status.best_value)
    elif status.state == "failed":
        store.end(trial, "failed", reason=status.reason)
    elif trial.pruned_at:
        worse = "below" if store.higher_is_better else "above"
        reason = f"Pruned after epoch {trial.pruned_at}: its {store.metric} was {worse} the median of the others."
        run.set_status(state="stopped", reason=reason)
        store.end(trial, "pruned", reason=reason)
    else:
        return False
    return True


def _trained(
    store: TrialStore,
    study: Study,
    trial: Trial,
    run: Run,
    refused: Counter[str],
    *,
    on_run: Callable[[Job, Run], None] | None,
    on_event: Callable[[Event], None] | None,
    queue: bool,
) -> bool:
    """Train a trial to its end, or until it is pruned or stopped; True when a stop was requested."""
    pruned = False
    known = set(trial.by_epoch or {})

    def begin() -> None:
        if on_run is not None:
            on_run(trial.job, run)

    def follow(event: Event) -> None:
        nonlocal pruned
        if on_event is not None:
            on_event(event)
        if event["type"] != "epoch" or pruned:
            return
        value = metric_of(event, store.metric)
        if value is None:
            return
        if event["epoch"] not in known:  # a killed worker may have reported it, and not have saved the epoch
            store.report(trial, event["epoch"], value)
        # After the last epoch there is nothing left to save.
        if event["epoch"] < event.get("epochs", 0) and not run.requested("stop") and store.hopeless(trial, event["epoch"]):
            pruned = True
            run.request("stop")

    found = attempt(study, run, refused, begin=begin, on_event=follow, queue=queue)
    if found.ended == "elsewhere":
        time.sleep(LOOK)
        return False
    with store.lock:
        fresh = store.trials()[trial.number - 1]
        if fresh.state != "running":  # another worker has seen that it is over
            return False if pruned else found.asked
        if found.ended == "failed":
            store.end(fresh, "failed", reason=found.reason)
            return False
        over = _settled(store, fresh, run)
    return not over or (found.asked and not pruned)


def _report(store: TrialStore, trial: Trial, run: Run) -> None:
    """Write down the epochs that nobody has: a worker may have been killed just before."""
    known = trial.by_epoch or {}
    for epoch, event in History.of(run.events()).epochs.items():
        value = metric_of(event, store.metric)
        if epoch not in known and value is not None:
            store.report(trial, epoch, value)


def _ended(store: TrialStore, study: Study) -> Searched:
    """All trials are over: write down the winner, or say why there is none. The lock is held."""
    best = store.best()
    if best is None:
        return Searched(failed={each.job.name: each.reason for each in store.trials()})
    search = study.design().search
    if search is not None and search.winner is None:  # else another worker was quicker
        study.set_winner(Winner(trial=best.number, settings=best.settings, reference=best.reference))
    return Searched()


# ---------------------------------------------------------------- what it has found


@dataclass(frozen=True)
class SearchResults:
    """A search so far: `asked` trials in all, those that were begun, the number of the best one (None: none has finished), and
    how much each setting matters, in shares of 1 ({} with too few finished trials; see `TrialStore.importance`). `log` names
    the settings on a log scale."""

    study: str
    metric: str
    higher_is_better: bool
    asked: int
    trials: tuple[Trial, ...]
    best: int | None
    importance: dict[str, float]
    log: tuple[str, ...] = ()

    def count(self, state: str) -> int:
        """Trials in this state."""
        return sum(each.state == state for each in self.trials)

    @property
    def over(self) -> int:
        """Trials that have ended, however they did."""
        return sum(each.over for each in self.trials)

    @property
    def hopeless(self) -> bool:
        """Whether all trials are over and none has finished: there is no winner until failed ones are repeated."""
        return bool(self.trials) and not self.left and self.best is None

    @property
    def left(self) -> int:
        """Trials that are not over, or not begun."""
        repeated = sum(each.instead_of > 0 for each in self.trials)
        return max(0, self.asked + repeated - self.over)

    @property
    def best_trial(self) -> Trial | None:
        return None if self.best is None else self.trials[self.best - 1]

    @property
    def summary(self) -> str:
        """In a sentence: how many trials there are, and what became of them."""
        repeated = sum(each.instead_of > 0 for each in self.trials)
        states = [f"{self.count(state)} {state}" for state in ("finished", "pruned", "failed", "running") if self.count(state)]
        return f"{len(self.trials) - repeated} of {self.asked} trials" + (f": {', '.join(states)}" if states else "")

    def table_rows(self) -> list[tuple[str, ...]]:
        """(trial, state, metric, trained epochs, settings..., remark), a row each; see `heads`."""
        names = self.names
        return [
            (
                f"{each.number}{' (best)' if each.number == self.best else ''}",
                each.state,
                "–" if each.value is None else f"{each.value:.3f}",
                str(max(each.by_epoch)) if each.by_epoch else "",
                *(_text(each.settings.get(name)) for name in names),
                " ".join(
                    filter(
                        None,
                        (
                            "settings of config.yaml" if each.reference else "",
                            f"in place of trial {each.instead_of}" if each.instead_of else "",
                            each.reason,
                        ),
                    )
                ),
            )
            for each in self.trials
        ]

    @property
    def names(self) -> list[str]:
        """The settings that are searched."""
        return list(dict.fromkeys(name for each in self.trials for name in each.settings))

    @property
    def heads(self) -> list[str]:
        """Heads of `table_rows`."""
        return ["trial", "state", self.metric, "trained epochs", *short_names(self.names), "remark"]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain: dict[str, Any] = to_plain(self)
        for trial in plain["trials"]:
            del trial["id"]
        return plain


def search_of(study: Study, *, importance: bool = True) -> SearchResults | None:
    """What the study's search has found so far; None for a study without one. `importance`: also that of each setting.

    Raises:
        LabError: the study's files are damaged, or the database of the trials cannot be used.
    """
    design = study.design()
    if design.search is None:
        return None
    metric = study.config().training.monitor
    log = tuple(name for name, each in design.search.space.items() if getattr(each, "log", False))
    with TrialStore.open(study, design, make=False) as store:
        trials = () if store is None else tuple(store.trials())
        best = None if store is None else store.best()
        shares = {} if store is None or not importance else store.importance()
    number = None if best is None else best.number
    return SearchResults(study.name, metric, metric != "loss", design.search.trials, trials, number, shares, log)


def short_names(names: list[str]) -> list[str]:
    """Settings without their sections, where that is not ambiguous."""
    last = [name.split(".")[-1] for name in names]
    return [each if last.count(each) == 1 else name for name, each in zip(names, last, strict=True)]


def settings_text(settings: Mapping[str, Any]) -> str:
    """Settings in a few words: "learning_rate 0.003, dropout 0.2"."""
    return ", ".join(
        f"{short} {_text(value)}" for short, value in zip(short_names(list(settings)), settings.values(), strict=True)
    )


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "x".join(map(str, value)) if isinstance(value, list | tuple) else "" if value is None else str(value)


IMPORTANCE = (
    "How much a setting's values in the better quarter of the trials differ from those in all (PED-ANOVA); rough with few."
)
TOO_FEW = f"How much each setting matters can be said from {FEWEST} finished trials on that are not all alike."
