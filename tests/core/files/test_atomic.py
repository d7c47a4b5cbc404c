from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from core.config import ModelConfig
from core.files import atomic
from core.files import folders as training_files
from core.model import build_model, save_model

MODEL = ModelConfig(options={"width": 8})


def save(path: Path) -> None:
    save_model(path.parent, build_model(MODEL), {"model": MODEL.model_dump(mode="json")})


def put_into_the_cache(path: Path) -> None:
    with atomic.replacing(path) as stream:
        stream.write(b"new")


WRITERS = pytest.mark.parametrize(
    ("write", "name"),
    [
        (lambda path: atomic.write_text(path, "new"), "a.txt"),
        (lambda path: training_files.write_text(path, "new"), "a.txt"),
        (lambda path: training_files.write_atomically(path, lambda stream: None), "a.txt"),
        (put_into_the_cache, "a.txt"),
        (save, "model.safetensors"),
    ],
    ids=["text", "run folder", "checkpoint", "cache", "model"],
)


@pytest.fixture
def target(tmp_path: Path, name: str) -> Path:
    path = tmp_path / name
    path.write_bytes(b"old")
    return path


def test_text_is_written_as_it_is(tmp_path: Path) -> None:
    atomic.write_text(tmp_path / "a", "ä\r\nb\n")
    assert (tmp_path / "a").read_bytes() == "ä\r\nb\n".encode()


@WRITERS
def test_a_target_held_by_a_reader_on_windows_is_replaced_once_it_lets_go(
    write: Callable[[Path], None], target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[Path] = []
    real = Path.replace

    def held_twice(self: Path, onto: Path) -> Path:
        if onto == target:
            tries.append(onto)
            if len(tries) < 3:
                raise PermissionError(errno.EACCES, "in use")
        return real(self, onto)

    monkeypatch.setattr(atomic, "_WINDOWS", True)
    monkeypatch.setattr(atomic, "_REPLACE_PAUSE", 0.0)
    monkeypatch.setattr(Path, "replace", held_twice)
    write(target)
    assert target.read_bytes() != b"old"
    assert len(tries) == 3


@WRITERS
def test_a_folder_that_may_not_be_written_is_no_reason_to_wait(
    write: Callable[[Path], None], target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: Path, onto: Path) -> Path:
        raise PermissionError(errno.EACCES, "denied")

    monkeypatch.setattr(atomic, "_WINDOWS", False)
    monkeypatch.setattr(Path, "replace", refused)
    monkeypatch.setattr(atomic.time, "sleep", lambda seconds: pytest.fail("it waited"))
    with pytest.raises(PermissionError):
        write(target)
    assert target.read_bytes() == b"old"


def test_two_writers_at_once_never_share_a_temporary_file(tmp_path: Path) -> None:
    target = tmp_path / "a"
    with atomic.replacing(target) as first, atomic.replacing(target) as second:
        assert first.name != second.name
        first.write(b"first")
        second.write(b"second")
    assert target.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.skipif(os.name == "nt", reason="Windows does not sync folders")
def test_a_file_system_that_cannot_sync_folders_has_the_file_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> int:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(atomic.os, "open", refused)
    atomic.write_text(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text(encoding="utf-8") == "new"
