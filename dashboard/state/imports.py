"""Importing a data set in steps, each in the background: look at what lies there, preview the manifest, write it.

Nothing is written before the last step, but for uploads, which are unpacked below data/uploads/<name>/ and can be removed.
The tasks are `LOOK`, `PREVIEW` and `WRITE`: one import at a time on a server, shown to the browser that began it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from core.data.importers import ImportReport, import_data, recognise, write_import
from core.data.importers.folder_layout import ClassFolder, class_folders
from core.data.importers.recognition import Recognised
from core.data.unpacking import BadUpload, Limits, unpack
from core.errors import BadManifest
from core.files.folders import remove_folder
from dashboard.access.paths import require_all_allowed, require_allowed, require_allowed_import
from dashboard.state import datasets, preferences, settings, tasks
from dashboard.state.tasks import Report, Task

LOOK, PREVIEW, WRITE = "import:look", "import:preview", "import"
FOLDER_OPTIONS = ("root", "inbreast")  # options that name a place on this machine
TABLES = 30  # tables offered for the csv importer
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,79}")
_ODD = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Looked:
    """What lies at `source`: the collections that fit with their reasons, folders that may be classes, and tables."""

    source: Path
    found: list[Recognised]
    classes: list[ClassFolder] = field(default_factory=list)
    tables: list[Path] = field(default_factory=list)


@dataclass(frozen=True)
class Preview:
    """What an import would write."""

    source: Path
    importer: str
    options: dict[str, Any]
    report: ImportReport


@dataclass(frozen=True)
class Upload:
    """A folder below data/uploads: its files and their bytes."""

    path: Path
    files: int
    size: int


# ---------------------------------------------------------------- whose task it is


def mine(name: str) -> Task | None:
    """The task of this name if this browser began it."""
    task = tasks.task(name)
    return task if task is not None and preferences.get(f"started:{name}") == task.started else None


def busy() -> bool:
    """Whether somebody else is importing on this server."""
    running = (name for name in (LOOK, PREVIEW, WRITE) if (task := tasks.task(name)) is not None and task.running)
    return any(mine(name) is None for name in running)


def forget(*names: str) -> None:
    """Drop these tasks of this browser, so that the import is back at the step before them."""
    for name in names:
        if mine(name) is not None:
            tasks.stop_task(name)
            tasks.forget_task(name)
            preferences.set(f"started:{name}", None)


def _require_free() -> None:
    if busy():
        raise BadManifest("import: expected no other import on this server, got one that runs. Wait until it has ended.")


# ---------------------------------------------------------------- uploads


def uploads_folder() -> Path:
    """Where uploads are unpacked."""
    return settings.workspace() / "data" / "uploads"


def limits() -> Limits:
    """How large an upload may be once it is unpacked."""
    config = settings.current().dashboard
    return Limits(config.upload_total_mb * 1000**2, config.upload_files)


def upload_name(files: Sequence[str]) -> str:
    """A folder's name for what is sent: that of a single file, or the first free `upload-N`."""
    stem = _ODD.sub("-", Path(files[0].replace("\\", "/")).stem).strip("-.") if len(files) == 1 else ""
    base, name, number = stem[:60] or "upload", stem[:60] or "upload", 1
    while (uploads_folder() / name).exists():
        number += 1
        name = f"{base}-{number}"
    return name


def list_uploads() -> list[Upload]:
    """Every upload there is, by name."""
    folder = uploads_folder()
    there = sorted(folder.iterdir()) if folder.is_dir() else []
    found = []
    for path in there:
        if path.is_dir() and not path.is_symlink() and not path.name.startswith("."):
            sizes = [each.lstat().st_size for each in path.rglob("*") if each.is_file()]
            found.append(Upload(path, len(sizes), sum(sizes)))
    return found


def remove_upload(path: Path) -> None:
    """Delete an upload with everything in it.

    Raises BadUpload (it is none, or cannot be deleted).
    """
    if path.parent != uploads_folder() or path.is_symlink() or not path.is_dir():
        raise BadUpload(f"{path.name}: expected an upload below {uploads_folder()}, got something else. Reload the page.")
    try:
        remove_folder(path)
    except OSError as error:
        raise BadUpload(f"{path}: cannot be deleted: {error.strerror or error}. Close programs that use it.") from error


# ---------------------------------------------------------------- the steps


