"""The trials of a search, in a database of Optuna's: a file in the study's folder, or a database server.

Who asks for a trial, takes one over or ends one holds `TrialStore.lock`: so there are never more trials than were asked for,
and none twice. Optuna is imported here alone, when a store is opened.
"""

from __future__ import annotations

import itertools
import math
import os
import sqlite3
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from filelock import FileLock

from core.config import Config
from core.errors import BadConfig, BadRun
from core.studies.design import Design, TrialJob
from core.studies.search_space import STORAGE, Range, Search
from core.studies.study import TRIALS, TRIALS_LOCK, Study

if TYPE_CHECKING:
    import optuna

State = Literal["waiting", "running", "finished", "pruned", "failed"]

_REASON, _PRUNED, _REFERENCE, _INSTEAD = "reason", "pruned", "reference", "instead_of"  # what a trial has besides
_TRIES = 50  # proposals before the next untried combination is taken
_PATIENCE = 60.0  # seconds for a database that another worker writes to


@dataclass(frozen=True)
class Trial:
    """One trial: `number` counts from 1, `settings` are those that it changes, `value` is the monitored metric of its best
    epoch, by_epoch that of each. `instead_of`: the failed trial that it repeats, 0 for none."""

    number: int
    state: State
    settings: dict[str, Any]
    value: float | None = None
    by_epoch: dict[int, float] | None = None
    reason: str = ""
    pruned_at: int = 0
    reference: bool = False
    instead_of: int = 0
    id: int = field(default=0, compare=False)  # Optuna's, in its database

    @property
    def job(self) -> TrialJob:
        """Its training: the first fold of the first repeat is held out."""
        return TrialJob.of(self.number, self.settings)

    @property
    def over(self) -> bool:
        return self.state in ("finished", "pruned", "failed")


