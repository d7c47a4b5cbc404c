"""Recognition of collections, importers of other packages, and what an import writes."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import EntryPoint
from pathlib import Path

import pandas as pd
import pytest
from builders import collection_trees as trees

from core.data.importers import exclusions_path, import_data, importers, recognise, registry, write_import
from core.data.importers.base import Importer, ImportReport, Options, Progress, rows_to_frame
from core.data.importers.folder_walk import walk
from core.data.manifest import read_manifest
from core.errors import BadManifest


def _ours(source: Path, options: Options, progress: Progress | None) -> ImportReport:
    rows = [{"path": str(path), "label": "benign", "patient_id": path.stem} for path in walk(source).files]
    return ImportReport(rows_to_frame(rows))


OURS = Importer(
    "our-archive", "the archive of a test", {}, _ours, lambda tree: "a file ours.txt" if "ours.txt" in tree.parts else ""
)


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """One importer of another package that works, and five that do not."""
    points = [
        EntryPoint("our-archive", f"{__name__}:OURS", registry.GROUP),
        EntryPoint("nowhere", "no_such_package_of_ours:IMPORTER", registry.GROUP),
        EntryPoint("raises", f"{__name__}:MISSING", registry.GROUP),
        EntryPoint("wrong", "core.data.importers.registry:GROUP", registry.GROUP),
        EntryPoint("renamed", f"{__name__}:OURS", registry.GROUP),
        EntryPoint("cmmd", f"{__name__}:OURS", registry.GROUP),
    ]

    def load(point: EntryPoint) -> object:
        if point.name == "raises":
            raise SystemExit("a plug-in that ends the program")
        return OURS if point.name in ("our-archive", "renamed", "cmmd") else EntryPoint.load(point)

    class Point:
        def __init__(self, point: EntryPoint) -> None:
            self.name, self.value, self._point = point.name, point.value, point

        def load(self) -> object:
            return load(self._point)

    def found(group: str) -> Sequence[Point]:
        assert group == "mammolab.importers"
        return [Point(point) for point in points]

    monkeypatch.setattr(registry, "entry_points", found)
    monkeypatch.setattr(registry, "installed", registry.installed.__wrapped__)  # looked for anew


@pytest.mark.usefixtures("plugins")
def test_importers_of_other_packages_are_used_and_broken_ones_named(tmp_path: Path) -> None:
    known, broken = importers()
    assert known["our-archive"] is OURS and known["cmmd"] is not OURS
    assert set(broken) == {"nowhere", "raises", "wrong", "renamed", "cmmd"}
    assert "No module named" in broken["nowhere"] and "SystemExit: a plug-in" in broken["raises"]
    assert "got str" in broken["wrong"] and "is there already" in broken["cmmd"] and "called renamed" in broken["renamed"]
    trees.picture(tmp_path / "ours.txt.png").rename(tmp_path / "ours.txt")
    report = import_data("auto", tmp_path)
    assert report.notes[0] == "recognised as our-archive: a file ours.txt" and len(report.frame) == 1
    with pytest.raises(BadManifest, match=r"nowhere was found, but no_such_package_of_ours:IMPORTER: cannot be loaded"):
        import_data("nowhere", tmp_path)


@pytest.mark.usefixtures("plugins")
def test_nothing_recognised_says_what_there_is(tmp_path: Path) -> None:
    trees.picture(tmp_path / "a.png")
    with pytest.raises(BadManifest, match=r"Name the importer: folder, csv, .*our-archive.*Not usable: nowhere"):
        import_data("auto", tmp_path)


def test_several_collections_are_listed_with_their_reasons(tmp_path: Path) -> None:
    trees.cmmd(tmp_path / "one")
    trees.inbreast(tmp_path / "two")
    with pytest.raises(
        BadManifest,
        match=r"several importers fit, so nothing was written\. inbreast: .*; cmmd: .*Name one "
        "of them",
    ):
        import_data("auto", tmp_path)
    assert len(import_data("auto", tmp_path / "one").frame) == 10
    table = next((tmp_path / "two").rglob("INbreast.csv"))
    assert [each.name for each in recognise(table)] == ["inbreast"]
    (tmp_path / "two" / "t.csv").write_text("path,label\na.png,1\n", encoding="utf-8")
    assert recognise(tmp_path / "two" / "t.csv") == []


def test_files_that_may_not_be_read_are_asked_about_before_any_is(tmp_path: Path) -> None:
    tree = trees.inbreast(tmp_path)
    asked: list[Path] = []

    def refuse(paths: Sequence[Path]) -> None:
        asked.extend(paths)
        raise PermissionError("not yours")

    for name in ("auto", "inbreast"):
        with pytest.raises(PermissionError):
            import_data(name, tree, require=refuse)
    assert any(path.suffix == ".xml" for path in asked) and any(path.name == "INbreast.csv" for path in asked)


def test_exclusions_stand_beside_the_manifest_and_go_with_it(tmp_path: Path) -> None:
    report = import_data("inbreast", trees.inbreast(tmp_path / "set"))
    out = tmp_path / "new" / "m.csv"
    write_import(report, out)
    assert exclusions_path(out).name == "m.exclusions.csv"
    table = pd.read_csv(exclusions_path(out))
    assert table.columns.tolist() == ["what", "reason"] and len(table) == len(report.rejected) == 2
    assert len(read_manifest(out)) == 5
    write_import(ImportReport(report.frame), out)
    assert not exclusions_path(out).exists() and sorted(path.name for path in out.parent.iterdir()) == ["m.csv"]
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(BadManifest, match="cannot be written"):
        write_import(report, tmp_path / "file" / "m.csv")
