"""A run: one training, one folder. Everything anybody knows about it is in that folder.

config.yaml     resolved        manifest.csv   the rows used, with split and content hash
status.json     see status.py   events.jsonl   see events.py
control/        empty files `stop` and `pause`: requests to whoever trains
last.pt         see checkpoint.py
model.safetensors, model.json   the best model so far (core.model.store)
start.safetensors  the weights a fork begins with
predictions/, excluded.csv, train.log, note.txt (what the user wrote about it)
patches.csv     rows of another manifest whose lesions the patch phase trained on (core/training/patches)
patches_before.csv  of a fork: those that the weights it begins with had been trained on
test_accesses.jsonl  see accesses.py; split.json  see split_origin.py; leakage.json  see core/training/leakage.py
"""

from __future__ import annotations

import io
import os
import shutil
import uuid
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from filelock import FileLock

from core.config import Config, load_config
from core.data import assign_splits, read_manifest, require_trainable
from core.data.breasts import require_breasts
from core.errors import BadConfig, BadManifest, BadRun
from core.files.folders import write_text
from core.files.untrusted import LARGE, irregular, read_bytes
from core.model.card import ModelCard, has_model, read_card
from core.runs.drafts import DRAFT, fill, settle, sweep
from core.runs.event_log import EventReader
from core.runs.events import Event
from core.runs.folder import MARKS, irregular_entry, is_run, require_own_files, require_regular, unwritten
from core.runs.locks import take_training
from core.runs.names import clean_name, default_names, display_name
from core.runs.removal import delete_folder, rename_folder
from core.runs.split_origin import origin_of, write_split_origin
from core.runs.status import Status, created_at, read_status, write_status
from core.runs.test_set.access_log import adopt

Request = Literal["stop", "pause", "begin"]  # "begin": of a run that waits in the queue, without waiting further

