"""<run>/explain/audit-<split>.json: one file a split, the same bytes for the same run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import IO, TYPE_CHECKING

from core.data import SPLITS
from core.errors import BadRun
from core.files.atomic import write_text
from core.files.typed import from_plain, to_plain
from core.files.untrusted import LARGE, open_to_write, parse_json, read_json, read_text
from core.heatmap_audit.results import VERSION, Finding, HeatmapAudit
from core.runs.folder import was_deleted
from core.runs.test_set.external import is_external, require_split

if TYPE_CHECKING:
    from core.runs import Run


def audit_path(run: Run, split: str) -> Path:
    """Where the audit of this split lies. Raises BadManifest: no such split."""
    return run.path / "explain" / f"audit-{require_split(split)}.json"


def read_heatmap_audit(run: Run, split: str = "test") -> HeatmapAudit | None:
    """What the last audit of this split wrote; None when there is none.

    Raises:
        BadManifest: no such split.
        BadRun: the file is damaged, or of another version.
    """
    path = audit_path(run, split)
    try:
        content = read_json(path, LARGE)
        if content["version"] != VERSION:
            raise ValueError(f"version {content['version']!r}, expected {VERSION}")
        return from_plain(HeatmapAudit, content)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise BadRun(
            f"{path}: damaged, or of another version ({error}). Delete it and audit again: `python -m core audit {run.name} "
            f"--split {split}` (with --manifest for another data set)."
        ) from error


def write_heatmap_audit(run: Run, audit: HeatmapAudit) -> Path:
    """Write an audit atomically; returns its path. Raises BadRun: the run's folder cannot be written to."""
    path = audit_path(run, audit.split)
    try:
        path.parent.mkdir(exist_ok=True)
        write_text(path, json.dumps(to_plain(audit), indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    except OSError as error:
        if not run.path.is_dir():
            raise was_deleted(run.path) from error
        raise BadRun(
            f"{path}: cannot be written ({error.strerror or error}). Free some space, or set its permissions."
        ) from error
    return path


def audited_splits(run: Run) -> list[str]:
    """The splits of this run that have an audit: its own first, then other data sets by name."""
    found = [path.stem.removeprefix("audit-") for path in sorted((run.path / "explain").glob("audit-*.json"))]
    own = [split for split in SPLITS if split in found]
    return own + [split for split in found if is_external(split)]


class Partial:
    """What one method has found so far, a line an image: an audit that was cut short goes on from it.

    `key` names weights, images and settings; a file with another key, or of another version, counts for nothing.
    """

    def __init__(self, run: Run, split: str, method: str, key: str, *, again: bool = False) -> None:
        self._path = audit_path(run, split).with_name(f".audit-{split}-{method.replace('+', 'p')}.jsonl")
        self._run = run.path
        self._head = json.dumps({"version": VERSION, "key": key})
        self._stream: IO[str] | None = None
        if again:
            self.remove()

    def read(self) -> dict[str, Finding]:
        """Findings by path; a torn last line is left out."""
        try:
            head, *lines = read_text(self._path, LARGE).splitlines()
        except (OSError, ValueError):
            return {}
        found: dict[str, Finding] = {}
        for line in lines if head == self._head else []:
            try:
                finding = from_plain(Finding, parse_json(line))
            except ValueError:
                break
            found[finding.case.path] = finding
        return found

    def __enter__(self) -> Partial:
        found = self.read()
        if not self._run.is_dir():
            raise was_deleted(self._run)
        self._path.parent.mkdir(exist_ok=True)
        # Written anew: a torn last line would spoil the next one.
        lines = [self._head, *(json.dumps(to_plain(finding)) for finding in found.values())]
        write_text(self._path, "".join(f"{line}\n" for line in lines))
        self._stream = os.fdopen(open_to_write(self._path, append=True), "a", encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def add(self, finding: Finding) -> None:
        """Keep one more finding; at once on the disk."""
        assert self._stream is not None
        self._stream.write(json.dumps(to_plain(finding)) + "\n")
        self._stream.flush()

    def remove(self) -> None:
        """Forget everything: the audit is written, or to be started over."""
        self._path.unlink(missing_ok=True)