def start_look(source: Path) -> Task:
    """Look at what lies there; the result is a Looked. Raises NotAllowed (see dashboard.access.paths)."""
    _require_free()
    require_allowed(source)
    forget(PREVIEW, WRITE, LOOK)
    return datasets.started_here(tasks.start_task(LOOK, "Looking at the files", lambda report: look(source, report)))


def start_upload(sent: Sequence[tuple[str, BinaryIO]], name: str) -> Task:
    """Unpack what was sent into data/uploads/<name>, then look at it. Raises BadUpload (not a plain name, or taken)."""
    _require_free()
    if not _NAME.fullmatch(name) or name.endswith((".", " ")):
        raise BadUpload(f"{name!r}: expected a name of letters, digits, blanks, dots, _ and -. Choose another one.")
    folder = uploads_folder() / name
    if folder.exists():
        raise BadUpload(f"{name}: expected a new name, got that of an upload. Choose another one, or remove that upload.")
    bounds = limits()
    forget(PREVIEW, WRITE, LOOK)

    def work(report: Report) -> Looked:
        unpack(sent, folder, bounds, report)
        return look(folder, report)

    return datasets.started_here(tasks.start_task(LOOK, "Unpacking", work))


def look(source: Path, report: Report) -> Looked:
    """What lies at `source`; of an upload, below the folders that hold nothing but one other."""
    if not source.exists():
        raise BadManifest(f"{source}: expected a data set to import, got a path where there is none. Check the path.")

    def tick() -> None:
        report(0, 0)

    if source.parent == uploads_folder():
        while len(there := list(source.iterdir())) == 1 and there[0].is_dir():
            source = there[0]
    found = recognise(source, tick, require_all_allowed)
    if source.is_file():
        return Looked(source, found or [Recognised("csv", "a table was named")])
    names = {each.name for each in found}
    classes = class_folders(source, tick) if names <= {"folder"} else []
    tables: list[Path] = []
    if not names - {"folder"}:
        for path in sorted(source.rglob("*.csv"), key=lambda each: (len(each.parts), each)):
            tick()
            tables.append(path)
            if len(tables) == TABLES:
                break
    return Looked(source, found, classes, tables)


def start_preview(importer: str, source: Path, options: Mapping[str, Any]) -> Task:
    """Make the manifest's rows without writing them; the result is a Preview. Raises NotAllowed."""
    _require_free()
    require_allowed(source)
    for name in FOLDER_OPTIONS:
        if options.get(name):
            require_allowed(Path(str(options[name])))
    chosen = dict(options)
    forget(PREVIEW, WRITE)

    def work(report: Report) -> Preview:
        found = import_data(importer, source, progress=report, require=require_all_allowed, **chosen)
        require_allowed_import(found)
        return Preview(source, importer, chosen, found)

    return datasets.started_here(tasks.start_task(PREVIEW, "Reading the data set", work))


def start_write(preview: Preview, name: str) -> Task:
    """Write the previewed manifest to data/<name>.csv; the result is (its path, ImportReport).

    Nothing is overwritten: a name that is taken gets a number. Raises BadManifest (not a plain name).
    """
    _require_free()
    if not _NAME.fullmatch(name) or name.endswith((".", " ")):
        raise BadManifest(f"{name!r}: expected a name of letters, digits, blanks, dots, _ and -. Choose another one.")
    out = datasets.free_name(settings.workspace() / "data" / f"{name}.csv")

    def work(report: Report) -> tuple[Path, ImportReport]:
        found = preview.report
        write_import(found, out)
        rejected = [[str(file), reason] for file, reason in found.rejected[:500]]
        left_out = {"notes": notes_of(found), "rejected": rejected, "count": len(found.rejected)}
        preferences.set(f"left_out:{out}", left_out)
        return out, found

    return datasets.started_here(tasks.start_task(WRITE, "Writing the manifest", work))


def notes_of(found: ImportReport) -> list[str]:
    """Everything that is to be said of an import, warnings with "warning: " before them."""
    unknown = [f"warning: not known: {text}" for text in found.unknown]
    return [*unknown, *(f"repaired: {text}" for text in found.repairs), *found.notes]


def manifest_name(source: Path, importer: str) -> str:
    """A name for the manifest of this source."""
    upload = next((each for each in source.parents if each.parent == uploads_folder()), None)
    stem = source.stem if source.is_file() else source.name
    return _ODD.sub("-", upload.name if upload is not None else stem).strip("-.")[:80] or importer
