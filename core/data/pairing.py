"""Which of some files are of one breast, by what manifests, DICOM headers and file names say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.data.importers.file_names import split_name
from core.data.known_images import KnownImages
from core.errors import UnreadableImage
from core.images.headers import read_header


@dataclass(frozen=True)
class Identity:
    """Whose image a file is. Only what comes from the same `source` (a manifest, "header", "name") can be compared."""

    source: str
    patient: str
    side: str
    exam: str = ""
    view: str = ""

    @property
    def known(self) -> bool:
        """Whether patient and side are: without, the image is a breast of its own."""
        return bool(self.patient and self.side)


def pair_files(
    files: Sequence[Path | str], manifests: Sequence[KnownImages], *, together: bool = False
) -> list[tuple[tuple[Path, ...], dict[Path, str]]]:
    """The files of each breast, in the order of their first ones, with the view of each as far as it is known.

    By patient, side and, where it is known, examination: as the first of the `manifests` that has the file says, else the DICOM
    header, else the file's name (P7_L_CC.png) within its folder. A file of which nothing says whose, or which side, it is, is
    a breast of its own. `together`: somebody gave these files together, so names count whatever their folders.
    """
    groups: dict[Any, list[Path]] = {}
    views: dict[Path, str] = {}
    for path in map(Path, files):
        found = identity_of(path, manifests, together=together)
        views[path] = found.view
        key = (found.source, found.patient, found.side, found.exam) if found.known else path
        groups.setdefault(key, []).append(path)
    return [(tuple(paths), {path: views[path] for path in paths if views[path]}) for paths in groups.values()]


def identity_of(path: Path, manifests: Sequence[KnownImages], *, together: bool = False) -> Identity:
    """Whose image a file is, as `pair_files` has it."""
    for number, manifest in enumerate(manifests):
        row = manifest.row(path)
        if row is not None:
            known = (row.get(name, "") for name in ("patient_id", "laterality", "exam_id", "view"))
            return Identity(f"manifest {number}", *known)
    try:
        meta = read_header(path).meta
    except UnreadableImage:  # whoever judges it says so
        return Identity("", "", "")
    parts = split_name(path.stem)
    view = meta.view or parts.view
    if meta.patient and meta.laterality:
        return Identity("header", meta.patient, meta.laterality, view=view)
    folder = "" if together else path.absolute().parent
    return Identity("name", f"{folder}/{parts.patient}", meta.laterality or parts.laterality, view=view)
