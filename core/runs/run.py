"""A run: one training, one folder. Everything anybody knows about it is in that folder.

config.yaml     resolved        manifest.csv   the rows used, with split and content hash
status.json     see status.py   events.jsonl   see events.py
control/        empty files `stop` and `pause`: requests to whoever trains
last.pt         see checkpoint.py
model.safetensors, model.json   the best model so far (core.model.store)
start.safetensors  the weights a fork begins with
predictions/, excluded.csv, train.log, note.txt (what the user wrote about it)
test_accesses.jsonl  see accesses.py; split.json  see split_origin.py
"""

from __future__ import annotations

import io
import os
import platform
import shutil
import uuid
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from filelock import FileLock

from core.config import Config, load_config
from core.data import assign_splits, read_manifest, require_trainable
from core.errors import BadConfig, BadManifest, BadRun
from core.files.folders import remove_folder, write_text
from core.files.untrusted import LARGE, irregular, read_bytes
from core.model.card import ModelCard, has_model, read_card
from core.runs.drafts import DELETED, DRAFT, fill, settle, sweep
from core.runs.events import Event, EventLog, EventReader, read_events
from core.runs.folder import MARKS, irregular_entry, is_run, require_own_files, require_regular, was_deleted
from core.runs.locks import EVALUATION as EVALUATION_LOCK
from core.runs.locks import TRAINING, Timeout, take
from core.runs.names import clean_name, default_names
from core.runs.removal import is_link, require_nothing_foreign, require_removable
from core.runs.split_origin import origin_of, write_split_origin
from core.runs.status import Status, created_at, read_status, write_status
from core.runs.test_set.access_log import adopt

Request = Literal["stop", "pause", "begin"]  # "begin": of a run that waits its turn, without waiting further

