"""A run: one training, one folder. Everything anybody knows about it is in that folder.

config.yaml     resolved        manifest.csv   the rows used, with split and content hash
status.json     see status.py   events.jsonl   see events.py
control/        empty files `stop` and `pause`: requests to whoever trains
last.pt         see checkpoint.py
model.safetensors, model.json   the best model so far (core.model.store)
start.safetensors  the weights a fork begins with
predictions/, excluded.csv, train.log, note.txt (what the user wrote about it)
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from filelock import FileLock, Timeout

from core.config import Config, dump_config, load_config
from core.data import assign_splits, read_manifest, require_trainable, write_manifest
from core.errors import BadConfig, BadRun
from core.training.events import Event, EventLog, EventReader, read_events
from core.training.files import remove_folder, remove_strays, write_text
from core.training.names import clean_name, default_names
from core.training.status import Status, read_status, write_status

Request = Literal["stop", "pause", "begin"]  # "begin": of a run that waits its turn, without waiting further

CONFIG, MANIFEST, STATUS, EVENTS, LAST = "config.yaml", "manifest.csv", "status.json", "events.jsonl", "last.pt"
EXCLUDED = "excluded.csv"
START = "start.safetensors"
NOTE = "note.txt"
LONGEST_NOTE = 10_000  # characters
_LOCK = ".lock"
_MARKS = (CONFIG, STATUS, EVENTS, "model.json")  # a folder with one of these is, or was, a run
_DRAFT, _DELETED = ".new-", ".deleted-"  # folders that are no run yet, and none any more; lists pass over them
_DRAFT_SECONDS = 3600.0  # a draft that is older belongs to a program that was killed


class Run:
    """A handle on a run folder. Cheap to make; holds nothing that is not on the disk."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).absolute()

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    @property
    def name(self) -> str:
        return self.path.name

    # ------------------------------------------------------------------ make and find

    @classmethod
    def create(cls, config: Config, frame: pd.DataFrame, *, name: str | None = None) -> Run:
        """Make the folder of a new run under `config.checkpoints`, in state "queued". Nothing is made when it raises.

        `frame` has the columns of a manifest; where no row has a split, patients are split as `config.data` says.

        Raises:
            Leakage: a patient, or an identical file, stands in two splits.
            BadManifest: train or val lacks a class, or rows lack a split.
            BadConfig: no such architecture, or a device or precision this machine does not have.
            MissingWeights: the pretrained weights cannot be had here.
            BadRun: the name is taken or impossible, or the folder cannot be written to.
        """
        from core.model import check_name, check_weights
        from core.training.machine import pick_machine

        data = config.data
        rows = assign_splits(frame, data.val_fraction, data.test_fraction, data.split_seed)
        require_trainable(rows)
        pick_machine(config.training)
        check_name(config.model.name)
        check_weights(config.model)
        names = iter([clean_name(name)]) if name else default_names(config.model.name, date.today())
        root = Path(config.checkpoints).absolute()
        draft = root / f"{_DRAFT}{uuid.uuid4().hex[:12]}"
        _sweep(root)
        try:
            draft.mkdir(parents=True)
            _fill(draft, config, rows)
            return cls(_settle(draft, names))
        except OSError as error:
            raise BadRun(
                f"{root}: the run's folder cannot be made ({error.strerror or error}). Set checkpoints to a folder that can "
                "be written to, or free some space."
            ) from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    @classmethod
    def open(cls, path: Path | str) -> Run:
        """The run in this folder.

        Raises:
            BadRun: there is no such folder, or it is no run.
        """
        run = cls(path)
        if not run.path.is_dir():
            raise BadRun(f"{run.path}: no such run. Start one, or give the path of a run folder (in checkpoints/).")
        if not any((run.path / mark).is_file() for mark in _MARKS):
            raise BadRun(f"{run.path}: not a run: it holds none of {', '.join(_MARKS)}. Give the path of a run folder.")
        return run

    @property
    def problem(self) -> str:
        """What is wrong with the folder, in words; "" when nothing is."""
        if not (self.path / CONFIG).is_file():
            return f"{CONFIG} is missing: the folder was copied in part, or is damaged"
        return self.status().problem

    # ------------------------------------------------------------------ read

    def status(self) -> Status:
        """What the run is doing; never raises (see Status.problem)."""
        return read_status(self.path / STATUS)

    def config(self) -> Config:
        """The configuration it trains with.

        Raises:
            BadRun: config.yaml is missing or damaged.
        """
        try:
            config = load_config(self.path / CONFIG)
        except BadConfig as error:
            raise BadRun(f"{self.name}: its configuration cannot be read. {error}") from error
        if config.model.weights != START:
            return config
        # A fork's own file: said without its folder, so that it is found again when the run is renamed or moved.
        return config.model_copy(update={"model": config.model.model_copy(update={"weights": (self.path / START).as_posix()})})

    @property
    def begun(self) -> bool:
        """Whether training it again has to be a resume. One that waits in line to be resumed is "queued" too."""
        return self.status().state != "queued" or (self.path / LAST).is_file()

    def manifest(self) -> pd.DataFrame:
        """The rows it uses, as core.data.read_manifest gives them; `content_hash` is filled once images are prepared.

        Raises:
            BadManifest: manifest.csv is missing or damaged.
        """
        return read_manifest(self.path / MANIFEST)

    def excluded(self) -> dict[str, str]:
        """Images that were left out because they cannot be read: {path: reason}."""
        path = self.path / EXCLUDED
        if not path.is_file():
            return {}
        rows = pd.read_csv(path, dtype=str, keep_default_na=False)
        return dict(zip(rows["path"], rows["reason"], strict=True))

    def note(self) -> str:
        """What the user wrote about the run; "" when nothing."""
        try:
            return (self.path / NOTE).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return ""

    def events(self, after: int = 0) -> list[Event]:
        """Events with `seq` above `after`. For polling, `event_reader` costs less and notices a resumed run."""
        return read_events(self.path / EVENTS, after)

    def event_reader(self) -> EventReader:
        """A reader that gives, at each call, only what is new."""
        return EventReader(self.path / EVENTS)

    @property
    def has_model(self) -> bool:
        """Whether there is a model to predict with (the best so far, while it still trains)."""
        from core.model import has_model

        return has_model(self.path)

    def model_card(self) -> dict[str, Any]:
        """model.json.

        Raises:
            BadRun: there is no model yet, or its card is damaged.
        """
        from core.model import read_card

        return read_card(self.path)

    # ------------------------------------------------------------------ control

    def request(self, what: Request) -> None:
        """Ask whoever trains to stop (keeping what is there) or to pause; takes effect after the current step."""
        folder = self.path / "control"
        folder.mkdir(exist_ok=True)
        (folder / what).touch()

    def requested(self, what: Request) -> bool:
        """Whether that was asked for and not yet withdrawn or done."""
        return (self.path / "control" / what).exists()

    def withdraw(self, what: Request) -> None:
        """Take a request back: withdrawing "pause" lets a paused run go on."""
        (self.path / "control" / what).unlink(missing_ok=True)

    # ------------------------------------------------------------------ write

    def set_status(self, **changes: Any) -> None:
        """Change fields of status.json. While a run trains only its trainer does (through StatusWriter)."""
        from dataclasses import replace

        write_status(self.path / STATUS, replace(self.status(), **changes))

    def set_note(self, text: str) -> None:
        """Keep a note about the run, in place of the one before; an empty one removes it.

        Raises:
            BadRun: it is too long, or the folder cannot be written to.
        """
        text = text.strip()
        if len(text) > LONGEST_NOTE:
            raise BadRun(f"{self.name}: expected a note of at most {LONGEST_NOTE} characters, got {len(text)}. Shorten it.")
        try:
            if text:
                write_text(self.path / NOTE, text + "\n")
            else:
                (self.path / NOTE).unlink(missing_ok=True)
        except OSError as error:
            raise BadRun(f"{self.name}: the note cannot be written ({error.strerror or error}).") from error

    def append_event(self, event: Event) -> Event:
        """Add one event, with `seq` and `time`; returns what was written. While a run trains only its trainer does."""
        with EventLog(self.path / EVENTS) as log:
            return log.append(event)

    def require_startable(self, *, resume: bool) -> None:
        """Raises BadRun when there is nothing to start (`resume` False: it was started before) or to resume (finished), or its
        status is damaged: training would write over what can still be mended."""
        status = self.status()
        state = status.state
        if status.problem:
            raise BadRun(
                f"{self.name}: {' '.join(status.problem.split())}. Put the file back as it was, or fork the run into a new "
                f"one: `python -m core run fork {self.name}`."
            )
        if state == "done":
            raise BadRun(
                f"{self.name}: it is finished and cannot be resumed. To train its model further, fork it into a new run: "
                f"`python -m core run fork {self.name}`, or Fork on the Runs page."
            )
        if not resume and self.begun:
            raise BadRun(f"{self.name}: it was started before (it is {state}). Resume it, or start a new run.")

    def acquire(self) -> FileLock:
        """Take the run for training; the system gives it back when the process ends, however it ends.

        Raises:
            BadRun: somebody trains it already.
        """
        lock = FileLock(self.path / _LOCK, thread_local=False)
        try:
            lock.acquire(timeout=0.5)
        except Timeout as error:
            raise BadRun(f"{self.name}: it is being trained already{self._where()}. Stop it first, or wait.") from error
        except OSError as error:
            raise BadRun(f"{self.name}: its folder cannot be written to ({error.strerror or error}).") from error
        status = self.status()
        if (status.live or status.waiting) and status.host != platform.node():  # file locks may not reach across a network
            lock.release()
            raise BadRun(f"{self.name}: it is being trained already{self._where()}. Stop it first, or wait.")
        return lock

    def _where(self) -> str:
        status = self.status()
        return f" (process {status.pid} on {status.host})" if status.live or status.waiting else ""

    # ------------------------------------------------------------------ rename, delete

    def rename(self, name: str) -> Run:
        """Give the run another name; this handle follows. model.json keeps the name it was trained under.

        Raises:
            BadRun: it is being trained, the name is taken or impossible, or the system refuses.
        """
        target = self.path.with_name(clean_name(name))
        if target == self.path:
            return self
        with self._at_rest("renamed"):
            # A change of case only is the same folder on Windows and macOS.
            if target.exists() and not target.samefile(self.path):
                raise BadRun(f"there is already a run named {target.name}; choose another name")
        try:
            self.path.rename(target)
        except OSError as error:
            raise BadRun(f"{self.name}: it cannot be renamed ({error.strerror or error}). Close what has it open.") from error
        self.path = target
        return self

    def delete(self) -> None:
        """Delete the folder with everything in it.

        Raises:
            BadRun: it is being trained, or the system refuses: the message says whether it, or only its files, are still there.
        """
        Run.open(self.path)  # never a folder that is no run
        with self._at_rest("deleted"):
            pass
        _sweep(self.path.parent)
        grave = self.path.with_name(f"{_DELETED}{uuid.uuid4().hex[:12]}")
        try:
            self.path.rename(grave)  # gone at once for everybody, whatever happens while its files are removed
        except OSError as error:
            raise BadRun(f"{self.name}: it cannot be deleted ({error.strerror or error}). Close what has it open.") from error
        try:
            remove_folder(grave)
        except OSError as error:
            raise BadRun(
                f"{self.name}: it is deleted, but not all of its files could be removed ({error.strerror or error}). The rest "
                f"is in {grave}: close what has it open; the next run that is made or deleted here removes it too."
            ) from error

    @contextmanager
    def _at_rest(self, action: str) -> Iterator[None]:
        try:
            lock = self.acquire()
        except BadRun as error:
            raise BadRun(f"{self.name}: it cannot be {action} now. {error}") from error
        try:
            yield
        finally:
            lock.release()


