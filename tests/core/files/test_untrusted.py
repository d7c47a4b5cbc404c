from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.files.untrusted import (
    DEEPEST,
    TooLarge,
    irregular,
    open_regular,
    open_to_write,
    parse_json,
    read_bytes,
    read_json,
    read_text,
    shared,
)

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no named pipes or device files in folders")


@posix
def test_a_named_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    pipe = tmp_path / "status.json"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="named pipe"):
        read_bytes(pipe)
    assert irregular(pipe) == "a named pipe"


@posix
def test_a_device_is_refused() -> None:
    with pytest.raises(OSError, match="device"):
        read_bytes(Path("/dev/zero"))


def test_a_symbolic_link_is_refused_wherever_it_points(tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("content", encoding="utf-8")
    for target in (tmp_path / "real.txt", tmp_path / "missing", tmp_path):
        link = tmp_path / "note.txt"
        link.unlink(missing_ok=True)
        try:
            link.symlink_to(target)
        except OSError:
            pytest.skip("symbolic links cannot be made here")
        with pytest.raises(OSError, match="symbolic link"):
            read_text(link)


def test_a_folder_and_a_missing_file_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="a folder"):
        read_bytes(tmp_path)
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "missing")
    assert irregular(tmp_path / "missing") == ""


def test_a_nul_in_the_name_is_an_operating_system_error_like_any_other(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="not a file name"):
        open_regular(tmp_path / "a\0b")


@posix
def test_a_link_put_in_place_after_the_look_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret, path = tmp_path / "secret", tmp_path / "note.txt"
    secret.write_text("secret", encoding="utf-8")
    path.write_text("note", encoding="utf-8")
    really_open = os.open

    def swap_then_open(name: Path, flags: int) -> int:
        path.unlink()
        path.symlink_to(secret)
        return really_open(name, flags)

    monkeypatch.setattr(os, "open", swap_then_open)
    with pytest.raises(OSError):
        open_regular(path)


def test_a_file_above_the_limit_is_refused_and_one_at_the_limit_is_read(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    path.write_bytes(b"x" * 10)
    assert read_bytes(path, 10) == b"x" * 10
    with pytest.raises(TooLarge):
        read_bytes(path, 9)


@pytest.mark.parametrize(
    "content",
    [
        b'{"created":1' + b"0" * 400 + b"}",
        b'{"created":1' + b"0" * 5000 + b"}",
        b'{"created":1e999}',
        b'{"created":-1e999}',
        b'{"created":NaN}',
        b'{"created":Infinity}',
        b"[" * 200_000,
        b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1),
        b'{"a":' * 60 + b"1" + b"}" * 60,
        b'{"reason":"\\ud800"}',
        b'{"reason":"\xff"}',
        b"",
        b"{",
        b'\xef\xbb\xbf{"a":1}',
    ],
)
def test_json_beyond_the_limits_is_a_value_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    path.write_bytes(content)
    with pytest.raises(ValueError):
        read_json(path)


_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(_JSON)
def test_what_json_writes_within_the_limits_is_read_back_equal(value: object) -> None:
    assert parse_json(json.dumps(value, allow_nan=False)) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_a_value_error(content: bytes) -> None:
    try:
        value = parse_json(content)
    except ValueError:
        return
    assert parse_json(json.dumps(value, allow_nan=False)) == value


@pytest.mark.parametrize("make", [os.link, pytest.param(os.symlink, marks=posix)], ids=["hard", "symbolic"])
def test_a_file_with_another_name_is_read_and_never_written_to_in_place(tmp_path: Path, make: Callable[..., None]) -> None:
    precious, log = tmp_path / "precious", tmp_path / "train.log"
    precious.write_bytes(b"precious")
    make(precious, log)
    assert "link" in shared(log)
    for append in (False, True):
        with pytest.raises(OSError, match=r"of its own, got a (hard|symbolic) link"):
            open_to_write(log, append=append)
    assert precious.read_bytes() == b"precious"


def test_a_file_of_its_own_is_made_and_appended_to(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    for line in (b"one\n", b"two\n"):
        with os.fdopen(open_to_write(log, append=True), "ab") as stream:
            stream.write(line)
    assert log.read_bytes() == b"one\ntwo\n" and shared(log) == ""
