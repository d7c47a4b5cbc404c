"""What importers share: their description, their report, their options, and the check of every file."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from core.data.file_inspection import InspectedFile, InspectionStore, inspect_file
from core.data.importers.patient_pattern import PatientPattern
from core.data.importers.tree import Require, Tree
from core.data.manifest import STANDARD, number
from core.data.read_ahead import read_ahead
from core.errors import BadManifest, UnreadableImage
from core.images import one_large_at_a_time
from core.images.files import printable_name
from core.images.headers import ImageHeader, read_header
from core.images.mammogram import ImageMeta
from core.wording import counted

Progress = Callable[[int, int], None]

VERIFY = "auto (default): decode every file when they are at most 1 GB together, else read headers only; all; header"
_AUTO_BYTES = 10**9


@dataclass(frozen=True)
class ImportReport:
    """`frame`: the manifest's rows; `notes`: what a user must know of them; `rejected`: files left out, and why.

    `repairs`: what was changed against the source, with counts; `unknown`: what cannot be known from it.
    """

    frame: pd.DataFrame
    notes: list[str] = field(default_factory=list)
    rejected: list[tuple[str, str]] = field(default_factory=list)
    repairs: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


class Options:
    """The options of one import, read with checks. Values may be text from a command line.

    `require` is called with the paths of all files before any of them is read, and may raise.
    """

    def __init__(self, importer: str, values: Mapping[str, Any], require: Require | None = None) -> None:
        self.importer = importer
        self.require = require
        self._values = dict(values)

    def given(self, name: str) -> bool:
        """Whether the option was given at all, be it empty."""
        return self._values.get(name) is not None

    def text(self, name: str, default: str = "") -> str:
        """The option as text."""
        value = self._values.get(name)
        return default if value is None else str(value).strip()

    def words(self, name: str, default: str = "") -> list[str]:
        """The option as a list of words: a Python list, or text with commas between."""
        value = self._values.get(name)
        if value is not None and not isinstance(value, str):
            return [str(word).strip() for word in (value if isinstance(value, Iterable) else [value])]
        return [word.strip() for word in (value if value is not None else default).split(",") if word.strip()]

    def choice(self, name: str, allowed: Sequence[str]) -> str:
        """The option as one of `allowed`, the first by default.

        Raises:
            BadManifest: it is none of them.
        """
        value = self.text(name, allowed[0]).lower() or allowed[0]
        if value not in allowed:
            raise BadManifest(f"importer {self.importer}: option {name}: expected one of {', '.join(allowed)}, got {value!r}")
        return value

    def pattern(self, name: str) -> PatientPattern | None:
        """The option as a regular expression with a group `patient` or a first group; None when it is not given.

        Raises:
            BadManifest: not a regular expression, or one without a group.
        """
        text = self.text(name)
        return PatientPattern(text, f"importer {self.importer}: option {name}") if text else None


_SOURCES = {
    "table": "the table",
    "pattern": "patient_pattern",
    "dicom": "the DICOM header",
    "name": "the file name",
    "alone": "the file itself",
}


def patient_notes(rules: Counter[str], total: int, remedy: str) -> list[str]:
    """How many images of `total` have their patient from which source; `remedy` for those whose patient is not known."""
    texts = {
        "pattern": "patient from patient_pattern",
        "dicom": "patient from the DICOM header (as a pseudonym)",
        "name": "patient from the file name without side and view at its end",
        "alone": f"no patient known, so each file counts as one patient. Leakage between splits cannot be excluded: {remedy}",
    }
    return [
        f"{'warning: ' if rule == 'alone' else ''}{rules[rule]:,} of {counted(total, 'image')}: {text}"
        for rule, text in texts.items()
        if rules[rule]
    ] + mixed_sources_notes(rules)


def mixed_sources_notes(rules: Counter[str]) -> list[str]:
    """A warning when patients come from more than one source, for one patient may have another id in each; else nothing."""
    used = [f"{rules[rule]} from {source}" for rule, source in _SOURCES.items() if rules[rule]]
    if len(used) < 2:
        return []
    remedy = "a patient_pattern that matches every file solves this"
    if rules["table"]:
        remedy = "naming the patient in every row, or a patient_pattern that gives the table's ids for the others, solves this"
    return [
        f"patient ids come from more than one source ({', '.join(used)}): the same patient may carry two ids, so leakage "
        f"between splits cannot be excluded; {remedy}"
    ]


@dataclass(frozen=True)
class Importer:
    """`options`: name -> what it does; `recognise`: why the files of a tree are this collection, "" where they are not."""

    name: str
    description: str
    options: dict[str, str]
    function: Callable[[Path, Options, Progress | None], ImportReport]
    recognise: Callable[[Tree], str] | None = None


@dataclass(frozen=True)
class FileCheck:
    """The check of one file: a reason to leave it out, or its metadata."""

    reason: str = ""
    meta: ImageMeta = field(default_factory=ImageMeta)
    header: ImageHeader = field(default_factory=ImageHeader)

    @property
    def two_levels(self) -> bool:
        """Whether its pixels are black and white only, as a mask's are; known where it was decoded."""
        return self.meta.grey_levels == 2