def list_runs(root: Path | str) -> list[Run]:
    """All runs in a folder, newest first; [] when it does not exist. A damaged one is listed too: see Run.problem."""
    root = Path(root)
    try:
        folders = [Path(entry.path) for entry in os.scandir(root) if entry.is_dir() and not entry.name.startswith(".")]
    except OSError:
        return []
    runs = [Run(folder) for folder in folders if any((folder / mark).is_file() for mark in _MARKS)]
    return sorted(runs, key=lambda run: (_created(run), run.name), reverse=True)


def _created(run: Run) -> float:
    try:
        return float(json.loads((run.path / STATUS).read_text(encoding="utf-8"))["created"])
    except (OSError, ValueError, TypeError, KeyError):
        return 0.0


def _sweep(root: Path) -> None:
    """Remove what deleted runs and killed programs left in a folder of runs."""
    remove_strays(root, _DELETED)
    remove_strays(root, _DRAFT, older_than=_DRAFT_SECONDS)


def _fill(folder: Path, config: Config, rows: pd.DataFrame) -> None:
    weights = config.model.weights
    if weights not in ("none", "hub"):
        # The run may be started from another folder than it was made in.
        model = config.model.model_copy(update={"weights": Path(weights).absolute().as_posix()})
        config = config.model_copy(update={"model": model})
    write_text(folder / CONFIG, dump_config(config, skip=("dashboard",)))
    write_manifest(rows, folder / MANIFEST)
    (folder / "control").mkdir()
    (folder / EVENTS).touch()
    status = Status(created=time.time(), epochs=config.training.epochs, monitor=config.training.monitor)
    write_status(folder / STATUS, status)


def _settle(draft: Path, names: Iterator[str]) -> Path:
    """Move the finished draft to the first free name."""
    taken = ""
    for name in names:
        target = draft.with_name(name)
        if target.exists():
            taken = name
            continue
        try:
            return draft.rename(target)
        except OSError:
            if not target.exists():
                raise
            taken = name  # somebody took it in between
    raise BadRun(f"there is already a run named {taken}; choose another name, or leave it out")
