"""The result of an import on the disk: the manifest, and beside it what was left out and why."""

from __future__ import annotations

from pathlib import Path

from core.data.importers.base import ImportReport
from core.data.manifest import write_manifest
from core.data.tables import table_text
from core.errors import BadManifest
from core.files.atomic import write_text


def exclusions_path(manifest: Path) -> Path:
    """Where the exclusions of a manifest stand: M.exclusions.csv beside M.csv."""
    return manifest.with_name(f"{manifest.stem}.exclusions.csv")


def write_import(report: ImportReport, manifest: Path) -> None:
    """Write the manifest and its exclusions (columns what, reason; no file where there are none), each whole or not at all.

    Raises:
        BadManifest: the folder cannot be written to.
    """
    beside = exclusions_path(manifest)
    try:
        manifest.parent.mkdir(parents=True, exist_ok=True)
        if report.rejected:
            rows = [(str(what), reason) for what, reason in report.rejected]
            write_text(beside, table_text([("what", "reason"), *([_writable(cell) for cell in row] for row in rows)]))
        else:
            beside.unlink(missing_ok=True)  # of an earlier import
    except OSError as error:
        raise BadManifest(f"{beside}: cannot be written: {error.strerror or error}. Choose another place.") from error
    write_manifest(report.frame, manifest)  # last: where it stands, everything stands


def _writable(text: str) -> str:
    """Text that UTF-8 can hold: names of files may be of another encoding."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