class TrialStore:
    """The database, open. `lock` is held by whoever changes which trials there are, or what they are doing."""

    def __init__(self, study: optuna.Study, search: Search, config: Config, seed: int, lock: FileLock) -> None:
        self._study, self._search, self._config, self._seed = study, search, config, seed
        self._handles: dict[int, optuna.Trial] = {}
        self.lock = lock

    @classmethod
    @contextmanager
    def open(cls, study: Study, design: Design, *, make: bool = True) -> Iterator[TrialStore | None]:
        """The store of a study that searches; made when it is not there, or None where not `make`.

        Raises:
            BadConfig: the database's driver is not installed.
            BadRun: the database cannot be opened or written to.
        """
        search = design.search
        assert search is not None
        if not make and not search.storage and not (study.path / TRIALS).is_file():
            yield None
            return
        study.require_regular()
        optuna = _optuna()
        lock = FileLock(study.path / TRIALS_LOCK)
        config = study.config()
        with _explained(search.storage or str(study.path / TRIALS)):
            name = f"mammolab-{search.key}"
            pruner = _pruner(config, pruning=search.pruning)
            with lock if make else nullcontext():  # of two that make its tables at once, one fails
                storage = _storage(study, search, make=make)
            # Proposals are made elsewhere, so the study itself needs no sampler that looks at all trials each time.
            parts = {"storage": storage, "study_name": name, "pruner": pruner, "sampler": optuna.samplers.RandomSampler()}
            try:
                if make:
                    found = optuna.create_study(**parts, direction=_direction(config), load_if_exists=True)
                else:
                    try:
                        found = optuna.load_study(**parts)
                    except KeyError:  # nobody has worked on it yet
                        yield None
                        return
                yield cls(found, search, config, design.seed, lock)
            finally:
                storage.remove_session()
                storage.engine.dispose()

    # ------------------------------------------------------------------ read

    def trials(self) -> list[Trial]:
        """All trials, by number."""
        return [self._trial(each) for each in self._study.get_trials(deepcopy=False)]

    def _trial(self, frozen: optuna.trial.FrozenTrial) -> Trial:
        state: State = _STATES[frozen.state.name]
        own = frozen.user_attrs
        params = dict(frozen.params) or dict(frozen.system_attrs.get("fixed_params", {}))
        value = frozen.value if state == "finished" else None
        if state == "pruned":
            value = self.best_of(frozen.intermediate_values.values())
        return Trial(
            number=frozen.number + 1,
            state=state,
            settings={name: self._setting(name, params[name]) for name in self._search.space if name in params},
            value=value,
            by_epoch=dict(sorted(frozen.intermediate_values.items())),
            reason=str(own.get(_REASON, "")),
            pruned_at=int(own.get(_PRUNED, 0)),
            reference=bool(own.get(_REFERENCE, False)),
            instead_of=int(own.get(_INSTEAD, 0)),
            id=frozen._trial_id,
        )

    def best_of(self, values: Any) -> float | None:
        """The best of these values of the metric; None of none."""
        known = list(values)
        best = max if self.higher_is_better else min
        return best(known) if known else None

    @property
    def higher_is_better(self) -> bool:
        return _direction(self._config) == "maximize"

    @property
    def metric(self) -> str:
        """The monitored metric."""
        return self._config.training.monitor

    def best(self) -> Trial | None:
        """The best finished trial, the first of equal ones; None when none has finished."""
        finished = [each for each in self.trials() if each.state == "finished" and each.value is not None]
        value = self.best_of(each.value for each in finished)
        return next((each for each in finished if each.value == value), None)

    def importance(self) -> dict[str, float]:
        """How much the values of each setting in the better quarter of the finished trials differ from those in all of them, in
        shares of 1, the largest first (PED-ANOVA, Watanabe et al. 2023); {} where trials are too few, or all alike."""
        from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

        values = [each.value for each in self.trials() if each.state == "finished"]
        if len(values) < FEWEST or len(set(values)) < 2:
            return {}
        evaluator = PedAnovaImportanceEvaluator(target_quantile=BETTER)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of a quarter that holds all trials, as with many equal values
            found = get_param_importances(self._study, evaluator=evaluator)
        return {name: float(share) for name, share in found.items()}

    # ------------------------------------------------------------------ a trial's way: asked for, reported, ended

    def ask(self) -> Trial | None:
        """The next trial, running; None when there are as many as were asked for. Hold the lock."""
        trials = self.trials()
        if not any(each.state == "waiting" for each in trials):
            if len(trials) - sum(each.instead_of > 0 for each in trials) >= self._search.trials:
                return None
            reference = self._reference() if not trials else None
            settings = self._proposed(trials) if reference is None else reference
            self._enqueue(settings, {} if reference is None else {_REFERENCE: True})
        asked = self._study.ask()
        _suggest(asked, self._search)
        return self.trials()[asked.number]

    def complete(self, trial: Trial) -> Trial:
        """A running trial with all its settings: whoever asked for it may have been killed in between. Hold the lock."""
        _suggest(self._handle(trial), self._search)
        return self.trials()[trial.number - 1]

    def repeat_failed(self) -> None:
        """Ask for trials with the settings of those that have failed, in their place. Hold the lock."""
        trials = self.trials()
        repeated = {each.instead_of for each in trials}
        for each in trials:
            if each.state == "failed" and each.number not in repeated:
                self._enqueue(each.settings, {_INSTEAD: each.number, **({_REFERENCE: True} if each.reference else {})})

    def report(self, trial: Trial, epoch: int, value: float) -> None:
        """Write down the metric of an epoch, which must not be there yet."""
        self._handle(trial).report(value, epoch)

    def hopeless(self, trial: Trial, epoch: int) -> bool:
        """Whether it should be stopped: after this epoch its best metric is worse than the median of the others at that epoch.
        It is written down, so that a worker that takes the trial over knows it."""
        if not self._search.pruning:
            return False
        handle = self._handle(trial)
        if not handle.should_prune():
            return False
        handle.set_user_attr(_PRUNED, epoch)
        return True

    def end(
        self, trial: Trial, state: Literal["finished", "pruned", "failed"], value: float | None = None, reason: str = ""
    ) -> None:
        """A running trial is over. Hold the lock."""
        from optuna.trial import TrialState

        handle = self._handle(trial)
        if reason:
            handle.set_user_attr(_REASON, reason[:2_000])
        if state == "finished":
            self._study.tell(handle, value)
        else:
            self._study.tell(handle, state=TrialState.PRUNED if state == "pruned" else TrialState.FAIL)

    def _handle(self, trial: Trial) -> optuna.Trial:
        import optuna

        if trial.id not in self._handles:
            self._handles[trial.id] = optuna.trial.Trial(self._study, trial.id)
        return self._handles[trial.id]

    # ------------------------------------------------------------------ proposals

    def _enqueue(self, settings: Mapping[str, Any], marks: dict[str, Any]) -> None:
        params = {name: self._param(name, value) for name, value in settings.items()}
        self._study.enqueue_trial(params, user_attrs=marks)

    def _proposed(self, trials: list[Trial]) -> dict[str, Any]:
        """Settings that no trial has had yet, by the sampler, of a seed that depends on the trials so far: two workers, or one
        that was started again, do not propose the same."""
        optuna = _optuna()
        frozen = self._study.get_trials(deepcopy=False)
        known = [each.settings for each in trials]
        for attempt in range(_TRIES):
            seed = int(np.random.SeedSequence([self._seed, len(trials), attempt]).generate_state(1)[0])
            tpe = self._search.sampler == "tpe"
            sampler = optuna.samplers.TPESampler(seed=seed) if tpe else optuna.samplers.RandomSampler(seed=seed)
            # In a copy: a proposal that is no new one leaves no trace in the database.
            copy = optuna.create_study(sampler=sampler, direction=_direction(self._config))
            copy.add_trials(frozen)
            found = _suggest(copy.ask(), self._search)
            settings = {name: self._rounded(name, self._setting(name, value)) for name, value in found.items()}
            if settings not in known:
                return settings
        untried = (each for each in itertools.islice(self._search.all_combinations(), len(known) + 1) if each not in known)
        return next(untried, settings) if np.isfinite(self._search.combinations) else settings

    def _reference(self) -> dict[str, Any] | None:
        """The settings of config.yaml, where they are within what is searched, else None: the first trial has them, so that the
        best one is at least as good."""
        values: Any = self._config.model_dump(mode="json")
        found = {}
        for name, allowed in self._search.space.items():
            node = values
            for part in name.split("."):
                node = node.get(part) if isinstance(node, dict) else None
            if not (allowed.contains(node) if isinstance(allowed, Range) else node in allowed):
                return None
            found[name] = node if isinstance(allowed, Range) else allowed[allowed.index(node)]
        return found

    def _setting(self, name: str, param: Any) -> Any:
        """The setting's value for what Optuna calls it."""
        allowed = self._search.space[name]
        if isinstance(allowed, Range):
            return allowed.of(param)
        return next((value for value in allowed if _as_param(value) == param and type(_as_param(value)) is type(param)), param)

    def _param(self, name: str, value: Any) -> Any:
        return value if isinstance(self._search.space[name], Range) else _as_param(value)

    def _rounded(self, name: str, value: Any) -> Any:
        allowed = self._search.space[name]
        return allowed.rounded(value) if isinstance(allowed, Range) else value


