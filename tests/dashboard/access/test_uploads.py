from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dashboard.access import uploads

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAMMOLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")


def _upload(folder: Path, name: str = "patient.dcm", age: float = 0.0) -> Path:
    path = folder / "0123" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"identifiers")
    os.utime(path, (time.time() - age,) * 2)
    os.utime(path.parent, (time.time() - age,) * 2)
    return path


def test_the_folder_is_this_servers_and_gradio_uses_it() -> None:
    folder = uploads.open_folder()
    try:
        assert os.environ["GRADIO_TEMP_DIR"] == str(folder)
        if os.name != "nt":
            assert folder.stat().st_mode & 0o077 == 0
    finally:
        uploads.close_folder(folder)
    assert not folder.exists()


def test_what_a_killed_server_left_behind_is_gone_when_the_next_one_starts() -> None:
    code = (
        "import os; from dashboard.access import uploads; folder = uploads.open_folder(); "
        "(folder / 'patient.dcm').write_bytes(b'identifiers'); "
        "(uploads.unpacking_folder() / 'a.dcm').write_bytes(b'identifiers'); "
        "print(folder, flush=True); print(uploads.unpacking_folder(), flush=True); os._exit(9)"
    )
    killed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8", timeout=60)
    left, unpacked = map(Path, killed.stdout.split("\n")[:2])
    assert (left / "patient.dcm").is_file() and (unpacked / "a.dcm").is_file()
    folder = uploads.open_folder()
    assert not left.exists() and not unpacked.exists()
    uploads.close_folder(folder)


def test_a_server_that_lives_keeps_its_uploads_when_another_one_starts() -> None:
    first = uploads.open_folder()
    kept = _upload(first)
    code = "from dashboard.access import uploads; uploads.close_folder(uploads.open_folder())"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)
    assert kept.is_file()
    uploads.close_folder(first)


def test_old_uploads_and_empty_folders_are_swept_and_new_ones_kept() -> None:
    folder = uploads.open_folder()
    old = _upload(folder, age=7200)
    empty = folder / "tmpabcd"
    empty.mkdir()
    os.utime(empty, (time.time() - 7200,) * 2)
    fresh = folder / "4567" / "new.dcm"
    fresh.parent.mkdir()
    fresh.write_bytes(b"new")
    uploads.sweep(folder)
    assert not old.exists() and not empty.exists() and fresh.is_file()
    uploads.close_folder(folder)


def test_nothing_outside_of_the_folder_is_followed_or_deleted(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x", encoding="utf-8")
    parent = uploads.root()
    parent.mkdir(parents=True)
    (parent / "uploads-mine").mkdir()
    try:
        (parent / "uploads-0123456789ab").symlink_to(outside, target_is_directory=True)
    except OSError:
        pytest.skip("symbolic links cannot be made here")
    folder = uploads.open_folder()
    (folder / "link").symlink_to(outside, target_is_directory=True)
    os.utime(folder / "link", (0, 0), follow_symlinks=False)
    uploads.sweep(folder)
    uploads.close_folder(folder)
    assert (outside / "precious").is_file() and (parent / "uploads-mine").is_dir()


def test_uploads_are_refused_once_they_take_too_much_room(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = uploads.open_folder()
    _upload(folder)
    assert uploads.has_room(folder, 10)
    monkeypatch.setattr(uploads, "LARGEST", 15)
    assert not uploads.has_room(folder, 10)
    monkeypatch.setattr(uploads, "LARGEST", 1000)
    monkeypatch.setattr(uploads, "MOST", 1)
    assert not uploads.has_room(folder, 10)
    uploads.close_folder(folder)