CONFIG, MANIFEST, STATUS, EVENTS, LAST = "config.yaml", "manifest.csv", "status.json", "events.jsonl", "last.pt"
EXCLUDED = "excluded.csv"
START = "start.safetensors"
NOTE = "note.txt"
LONGEST_NOTE = 10_000  # characters
LARGEST_MANIFEST = 1 << 29  # bytes; two million images
_LOCK_SECONDS = 0.5
_WINDOWS = os.name == "nt"


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
        """The folder's name; what is no UTF-8 in it (an archive of another system's) is shown as `\\xff`."""
        return os.fsencode(self.path.name).decode("utf-8", "backslashreplace")

    @property
    def readable_name(self) -> bool:
        """Whether the name can be written anywhere: a browser, a table and a cache take UTF-8 only."""
        return self.name == self.path.name

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
            NotRecorded: what its test images were used for before cannot be written into its folder.
        """
        from core.model import check_name, check_weights
        from core.model.device import pick_machine

        data = config.data
        rows = assign_splits(frame, data.val_fraction, data.test_fraction, data.split_seed)
        require_trainable(rows)
        pick_machine(config.training)
        check_name(config.model.name)
        check_weights(config.model)
        names = iter([clean_name(name)]) if name else default_names(config.model.name, date.today())
        root = Path(config.checkpoints).absolute()
        draft = root / f"{DRAFT}{uuid.uuid4().hex[:12]}"
        sweep(root)
        try:
            draft.mkdir(parents=True)
            fill(draft, config, rows)
            write_split_origin(draft, origin_of(rows, data))
            adopt(draft, root)
            return cls(settle(draft, names))
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
        if not is_run(run.path):
            raise BadRun(f"{run.path}: not a run: it holds none of {', '.join(MARKS)}. Give the path of a run folder.")
        return run

    @property
    def problem(self) -> str:
        """What is wrong with the folder, in words; "" when nothing is."""
        if not self.readable_name:
            return "its name is no UTF-8: rename the folder, or delete the run"
        found = irregular_entry(self.path)
        if found:
            return f"{found}, where a run has regular files and folders only: take it out, or delete the run"
        if not (self.path / CONFIG).is_file():
            return f"{CONFIG} is missing: the folder was copied in part, or is damaged"
        return self.status().problem

    def require_regular(self) -> None:
        """Raises BadRun when the folder has an entry that leads elsewhere: links, named pipes, devices. Ask before anything
        is computed from the run or written into it."""
        require_regular(self.path)

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
            config = load_config(self.path / CONFIG, warn=False)
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
            BadManifest: manifest.csv is missing, damaged or too large.
        """
        path = self.path / MANIFEST
        kind = irregular(path)
        if kind:
            raise BadManifest(f"{path}: expected a CSV file, got {kind}. Restore it from a copy.")
        if path.is_file() and path.stat().st_size > LARGEST_MANIFEST:
            raise BadManifest(f"{path}: expected at most {LARGEST_MANIFEST:,} bytes, got more. Restore it from a copy.")
        return read_manifest(path)

    def excluded(self) -> dict[str, str]:
        """Images that were left out because they cannot be read: {path: reason}.

        Raises:
            BadRun: excluded.csv is damaged.
        """
        path = self.path / EXCLUDED
        try:
            rows = pd.read_csv(io.BytesIO(read_bytes(path, LARGE)), dtype=str, keep_default_na=False)
            return dict(zip(rows["path"], rows["reason"], strict=True))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError) as error:
            words = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
            raise BadRun(f"{path}: damaged ({words}). Expected columns path and reason: restore it from a copy.") from error

    def note(self) -> str:
        """What the user wrote about the run; "" when nothing, or nothing that can be read."""
        try:
            return read_bytes(self.path / NOTE).decode("utf-8", errors="replace").strip()[:LONGEST_NOTE]
        except (OSError, ValueError):
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
        return has_model(self.path)

    def model_card(self) -> ModelCard:
        """model.json.

        Raises:
            BadRun: there is no model yet, or its card is damaged.
        """
        return read_card(self.path)

    # ------------------------------------------------------------------ control

    def request(self, what: Request) -> None:
        """Ask whoever trains to stop (keeping what is there) or to pause; takes effect after the current step.

        Raises:
            BadRun: the folder has gone, has entries that lead elsewhere, or cannot be written to.
        """
        self.require_regular()
        folder = self.path / "control"
        try:
            folder.mkdir(exist_ok=True)
            (folder / what).touch()
        except OSError as error:
            raise self._unwritten(f"a request to {what} cannot be written", error) from error

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
        self.require_regular()
        text = text.strip()
        if len(text) > LONGEST_NOTE:
            raise BadRun(f"{self.name}: expected a note of at most {LONGEST_NOTE} characters, got {len(text)}. Shorten it.")
        try:
            if text:
                write_text(self.path / NOTE, text + "\n")
            else:
                (self.path / NOTE).unlink(missing_ok=True)
        except OSError as error:
            raise self._unwritten("the note cannot be written", error) from error

    def append_event(self, event: Event) -> Event:
        """Add one event, with `seq` and `time`; returns what was written. While a run trains only its trainer does."""
        with EventLog(self.path / EVENTS) as log:
            return log.append(event)

    def require_startable(self, *, resume: bool) -> None:
        """Raises BadRun when there is nothing to start (`resume` False: it was started before) or to resume (finished), or its
        status is damaged: training would write over what can still be mended. So does an entry that leads elsewhere."""
        self.require_regular()
        require_own_files(self.path)
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
            BadRun: somebody trains it already; it was deleted; an entry of its folder leads elsewhere.
        """
        self.require_regular()
        return self._take_training()

    def _take_training(self) -> FileLock:
        try:
            lock = take(self.path, TRAINING, _LOCK_SECONDS)
        except Timeout as error:
            raise BadRun(f"{self.name}: it is being trained already{self._where()}. Stop it first, or wait.") from error
        except OSError as error:
            raise self._unwritten("its folder cannot be written to", error) from error
        status = self.status()
        if (status.live or status.waiting) and status.host != platform.node():  # file locks may not reach across a network
            lock.release()
            raise BadRun(f"{self.name}: it is being trained already{self._where()}. Stop it first, or wait.")
        return lock

    def _unwritten(self, what: str, error: OSError) -> BadRun:
        """The error to raise for one of the system: a folder that has gone is said as such."""
        if not self.path.is_dir():
            return was_deleted(self.path)
        return BadRun(f"{self.name}: {what} ({error.strerror or error}).")

    def _where(self) -> str:
        status = self.status()
        return f" (process {status.pid} on {status.host})" if status.live or status.waiting else ""

    # ------------------------------------------------------------------ rename, delete

    def rename(self, name: str, keep: Iterable[Path] = ()) -> Run:
        """Give the run another name; this handle follows. model.json keeps the name it was trained under.

        `keep`: as in `delete`.

        Raises:
            BadRun: it is being trained or scored, the name is taken or impossible, it may be more than a run, or the system
                refuses.
        """
        target = self.path.with_name(clean_name(name))
        if target == self.path:
            return self
        self.require_regular()
        require_removable(self.path, "renamed", keep)
        # A change of case only is the same folder on Windows and macOS.
        if os.path.lexists(target) and not (target.exists() and target.samefile(self.path)):
            raise BadRun(f"there is already a run named {target.name}; choose another name")
        self._move(target, "renamed")
        self.path = target
        return self

    def delete(self, keep: Iterable[Path] = (), *, everything: bool = False) -> None:
        """Delete the folder with everything in it. Where the folder is a link, only the link.

        Args:
            keep: folders that must not be deleted with it, the configured runs folder for one.
            everything: also entries that are not the run's; see core.runs.removal.foreign.

        Raises:
            BadRun: it is being trained or scored, it may be more than a run, it holds something else, or the system refuses:
                the message says whether it, or only its files, are still there.
        """
        Run.open(self.path)  # never a folder that is no run
        require_removable(self.path, "deleted", keep)
        if not everything:
            require_nothing_foreign(self.path)
        grave = self.path.with_name(f"{DELETED}{uuid.uuid4().hex[:12]}")
        if is_link(self.path):
            self._unlink()
            return
        sweep(self.path.parent)
        self._move(grave, "deleted")  # gone at once for everybody, whatever happens while its files are removed
        try:
            remove_folder(grave)
        except OSError as error:
            raise BadRun(
                f"{self.name}: it is deleted, but not all of its files could be removed ({error.strerror or error}). The rest "
                f"is in {grave}: close what has it open; the next run that is made or deleted here removes it too."
            ) from error

    def _unlink(self) -> None:
        try:
            self.path.unlink()
        except OSError as error:
            raise BadRun(f"{self.name}: the link cannot be removed ({error.strerror or error}).") from error

    def _move(self, target: Path, action: str) -> None:
        """Rename the folder while nobody trains or scores the run."""
        locks = self._at_rest(action)
        try:
            if _WINDOWS:  # which moves no folder in which a file is open
                while locks:
                    locks.pop().release()
            self.path.rename(target)
        except OSError as error:
            raise BadRun(f"{self.name}: it cannot be {action} ({error.strerror or error}). Close what has it open.") from error
        finally:
            for lock in locks:
                lock.release()

    def _at_rest(self, action: str) -> list[FileLock]:
        """Locks that keep others from training and from writing figures. One that is no regular file keeps nobody from it:
        whoever trains or scores refuses such a run."""
        locks: list[FileLock] = []
        try:
            if not irregular(self.path / TRAINING):
                locks.append(self._take_training())
            if not irregular(self.path / EVALUATION_LOCK):
                locks.append(take(self.path, EVALUATION_LOCK, _LOCK_SECONDS))
        except (BadRun, OSError) as error:
            for lock in locks:
                lock.release()
            if isinstance(error, Timeout):
                raise BadRun(
                    f"{self.name}: it cannot be {action} now: figures of it are being written. Wait a moment, and try again."
                ) from error
            words = error.strerror or error if isinstance(error, OSError) else error
            raise BadRun(f"{self.name}: it cannot be {action} now. {words}") from error
        return locks


def list_runs(root: Path | str) -> list[Run]:
    """All runs in a folder, newest first; [] when it does not exist. A damaged one is listed too: see Run.problem."""
    root = Path(root)
    try:
        names = [entry.name for entry in os.scandir(root) if not entry.name.startswith(".")]
    except OSError:
        return []
    runs = [Run(root / name) for name in names if is_run(root / name)]
    return sorted(runs, key=lambda run: (created_at(run.path / STATUS), run.name), reverse=True)
