"""Image files on the command line: files, folders, and patterns where no shell expands them."""

from __future__ import annotations

import argparse
import glob
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.cli.output import note
from core.wording import first_few

_NAMED = 5
# What people take for images: such a file is tried, and listed with its reason when it is none.
_SUFFIXES = {
    *(".dcm", ".dicom", ".dic", ".ima", ".png", ".jpg", ".jpeg", ".jpe", ".pgm", ".pnm", ".tif", ".tiff"),
    *(".bmp", ".gif", ".webp", ".jp2", ".j2k", ".jls", ".npy", ".nii", ".heic", ".avif"),
}


class ImageFiles(argparse.Action):
    """Takes files, folders and patterns as `image_files` does."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, image_files([Path(value) for value in values or []]))


def image_files(given: Sequence[Path]) -> list[Path]:
    """The files themselves; of a folder every image below it; of a pattern (*, ?, [], **) what it matches.

    A name that exists is taken as it is, whatever characters it has. What is nowhere stays in the list, so that the command
    lists it with the reason; what folders hold besides images is noted. A file that was named already is not found again.
    """
    from core.data.importers.folder_walk import with_home

    found: list[Path] = []
    given = [with_home(path) for path in given]
    named = {_key(path) for path in given}
    for path in given:
        matches = [path]
        if not os.path.lexists(path) and glob.has_magic(str(path)):
            matches = [Path(match) for match in sorted(glob.glob(str(path), recursive=True))] or [path]  # noqa: PTH207
        for match in matches:
            for file in _below(match) if match.is_dir() else [match]:
                key = _key(file)
                if match is path and file is path:
                    found.append(file)
                elif key not in named:
                    named.add(key)
                    found.append(file)
    return found


def _key(path: Path) -> str:
    return os.path.normcase(path.absolute())


def _below(folder: Path) -> list[Path]:
    """The images below a folder; the folder itself where there is none, so that it is listed with the reason."""
    from core.data.importers.folder_walk import walk

    walked = walk(folder)
    images = [path for path in walked.files if path.suffix.lower() in _SUFFIXES or _begins_like_image(path)]
    others = sorted(set(walked.files) - set(images))
    if others:
        named = first_few((path.name for path in others), _NAMED)
        note(f"{folder}: {len(others)} files that are no images: {named}")
    for text in walked.notes():
        note(f"{folder}: {text}")
    for unreadable, reason in walked.rejected():
        note(f"{unreadable}: {reason}")
    return images or [folder]


def _begins_like_image(path: Path) -> bool:
    from core.errors import UnreadableImage
    from core.images.files import format_of_file

    try:
        format_of_file(path)
    except UnreadableImage:
        return False
    return True
