from __future__ import annotations

import io
import stat
import zipfile
from pathlib import Path

import pytest

from core.data.unpacking import BadUpload, Limits, unpack

LIMITS = Limits(total=1_000_000, files=20)


def archive(*entries: tuple[str | zipfile.ZipInfo, bytes]) -> io.BytesIO:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in entries:
            made.writestr(name, content)
    return stream


def test_an_archive_becomes_a_folder_without_what_systems_leave_in_it(tmp_path: Path) -> None:
    sent = archive(
        ("a/x.png", b"1"), ("a/b/y.dcm", b"22"), ("__MACOSX/a/._x.png", b"3"), ("a/.DS_Store", b"4"), ("empty/", b"")
    )
    seen: list[tuple[int, int]] = []
    assert unpack([("set.zip", sent)], tmp_path / "up" / "set", LIMITS, lambda done, of: seen.append((done, of))) == 2
    files = {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {"up/set/a/x.png": b"1", "up/set/a/b/y.dcm": b"22"}
    assert seen[-1] == (3, 3)


def test_single_files_a_workbook_and_an_archive_lie_beside_one_another(tmp_path: Path) -> None:
    sent = [
        ("C:\\x\\one.png", io.BytesIO(b"1")),
        ("t.xlsx", archive(("xl/a.xml", b"<a/>"))),
        ("two.zip", archive(("x.png", b"2"))),
    ]
    assert unpack(sent, tmp_path / "set", LIMITS) == 3
    names = sorted(path.relative_to(tmp_path / "set").as_posix() for path in (tmp_path / "set").rglob("*") if path.is_file())
    assert names == ["one.png", "t.xlsx", "two/x.png"]


ELSEWHERE = ("../x.png", "a/../../x.png", "/etc/x.png", "C:/x.png", "a\\..\\x.png")
ODD = ("a/con.png", "x\ny.png", "a./x", "x" * 201, "a/" * 21 + "x")


@pytest.mark.parametrize("name", [*ELSEWHERE, *ODD])
def test_names_that_lead_elsewhere_or_that_not_every_system_takes_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadUpload, match="expected plain names"):
        unpack([("set.zip", archive(("good.png", b"1"), (name, b"2")))], tmp_path / "set", LIMITS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["...zip", "..zip", "a:b?.zip", "con.zip", "x" * 300 + ".zip", "a .zip"])
def test_the_name_of_an_archive_among_others_is_no_more_trusted_than_those_inside(tmp_path: Path, name: str) -> None:
    (tmp_path / "up" / "victim").mkdir(parents=True)
    with pytest.raises(BadUpload, match="expected plain names"):
        unpack([(name, archive(("victim/x.png", b"1"))), ("q.png", io.BytesIO(b"2"))], tmp_path / "up" / "mine", LIMITS)
    assert [path.name for path in (tmp_path / "up").rglob("*")] == ["victim"]


def test_links_passwords_repeated_names_and_files_that_are_folders_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("a.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    locked = archive(("a.png", b"1")).getvalue()
    at = locked.index(b"PK\x01\x02")
    locked = locked[: at + 8] + bytes([locked[at + 8] | 1]) + locked[at + 9 :]
    for sent, words in (
        (archive((link, b"/etc/passwd")), "symbolic link"),
        (io.BytesIO(locked), "without a password"),
        (archive(("a.png", b"1"), ("A.PNG", b"2")), "every name once"),
        (archive(("a", b"1"), ("a/b", b"2")), "a file and a folder at once"),
        (archive(("folder/", b"")), "got none"),
        (io.BytesIO(archive(("a.png", b"1")).getvalue()[:-30]), "without its end"),
        (io.BytesIO(b"PK\x03\x04 nothing" + archive(("a", b"1")).getvalue()[-22:]), "cannot be read"),
    ):
        with pytest.raises(BadUpload, match=words):
            unpack([("set.zip", sent)], tmp_path / "set", LIMITS)
        assert list(tmp_path.iterdir()) == []


def test_bombs_are_refused_by_what_they_announce_and_by_what_comes(tmp_path: Path) -> None:
    with pytest.raises(BadUpload, match="at most 1"):
        unpack([("set.zip", archive(("zeros.png", bytes(2_000_000))))], tmp_path / "set", LIMITS)
    with pytest.raises(BadUpload, match="at most 20 files"):
        unpack([("set.zip", archive(*((f"{number}.png", b"") for number in range(21))))], tmp_path / "set", LIMITS)
    many = archive(*((f"{number}/", b"") for number in range(1000)))
    with pytest.raises(BadUpload, match="got a list of more"):
        unpack([("set.zip", many)], tmp_path / "set", LIMITS)
    content = archive(("zeros.png", bytes(500_000))).getvalue()  # says 10 bytes, holds 500,000
    lie = content.replace((500_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    with pytest.raises(BadUpload, match="cannot be unpacked"):
        unpack([("set.zip", io.BytesIO(lie))], tmp_path / "set", LIMITS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("start", "what"), [(b"Rar!\x1a\x07", "RAR"), (b"7z\xbc\xaf\x27\x1c", "7z"), (b"\x1f\x8b", "gzip"), (b"%PDF", "PDF")]
)
def test_other_archives_and_documents_are_named(tmp_path: Path, start: bytes, what: str) -> None:
    with pytest.raises(BadUpload, match=f"got an? {what}"):
        unpack([("set.dat", io.BytesIO(start + b"more"))], tmp_path / "set", LIMITS)
    with pytest.raises(BadUpload, match="none by its content"):
        unpack([("set.zip", io.BytesIO(start + b"more"))], tmp_path / "set", LIMITS)


def test_a_folder_that_is_there_is_never_written_into_and_a_stop_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    with pytest.raises(BadUpload, match="there already"):
        unpack([("a.png", io.BytesIO(b"1"))], tmp_path / "set", LIMITS)
    with pytest.raises(BadUpload, match="got nothing"):
        unpack([], tmp_path / "other", LIMITS)

    def stop(done: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        unpack([("set.zip", archive(("a.png", b"1")))], tmp_path / "other", LIMITS, stop)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
