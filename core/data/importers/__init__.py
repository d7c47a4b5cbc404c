"""Importers: from a data set on disk to the rows of a manifest. Nothing is copied, renamed or changed.

One file an importer. To add one: write a function (source, options, progress) -> ImportReport and name it in registry.py, or
in the entry points of a package of yours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from core.data.identity import patient_doubts
from core.data.importers.base import Importer, ImportReport, Options, ticking
from core.data.importers.folder_walk import with_home
from core.data.importers.recognition import recognise, the_one
from core.data.importers.registry import IMPORTERS, importers
from core.data.importers.tree import Require
from core.data.importers.writing import exclusions_path, write_import
from core.data.tables import shown
from core.errors import BadManifest
from core.files.spreadsheet import FORMULA
from core.wording import counted

__all__ = [
    "AUTO",
    "IMPORTERS",
    "ImportReport",
    "Importer",
    "exclusions_path",
    "import_data",
    "importers",
    "recognise",
    "write_import",
]

AUTO = "auto"  # in place of a name: the collection that the files are


def import_data(
    name: str,
    source: Path | str,
    *,
    progress: Callable[[int, int], None] | None = None,
    require: Require | None = None,
    **options: Any,
) -> ImportReport:
    """Describe the images below `source` as a manifest's rows (see core.data.manifest; write it with write_manifest).

    Args:
        name: one of `importers()`, or AUTO.
        options: see the importer's `options`; text as from the command line, or Python values.
        progress: called with (files looked at, files).
        require: called with the paths of all files before any of them is looked at; what it raises ends the import.

    Raises:
        BadManifest: no such importer or option, a layout that is not the importer's, no usable image; with AUTO also where no
            collection is recognised, or several are.
    """
    path = with_home(Path(source)).absolute()
    if not path.exists():
        raise BadManifest(f"{path}: expected a data set to import, got a path where there is none. Check the path.")
    known, broken = importers()
    notes = []
    if name == AUTO:
        found = the_one(path, ticking(progress), require)
        name = found.name
        notes.append(f"recognised as {name}: {found.reason}")
    importer = known.get(name)
    if importer is None:
        reason = f"; {name} was found, but {broken[name]}" if name in broken else ""
        raise BadManifest(f"importer {name!r}: expected one of {', '.join(known)}{reason}")
    unknown = sorted(set(options) - set(importer.options))
    if unknown:
        raise BadManifest(f"importer {name}: unknown option {', '.join(unknown)}; it takes {', '.join(importer.options)}")
    report = importer.function(path, Options(name, options, require), progress)
    if report.frame.empty:
        # That two rows are one image is no reason why there is none.
        telling = [entry for entry in report.rejected if not entry[1].startswith("the same image")] or report.rejected
        reasons = "; ".join(f"{rejected}: {reason}" for rejected, reason in telling[:3])
        raise BadManifest(
            f"{path}: no usable image found" + (f" ({len(report.rejected)} left out, the first: {reasons})" if reasons else "")
        )
    return replace(report, notes=[*notes, *report.notes, *_patient_notes(report.frame), *_formula_notes(report.frame)])


def _patient_notes(frame: pd.DataFrame) -> list[str]:
    doubts = patient_doubts(frame["patient_id"].astype("str").to_list(), frame["split"].astype("str").to_list())
    return [f"warning: {doubt.message}" for doubt in doubts]


def _formula_notes(frame: pd.DataFrame) -> list[str]:
    """A warning of cells that a spreadsheet would run. They stay as they are: a manifest says what its source said."""
    columns = [name for name in frame.columns if pd.api.types.is_string_dtype(frame[name])]
    found = {name: frame.loc[frame[name].str.match(FORMULA.pattern), name] for name in columns}
    count = sum(map(len, found.values()))
    if not count:
        return []
    name, first = next((name, cells.iloc[0]) for name, cells in found.items() if len(cells))
    return [
        f"{counted(count, 'cell begins', 'cells begin')} with =, +, - or @ (the first: "
        f"{name} {shown(first)}): a spreadsheet that opens the manifest "
        "would take them for formulas. They are kept as they are; import the file there with its columns as text"
    ]