FEWEST = 8  # finished trials without which the importance of a setting says nothing
BETTER = 0.25  # the share of the trials whose settings importance looks at

_STATES: dict[str, State] = {
    "WAITING": "waiting",
    "RUNNING": "running",
    "COMPLETE": "finished",
    "PRUNED": "pruned",
    "FAIL": "failed",
}


def _suggest(trial: optuna.Trial, search: Search) -> dict[str, Any]:
    """All settings of a trial, as Optuna has them; those that it has already stay."""
    found: dict[str, Any] = {}
    for name, allowed in search.space.items():
        if not isinstance(allowed, Range):
            found[name] = trial.suggest_categorical(name, [_as_param(value) for value in allowed])
        elif allowed.whole:
            low, high = round(allowed.low), round(allowed.high)
            found[name] = trial.suggest_int(name, low, high, step=round(allowed.step or 1), log=allowed.log)
        else:
            found[name] = trial.suggest_float(name, allowed.low, allowed.high, step=allowed.step, log=allowed.log)
    return found


def _as_param(value: Any) -> Any:
    """A choice as Optuna stores it: a list ([512, 320]) as text."""
    return repr(value) if isinstance(value, list) else value


def _direction(config: Config) -> str:
    return "minimize" if config.training.monitor == "loss" else "maximize"


