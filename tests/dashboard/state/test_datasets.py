from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from dashboard.state import datasets

LONG_AGO = 1_700_000_000


def age(folder: Path) -> None:
    """As if nothing had changed in these folders for long: what they hold is listed once."""
    for each in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        os.utime(each, (LONG_AGO, LONG_AGO))


def test_only_csv_files_with_path_and_label_are_manifests(manifest: Path, workspace: Path) -> None:
    (workspace / "data" / "other.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    (workspace / "data" / "empty.csv").write_bytes(b"")
    (workspace / "data" / "binary.csv").write_bytes(bytes(range(256)))
    assert datasets.find_manifests() == [manifest]


@pytest.mark.parametrize("where", [".", "small", "deep/er"])
def test_a_manifest_is_found_as_soon_as_it_is_there_and_no_more_once_it_is_gone(
    manifest: Path, workspace: Path, where: str
) -> None:
    data = workspace / "data"
    (data / "deep" / "er").mkdir(parents=True)
    age(data)
    assert datasets.find_manifests() == [manifest]
    new = data / where / "new.CSV"
    shutil.copy(manifest, new)
    assert datasets.find_manifests() == sorted([manifest, new.resolve()])
    age(data)
    new.unlink()
    assert datasets.find_manifests() == [manifest]


def test_folders_that_did_not_change_are_not_listed_again(
    manifest: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    age(workspace / "data")
    datasets.find_manifests()
    listed: list[Path] = []
    monkeypatch.setattr(os, "scandir", lambda folder: listed.append(folder) or iter(()))
    assert datasets.find_manifests() == [manifest] and listed == []


def test_tables_of_uploads_and_behind_links_are_no_data_sets(manifest: Path, workspace: Path) -> None:
    uploads = workspace / "data" / "uploads" / "one"
    uploads.mkdir(parents=True)
    shutil.copy(manifest, uploads / "table.csv")
    try:
        (workspace / "data" / "again").symlink_to(manifest.parent, target_is_directory=True)
    except OSError:
        pytest.skip("this account may not make links")
    assert datasets.find_manifests() == [manifest]