def check_files(
    paths: Sequence[Path], verify: str, progress: Progress | None, require: Require | None = None
) -> tuple[list[FileCheck], str]:
    """Check each file, in order; `verify` is auto, all or header. Also returns a note that says what was done.

    `require` is asked first: it raises where one of the paths may not be read.
    """
    if require is not None:
        require(paths)
    if verify == "auto":
        verify = "all" if sum(_size(path) for path in paths) <= _AUTO_BYTES else "header"
    found: list[FileCheck] = []
    if progress is not None:
        progress(0, len(paths))
    workers = min(4, os.cpu_count() or 1)
    check = _decode if verify == "all" else _read_header
    results = read_ahead(check, paths, workers=workers, ahead=4 * workers, name="import")
    with InspectionStore() as store, closing(results):
        for path, (checked, inspected) in zip(paths, results, strict=True):
            if inspected is not None:
                store.put(str(path), inspected)  # a check need not read the file again
            found.append(checked)
            if progress is not None:
                progress(len(found), len(paths))
    if verify == "all":
        return (
            found,
            f"{counted(len(paths), 'file was', 'files were')} decoded to see that {'it' if len(paths) == 1 else 'they'} can be "
            f"read; a check need not read {'it' if len(paths) == 1 else 'them'} again",
        )
    return (
        found,
        f"{counted(len(paths), 'file was', 'files were')} checked by their headers only; `python -m core data check` decodes "
        "them all",
    )


def ticking(progress: Progress | None) -> Callable[[], None] | None:
    """A function to call while nothing can be counted yet, so that the work can be ended then too."""
    return None if progress is None else lambda: progress(0, 0)


def rows_to_frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows as a manifest's frame, typed as read_manifest does: the standard columns, then those that have any value."""
    names = _columns(rows)
    frame = pd.DataFrame([dict.fromkeys(names, "") | dict(row) for row in rows], columns=names)
    for name in names:
        if name == "synthetic":
            frame[name] = [str(value).lower() in ("true", "1", "yes") for value in frame[name]]
        elif name == "age":
            frame[name] = pd.Series([number(str(value)) for value in frame[name]], dtype="float64")
        else:
            frame[name] = frame[name].astype("str")
    return frame


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    used = [name for row in rows for name, value in row.items() if value not in ("", None)]
    return list(dict.fromkeys([*STANDARD, *used]))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _unwritable(path: Path) -> FileCheck | None:
    """A refusal where the path cannot stand in a manifest: it would be read back as another one."""
    text = str(path)
    wanted = ""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        wanted = "a name in UTF-8, got one of another encoding"
    if text != text.rstrip():
        wanted = "a name without blanks at its end, which a manifest does not keep"
    if os.sep == "/" and "\\" in text:
        wanted = "a name without backslashes, which separate folders in a manifest from Windows"
    return FileCheck(reason=f"{printable_name(path)}: expected {wanted}. Rename the file.") if wanted else None


def _decode(path: Path) -> tuple[FileCheck, InspectedFile | None]:
    refused = _unwritable(path)
    if refused is not None:
        return refused, None
    with one_large_at_a_time():
        inspected = inspect_file(path)
        meta = inspected.image.meta if inspected.image is not None else ImageMeta()
        checked = FileCheck(inspected.inspection.reason, meta)
        if inspected.image is not None:
            height, width = inspected.image.pixels.shape
            header = ImageHeader(meta=meta)
            if meta.format == "DICOM":
                with suppress(UnreadableImage):  # gone since it was decoded
                    header = read_header(path)
            checked = replace(checked, header=replace(header, size=(width, height)))
    return checked, replace(inspected, image=None)  # the pixels of many waiting results would fill the memory


def _read_header(path: Path) -> tuple[FileCheck, None]:
    refused = _unwritable(path)
    if refused is not None:
        return refused, None
    try:
        header = read_header(path)
        return FileCheck(meta=header.meta, header=header), None
    except UnreadableImage as error:
        return FileCheck(reason=f"{printable_name(path)}: {error}"), None
