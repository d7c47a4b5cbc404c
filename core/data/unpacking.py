"""Files that somebody sent, a .zip or single ones, written into a new folder: bounded, and nowhere else.

Nothing of what is sent is believed: a name may lead elsewhere, a size may be a lie, an entry may be a link. What is refused is
refused as a whole, with the reason, before the folder is there: half of a data set is none.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import struct
import unicodedata
import uuid
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

from core.errors import LabError
from core.wording import counted, size

LONGEST_PATH = 200  # characters of a path inside an archive: with a folder before it Windows takes 260
DEEPEST = 20
CLUTTER = ("__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini")
_PORTION = 1 << 20
_TAIL = (1 << 16) + 22 + 20  # bytes at the end of a .zip that say where its list is, with the longest comment
_ENTRY = 46 + 2 * LONGEST_PATH + 100  # bytes of the list that a file takes at most, on average
_SPARE = 500 * 1000**2  # bytes that stay free on the disk
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_FORBIDDEN = re.compile(r'[\x00-\x1f<>:"|?*\\]')
_OTHER_ARCHIVES = {
    b"Rar!\x1a\x07": "a RAR archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"\x1f\x8b": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ\x00": "an xz archive",
    b"MZ": "a Windows program",
    b"\x7fELF": "a program",
    b"%PDF": "a PDF",
}

Progress = Callable[[int, int], None]


class BadUpload(LabError):
    """Files that were sent and are not taken."""


@dataclass(frozen=True)
class Limits:
    """`total`: bytes of all files once unpacked; `files`: how many; `remedy`: what to do beyond that, where the settings of
    uploads are not what limits it."""

    total: int
    files: int
    remedy: str = ""

    def words(self, setting: str) -> str:
        """What to do beyond a limit that `setting` of the dashboard raises."""
        return self.remedy or f"Upload less, raise dashboard.{setting} in config.yaml, or name a folder on this machine."


@dataclass(frozen=True)
class _Entry:
    name: str
    target: PurePosixPath
    size: int
    open: Callable[[], IO[bytes]]


def unpack(sent: Sequence[tuple[str, BinaryIO]], folder: Path, limits: Limits, progress: Progress | None = None) -> int:
    """Write what was sent into `folder`, which must not be there yet: whole or not at all. Returns the number of files.

    Args:
        sent: (name, seekable stream) each; a .zip, by its content, is unpacked, other files are written under their names.
        progress: called with (bytes written, bytes in all); what it raises ends the work, and nothing stays.

    Raises:
        BadUpload: with what was expected and what came.
    """
    if not sent:
        raise BadUpload("upload: expected a .zip, or images with their table, got nothing. Choose files.")
    if folder.exists():
        raise BadUpload(f"upload: {folder.name} is there already. Give it another name, or remove that one first.")
    part = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.part")
    archives: list[zipfile.ZipFile] = []
    try:
        several = len(sent) > 1
        entries = [entry for name, stream in sent for entry in _entries(name, stream, several, archives, limits)]
        _require_bounded(entries, limits, folder)
        part.mkdir(parents=True)
        _write(entries, part, limits, progress)
        part.rename(folder)
    except OSError as error:
        raise BadUpload(f"upload: cannot be written to {folder}: {error.strerror or error}. Free some space.") from error
    finally:
        for archive in archives:
            archive.close()
        shutil.rmtree(part, ignore_errors=True)
    return len(entries)


def _entries(name: str, stream: BinaryIO, several: bool, archives: list[zipfile.ZipFile], limits: Limits) -> list[_Entry]:
    stream.seek(0)
    start = stream.read(8)
    plain = name.replace("\\", "/").rpartition("/")[2] or "upload"
    # A workbook is a zip, too, but a table as it is.
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")) and not plain.lower().endswith((".xlsx", ".xlsm")):
        _require_short_directory(plain, stream, limits)
        return _of_archive(plain, stream, several, archives)
    if plain.lower().endswith(".zip"):
        raise BadUpload(f"{plain}: expected a .zip, got a file that is none by its content. Make the archive again.")
    for signature, what in _OTHER_ARCHIVES.items():
        if start.startswith(signature):
            raise BadUpload(f"{plain}: expected a .zip, or images with their table, got {what}. Pack the files as a .zip.")
    length = stream.seek(0, os.SEEK_END)

    def again() -> BinaryIO:
        stream.seek(0)
        return stream

    return [_Entry(plain, _target(plain, plain), length, again)]


def _require_short_directory(plain: str, stream: BinaryIO, limits: Limits) -> None:
    """Refuse a list of entries that would fill the memory; zipfile reads all of it, whatever it counts."""
    end = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, end - _TAIL))
    tail = stream.read(_TAIL)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        raise BadUpload(f"{plain}: expected a whole .zip, got one without its end. Upload it again.")
    (length,) = struct.unpack_from("<I", tail, at + 12)
    locator = at - 20
    if locator >= 0 and tail[locator : locator + 4] == b"PK\x06\x07":  # ZIP64 has the length in a record of its own
        stream.seek(min(end, struct.unpack_from("<Q", tail, locator + 8)[0]))
        record = stream.read(56)
        length = struct.unpack_from("<Q", record, 40)[0] if len(record) == 56 else end
    if length > _ENTRY * limits.files:
        raise BadUpload(
            f"{plain}: expected at most {counted(limits.files, 'file')}, got a list of more. {limits.words('upload_files')}"
        )


def _of_archive(plain: str, stream: BinaryIO, several: bool, archives: list[zipfile.ZipFile]) -> list[_Entry]:
    try:
        archive = zipfile.ZipFile(stream)
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, LookupError, NotImplementedError) as error:
        raise BadUpload(f"{plain}: expected a whole .zip, got one that cannot be read ({error}). Upload it again.") from error
    archives.append(archive)
    # A folder of its own, so that two archives do not run into one another; its name is as little trusted as those inside.
    above = _target(Path(plain).stem, plain) if several else PurePosixPath()
    found = []
    for info in archive.infolist():
        if info.is_dir() or any(part in CLUTTER for part in info.filename.split("/")):
            continue
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            what = "a symbolic link" if kind == stat.S_IFLNK else "no regular file"
            raise BadUpload(f"{plain}: expected regular files, got {info.filename!r}, {what}. Pack the files themselves.")
        if info.flag_bits & 0x1:
            raise BadUpload(f"{plain}: expected a .zip without a password, got one with. Pack it again without.")
        target = _target(str(above / _target(info.filename, plain)), plain)
        found.append(_Entry(info.filename, target, info.file_size, partial(archive.open, info)))
    if not found:
        raise BadUpload(f"{plain}: expected files in the .zip, got none. Pack the folder with the images.")
    return found


def _target(name: str, source: str) -> PurePosixPath:
    """Where a file goes, below the new folder."""
    path = PurePosixPath(name)
    parts = path.parts
    why = ""
    if path.is_absolute() or ".." in parts or re.match(r"[A-Za-z]:", name):
        why = "leads out of the folder"
    elif not parts or _FORBIDDEN.search(name) or any(part != part.strip() or part.endswith(".") for part in parts):
        why = "has characters that not every system takes"
    elif any(_RESERVED.fullmatch(part) for part in parts):
        why = "is a name that Windows keeps for itself"
    elif len(name) > LONGEST_PATH or len(parts) > DEEPEST:
        why = f"has more than {LONGEST_PATH} characters or {DEEPEST} folders"
    if why:
        raise BadUpload(f"{source}: expected plain names of files, got {name!r}, which {why}. Rename it and pack again.")
    return path


def _require_bounded(entries: Sequence[_Entry], limits: Limits, folder: Path) -> None:
    if len(entries) > limits.files:
        raise BadUpload(
            f"upload: expected at most {counted(limits.files, 'file')}, got {len(entries):,}. {limits.words('upload_files')}"
        )
    announced = sum(entry.size for entry in entries)
    if announced > limits.total:
        raise _too_large(limits)
    seen: dict[str, str] = {}
    for entry in entries:
        key = unicodedata.normalize("NFC", str(entry.target)).casefold()  # some systems keep no capitals apart
        if key in seen:
            raise BadUpload(f"upload: expected every name once, got {seen[key]!r} and {entry.name!r}. Rename one of them.")
        seen[key] = entry.name
    above = next(parent for parent in folder.absolute().parents if parent.exists())
    free = shutil.disk_usage(above).free
    if announced > free - _SPARE:
        raise BadUpload(f"upload: expected {size(announced)} of free space, got {size(max(0, free - _SPARE))}. Free some.")


def _too_large(limits: Limits) -> BadUpload:
    return BadUpload(
        f"upload: expected at most {size(limits.total)} once unpacked, got more. {limits.words('upload_total_mb')}"
    )


def _write(entries: Sequence[_Entry], part: Path, limits: Limits, progress: Progress | None) -> None:
    announced, written = sum(entry.size for entry in entries), 0
    for entry in entries:
        out = part.joinpath(*entry.target.parts)
        if not out.resolve().is_relative_to(part.resolve()):  # checked when it was named; whatever was missed ends here
            raise BadUpload(f"upload: {entry.name!r} leads out of the folder. Rename it and upload it again.")
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            stream = entry.open()
            with out.open("xb") as file:
                left = entry.size  # no more than was announced, whatever comes
                while left and (block := stream.read(min(left, _PORTION))):
                    file.write(block)
                    left -= len(block)
                    written += len(block)
                    if written > limits.total:
                        raise _too_large(limits)
                    if progress is not None:
                        progress(written, announced)
            if left:
                raise BadUpload(f"upload: {entry.name!r} ends before its announced size. Upload it again.")
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
            raise BadUpload(f"upload: {entry.name!r} cannot be unpacked ({error}). Pack and upload it again.") from error
        except (FileExistsError, NotADirectoryError) as error:
            raise BadUpload(f"upload: {entry.name!r} is a file and a folder at once. Rename one of them.") from error