CONFIG, MANIFEST, STATUS, EVENTS, LAST = "config.yaml", "manifest.csv", "status.json", "events.jsonl", "last.pt"
EXCLUDED = "excluded.csv"
PATCHES, PATCHES_BEFORE = "patches.csv", "patches_before.csv"
START = "start.safetensors"
NOTE = "note.txt"
LONGEST_NOTE = 10_000  # characters
LARGEST_MANIFEST = 1 << 29  # bytes; two million images


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
        return display_name(self.path)

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
            Leakage: a patient, or an identical file, stands in two splits, and `data.allow_leakage` is off.
            BadManifest: train or val lacks a class, or rows lack a split; with two views, no breast has a second image.
            BadConfig: no such architecture, or a device or precision this machine does not have.
            MissingWeights: the pretrained weights cannot be had here.
            BadRun: the name is taken or impossible, or the folder cannot be written to.
            NotRecorded: what its test images were used for before cannot be written into its folder.
        """
        from core.model import check_model
        from core.model.device import pick_device_config

        data = config.data
        rows = assign_splits(frame, data.val_fraction, data.test_fraction, data.split_seed)
        require_trainable(rows, allow_leakage=data.allow_leakage)
        require_breasts(rows, config)
        pick_device_config(config.training)
        if check_model(config.model).kind == "none":  # in a run, "auto" always means that there were weights
            config = config.model_copy(update={"model": config.model.model_copy(update={"weights": "none"})})
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
        """The run in this folder. Raises BadRun: there is no such folder, or it is no run."""
        run = cls(path)
        if not run.path.is_dir():
            raise BadRun(f"{run.path}: no such run. Start one, or give the path of a run folder (in checkpoints/).")
        if not is_run(run.path):
            raise BadRun(f"{run.path}: not a run: it holds none of {', '.join(MARKS)}. Give the path of a run folder.")
        return run

    @property
    def problem(self) -> str:
        """What is wrong with the folder; "" when nothing is."""
        if not self.readable_name:
            return "its name is no UTF-8: rename the folder, or delete the run"
        found = irregular_entry(self.path)
        if found:
            return f"the entry {found}, where a run has regular files and folders only: take it out, or delete the run"
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
        """The configuration it trains with. Raises BadRun: config.yaml is missing or damaged."""
        try:
            config = load_config(self.path / CONFIG, warn=False)
        except BadConfig as error:
            raise BadRun(f"{self.name}: its configuration cannot be read. {error}") from error
        if config.model.weights != START:
            return config
        # A fork's own file: written without its folder, so that it is found again when the run is renamed or moved.
        return config.model_copy(update={"model": config.model.model_copy(update={"weights": (self.path / START).as_posix()})})

    @property
    def begun(self) -> bool:
        """Whether training it again has to be a resume. One that waits in the queue to be resumed is "queued" too."""
        return self.status().state != "queued" or (self.path / LAST).is_file()

    def manifest(self) -> pd.DataFrame:
        """The rows it uses, as core.data.read_manifest gives them; `content_hash` is filled once images are prepared.

        Raises:
            BadManifest: manifest.csv is missing, damaged or too large.
        """
        return _read_own_manifest(self.path / MANIFEST)

    def patch_rows(self) -> pd.DataFrame | None:
        """The rows of another manifest that the patch phase trained on, with `content_hash`; None where there are none.

        Raises:
            BadManifest: patches.csv is damaged or too large.
        """
        path = self.path / PATCHES
        return _read_own_manifest(path) if os.path.lexists(path) else None

    def patches_seen(self) -> pd.DataFrame | None:
        """The rows of other manifests that the weights were trained on in patch phases, this run's and those of the runs that
        it was forked from; None where there are none.

        Raises:
            BadManifest: one of the files is damaged or too large, or patches.csv is gone.
        """
        own, path = self.patch_rows(), self.path / PATCHES_BEFORE
        if own is None and self.has_model:
            lesions = self.config().training.lesions
            if lesions.patch_epochs and lesions.patch_manifest:
                raise BadManifest(
                    f"{self.path / PATCHES}: expected the images that this run cut patches from, got no file. Restore it from "
                    "a copy: without it nobody knows whom the network has seen."
                )
        before = _read_own_manifest(path) if os.path.lexists(path) else None
        found = [rows for rows in (own, before) if rows is not None]
        return pd.concat(found, ignore_index=True).fillna("").drop_duplicates("path", ignore_index=True) if found else None

    def seen_rows(self) -> pd.DataFrame:
        """The rows of `manifest`, and after them what patch phases trained on, as rows of the split train.

        Raises:
            BadManifest: a file of the run is missing, damaged or too large.
        """
        own, patches = self.manifest(), self.patches_seen()
        if patches is None:
            return own
        return pd.concat([own, patches.assign(split="train")], ignore_index=True).fillna("")

    def excluded(self) -> dict[str, str]:
        """Images that were left out because they cannot be read: {path: reason}. Raises BadRun: excluded.csv is damaged."""
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

    def events(self) -> list[Event]:
        """All events. For polling, `event_reader` costs less and notices a resumed run."""
        return self.event_reader().read()

    def event_reader(self) -> EventReader:
        """A reader that gives, at each call, only what is new."""
        return EventReader(self.path / EVENTS)

    @property
    def has_model(self) -> bool:
        """Whether there is a model to predict with (the best so far, while it still trains)."""
        return has_model(self.path)

    def model_card(self) -> ModelCard:
        """model.json. Raises BadRun: there is no model yet, or its card is damaged."""
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
            raise unwritten(self.path, f"a request to {what} cannot be written", error) from error

    def requested(self, what: Request) -> bool:
        """Whether that was requested and not yet withdrawn or done."""
        return (self.path / "control" / what).exists()

    def withdraw(self, what: Request) -> None:
        """Take a request back: withdrawing "pause" lets a paused run continue."""
        (self.path / "control" / what).unlink(missing_ok=True)

    # ------------------------------------------------------------------ write

    def set_status(self, **changes: Any) -> None:
        """Change fields of status.json. While a run trains only its trainer does (through StatusWriter)."""
        write_status(self.path / STATUS, replace(self.status(), **changes))

    def set_note(self, text: str) -> None:
        """Save a note about the run, in place of the one before; an empty one removes it.

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
            raise unwritten(self.path, "the note cannot be written", error) from error

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
        if state == "done" and self._members():
            raise BadRun(
                f"{self.name}: it is the mean of {self._members()} runs, and nothing of it is trained. Train or fork one of "
                "these, and make an ensemble again."
            )
        if state == "done":
            raise BadRun(
                f"{self.name}: it is finished and cannot be resumed. To train its model further, fork it into a new run: "
                f"`python -m core run fork {self.name}`, or Fork on the Runs page."
            )
        if not resume and self.begun:
            raise BadRun(f"{self.name}: it was started before (it is {state}). Resume it, or start a new run.")

    def _members(self) -> int:
        """Of how many models it is the mean; 0 for any other run, and where the card cannot be read."""
        with suppress(BadRun):
            return len(self.model_card().members or ()) if self.has_model else 0
        return 0

    def acquire(self) -> FileLock:
        """Take the run for training; the system gives it back when the process ends, however it ends.

        Raises:
            BadRun: somebody trains it already; it was deleted; an entry of its folder leads elsewhere.
        """
        self.require_regular()
        return take_training(self.path)

    # ------------------------------------------------------------------ rename, delete

    def rename(self, name: str, keep: Iterable[Path] = ()) -> Run:
        """Give the run another name; this handle follows. model.json keeps the name it was trained under.

        `keep`: as in `delete`.

        Raises:
            BadRun: it is being trained or scored, the name is taken or impossible, it may be more than a run, or the system
                refuses.
        """
        self.path = rename_folder(self.path, clean_name(name), keep)
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
        delete_folder(self.path, keep, everything=everything)


def list_runs(root: Path | str) -> list[Run]:
    """All runs in a folder, newest first; [] when it does not exist. A damaged one is listed too: see Run.problem."""
    root = Path(root)
    try:
        names = [entry.name for entry in os.scandir(root) if not entry.name.startswith(".")]
    except OSError:
        return []
    runs = [Run(root / name) for name in names if is_run(root / name)]
    return sorted(runs, key=lambda run: (created_at(run.path / STATUS), run.name), reverse=True)


def _read_own_manifest(path: Path) -> pd.DataFrame:
    """A manifest in a run's folder."""
    kind = irregular(path)
    if kind:
        raise BadManifest(f"{path}: expected a CSV file, got {kind}. Restore it from a copy.")
    if path.is_file() and path.stat().st_size > LARGEST_MANIFEST:
        raise BadManifest(f"{path}: expected at most {LARGEST_MANIFEST:,} bytes, got more. Restore it from a copy.")
    return read_manifest(path)
