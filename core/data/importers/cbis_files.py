"""Where the files of a CBIS-DDSM case lie: in the tree of NBIA's retriever, by series UID, or in Kaggle's JPEG folders.

The paths of the case tables exist nowhere as they are written. What they share with the disk:

    <subject>/<study UID>/<series UID>/000000.dcm      classical: the UIDs are folders
    <series UID>/1-1.dcm, jpeg/<series UID>/1-093.jpg  flat, and Kaggle's copies
    <subject>/08-29-2017-DDSM-NA-96009/1.000000-full mammogram images-63992/1-1.dcm
                                                       NBIA: the last five digits of study and series UID end the folders' names
    metadata.csv                                       NBIA's list: series UID -> folder
    dicom_info.csv                                     Kaggle's list of headers: file -> series description and subject
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from core.data.importers.cbis_tables import subject_of
from core.data.importers.records import read_records
from core.data.importers.tree import Tree

_UID = re.compile(r"[0-9]+(?:\.[0-9]+){4,}")
_TAIL = re.compile(r"([0-9]{5})$")
_HEADERS = ("image_path", "PatientID", "SeriesDescription")
_NBIA = ("Series UID", "File Location")
_LEAST_TAIL = 5


class CbisFiles:
    """Every image file below the root, found by the parts of a path in a case table."""

    def __init__(self, tree: Tree) -> None:
        self._by_series: defaultdict[str, list[Path]] = defaultdict(list)
        self._by_tail: defaultdict[tuple[str, str], list[Path]] = defaultdict(list)
        self._by_subject: defaultdict[str, list[Path]] = defaultdict(list)
        self._descriptions: dict[tuple[str, str], str] = {}
        self._by_folder: defaultdict[Path, list[Path]] = defaultdict(list)
        self.again: list[tuple[Path, Path]] = []  # the same series and name in another folder
        for path in tree.images:
            self._add(path, tree)
        self._read_nbia(tree)
        self._read_headers(tree)

    def find(self, segments: Sequence[str], subject: str) -> list[Path]:
        """The files in the folder that a path of the table means; [] where there is none.

        Args:
            segments: of the path: subject, study UID, series UID, file name.
            subject: as the other columns of the row give it, for rows with another path or none.
        """
        uids = [part for part in segments if _UID.fullmatch(part)]
        if uids and self._by_series.get(uids[-1]):
            return self._by_series[uids[-1]]
        named = next((part for part in segments if subject_of(part)), subject).lower()
        if uids:
            found = self._by_tail.get((named, uids[-1][-_LEAST_TAIL:]), [])
            study = [path for path in found if len(uids) > 1 and uids[-2].endswith(_tail(path.parent.parent.name) or "-")]
            if found:
                return study or found
        within = self._by_subject.get(named, [])
        return within if len({path.parent for path in within}) == 1 else []

    def description(self, path: Path) -> str:
        """What Kaggle's list says of the file: full mammogram images, cropped images, ROI mask images, or "" for nothing."""
        return self._descriptions.get((path.parent.name, path.name), "")

    def _add(self, path: Path, tree: Tree) -> None:
        folder = path.parent
        self._by_folder[folder].append(path)
        if _UID.fullmatch(folder.name):
            there = next((each for each in self._by_series[folder.name] if each.name == path.name), None)
            if there is not None:
                self.again.append((path, there))
                return
            self._by_series[folder.name].append(path)
        subject = next((part for part in reversed(tree.inside(path)[:-1]) if subject_of(part)), "").lower()
        if subject:
            self._by_subject[subject].append(path)
            if tail := _tail(folder.name):
                self._by_tail[(subject, tail)].append(path)

    def _read_nbia(self, tree: Tree) -> None:
        for table in tree.tables(_NBIA, r"metadata\.csv"):
            for record in read_records(table, _NBIA):
                location = record["File Location"].replace("\\", "/").removeprefix("./")
                there = self._by_folder.get(table.parent / location, [])
                if there and not self._by_series.get(record["Series UID"]):
                    self._by_series[record["Series UID"]] = there

    def _read_headers(self, tree: Tree) -> None:
        for table in tree.tables(_HEADERS, r"dicom_info.*"):
            for record in read_records(table, _HEADERS):
                series, _, name = record["image_path"].replace("\\", "/").rpartition("/")
                series = series.rpartition("/")[2]
                description = record["SeriesDescription"].lower()
                self._descriptions[(series, name)] = "" if description == "nan" else description
                subject = record["PatientID"].lower()
                if subject_of(subject):
                    files = [path for path in self._by_series.get(series, []) if path.name == name]
                    self._by_subject[subject] += [path for path in files if path not in self._by_subject[subject]]


def _tail(name: str) -> str:
    found = _TAIL.search(name)
    return found[1] if found else ""