def _pruner(config: Config, *, pruning: bool) -> Any:
    """By the median of the trials so far at the same epoch: not before there are a few, nor in a training's first third."""
    from optuna.pruners import MedianPruner, NopPruner

    return MedianPruner(n_startup_trials=4, n_warmup_steps=math.ceil(config.training.epochs / 3)) if pruning else NopPruner()


def _optuna() -> Any:
    """Optuna, silent: what it has to say, it says in exceptions."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _storage(study: Study, search: Search, *, make: bool) -> Any:
    """The database. Raises as `TrialStore.open`, and what SQLAlchemy raises."""
    try:
        return _opened(study, search, make=make)
    except ImportError as error:
        raise BadConfig(
            f"{search.storage}: the driver of this database is not installed ({_safe(error)}). Install it, for example: pip "
            "install psycopg2-binary"
        ) from None
    except RuntimeError as error:  # Optuna's, of a database that another version of it has made
        raise BadRun(f"{search.storage or study.path / TRIALS}: {_safe(error)}") from None


def _opened(study: Study, search: Search, *, make: bool) -> Any:
    from optuna.storages import RDBStorage
    from sqlalchemy.engine import make_url
    from sqlalchemy.pool import NullPool

    if search.storage:
        url, own = make_url(search.storage), _own_server()
        # A study that somebody sent may name any server: none but the user's own is told the password.
        if own is not None and own._replace(password=None) == url:
            url = own
        return RDBStorage(url.render_as_string(hide_password=False), engine_kwargs={"pool_pre_ping": True})
    path = study.path / TRIALS

    def connect() -> sqlite3.Connection:  # not by URL: a folder's name may hold what means something in one
        return sqlite3.connect(path, timeout=_PATIENCE, check_same_thread=False)

    ours: dict[str, Any] = {"creator": connect, "poolclass": NullPool}
    # Reading: a page asks every few seconds, and whoever has made the file has made its tables.
    quick = {} if make else {"skip_compatibility_check": True, "skip_table_creation": True}
    return RDBStorage("sqlite://", engine_kwargs=ours, **quick)


@contextmanager
def _explained(place: str) -> Iterator[None]:
    """Errors of the database as ours, without a password."""
    from optuna.exceptions import OptunaError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, OptunaError) as error:
        raise BadRun(
            f"{place}: the database of the trials cannot be used ({_safe(error)}). Is it there, is its password in {STORAGE}, "
            "and is there room on the disk?"
        ) from None


def _own_server() -> Any:
    """The URL in the environment, with its password; None for none.

    Raises:
        BadConfig: it is no URL.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    text = os.environ.get(STORAGE, "")
    try:
        return make_url(text) if text else None
    except (ArgumentError, ValueError):  # whose words may hold the password
        example = "postgresql://user:password@server/database"
        raise BadConfig(f"{STORAGE}: expected the URL of a database, for example {example}") from None


def _safe(error: BaseException) -> str:
    """What an error says, on one line, without the password."""
    words = " ".join(str(error).split())[:300]
    own = _own_server()
    return words.replace(own.password, "***") if own is not None and own.password else words
