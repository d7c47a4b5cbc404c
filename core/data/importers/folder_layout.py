"""The layouts that `folder` knows: class folders below split folders or above them, and everything that lies beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.data.importers.class_folders import question
from core.data.importers.folder_walk import Walk, is_clutter, is_folder, walk
from core.data.importers.tiles import require_no_tiles
from core.data.importers.tree import Tree
from core.data.importers.vocabulary import split_of
from core.errors import BadManifest
from core.wording import counted

LAYOUT = "expected {train,val,test}/{benign,malignant}/ (any of the splits) or {benign,malignant}/"
_MOST_COUNTED = 10_000  # files of a folder that is left alone


@dataclass(frozen=True)
class LabelledFile:
    """A file in a class folder."""

    path: Path
    inside: str  # posix path from the class folder
    outer: str  # split of a folder above the class folder
    inner: str  # split of a folder below it
    label: str

    @property
    def split(self) -> str:
        return self.outer or self.inner


@dataclass
class FoundFolders:
    """What lies below the source: files of the class folders, and everything beside them."""

    files: list[LabelledFile] = field(default_factory=list)
    walks: list[Walk] = field(default_factory=list)
    alone: list[str] = field(default_factory=list)  # folders that are left alone
    contrary: list[tuple[str, str]] = field(default_factory=list)  # files in folders of both labels, with the reason
    loose: list[Path] = field(default_factory=list)  # files in folders where class folders are
    splits: dict[str, str] = field(default_factory=dict)  # by the name of the folder, where that is another
    folders: list[tuple[Path, str, str]] = field(default_factory=list)  # class folder, split above it, label


def find_files(source: Path, labels: dict[str, str], tick: Callable[[], None] | None) -> FoundFolders:
    """The files of the class folders below `source`; `labels` by name of folder, in lower case.

    Raises:
        BadManifest: no such layout, two of them at once, or folders that look like classes whose meaning nobody has said.
    """
    found = FoundFolders()
    above: list[tuple[Path, str, str]] = []  # class folders below a split
    top: list[tuple[Path, str, str]] = []
    for child in _folders(source, found):
        name = child.name.lower()
        split = split_of(child.name)
        if name in labels:
            top.append((child, "", labels[name]))
        elif split:
            if child.name.lower() != split:
                found.splits[child.name] = split
            for inner in _folders(child, found):
                if inner.name.lower() in labels:
                    above.append((inner, split, labels[inner.name.lower()]))
                else:
                    found.alone.append(f"{child.name}/{inner.name}")
        else:
            found.alone.append(child.name)
    if above and top:
        raise BadManifest(
            f"{source}: {LAYOUT}, got both ({above[0][0].relative_to(source).as_posix()} and {top[0][0].name}). "
            "Import them one at a time."
        )
    asked = _question(source, found, [each.name for each, _, _ in above or top], labels, tick)
    if asked:
        raise BadManifest(f"{source}: what do these folders mean? {asked}")
    if not above and not top:
        require_no_tiles(Tree.of(source, tick))
        there = ", ".join(found.alone[:10]) or "no folder at all"
        raise BadManifest(f"{source}: {LAYOUT}, got {there}. {_meant(source, found.alone, labels)}")
    found.folders = above or top
    for class_folder, outer, label in found.folders:
        walked = walk(class_folder, tick)
        found.walks.append(walked)
        for path in walked.files:
            inside = path.relative_to(class_folder)
            other = next((part for part in inside.parent.parts if labels.get(part.lower(), label) != label), "")
            if other:
                reason = f"{path.name}: the folder {class_folder.name} says {label}, {other} in it says {labels[other.lower()]}"
                found.contrary.append((str(path), f"{reason}. Move it to the folder of its label"))
                continue
            below = next(filter(None, map(split_of, inside.parent.parts)), "")
            found.files.append(LabelledFile(path, inside.as_posix(), outer, below, label))
    return found


def _question(
    source: Path, found: FoundFolders, known: Sequence[str], labels: dict[str, str], tick: Callable[[], None] | None
) -> str:
    """What to ask about folders that look like classes, with how many files each holds; "" for nothing."""
    inner = [name.rpartition("/")[2] for name in found.alone]
    if not question([*known, *inner], labels, {}):
        return ""
    files: Counter[str] = Counter()
    for name in found.alone:
        files[name.rpartition("/")[2]] += len(walk(source / name, tick).files)
    return question([*known, *inner], labels, files)


def _folders(path: Path, found: FoundFolders) -> list[Path]:
    """The folders directly in a folder; what else lies there is noted."""
    try:
        there = sorted(path.iterdir())
    except OSError as error:
        raise BadManifest(f"{path}: this folder cannot be read: {error.strerror or error}. Check its permissions.") from error
    folders = [child for child in there if is_folder(child) and not is_clutter(child, folder=True)]
    found.loose += [child for child in there if not is_folder(child) and not is_clutter(child, folder=False)]
    return folders


def _meant(source: Path, names: Sequence[str], labels: dict[str, str]) -> str:
    """What the user may have meant, as a question: folders that hold the words, or a folder further down."""
    inner = [name.rpartition("/")[2] for name in names]
    words: dict[str, list[str]] = {
        "benign": [name for name in inner if "benign" in name.lower()],
        "malignant": [name for name in inner if "malig" in name.lower() or "cancer" in name.lower()],
    }
    if all(words.values()) and not set(words["benign"]) & set(words["malignant"]):
        options = " ".join(f'{label}="{",".join(dict.fromkeys(found))}"' for label, found in words.items())
        return f"Did you mean the options {options}?"
    for name in names:
        below = source / name
        if any(is_folder(child) and (child.name.lower() in labels or split_of(child.name)) for child in _listed(below)):
            return f"Did you mean {below}?"
    return "Other folder names: options benign and malignant."


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def counted_alone(found: FoundFolders) -> list[str]:
    """The folders that were left alone, with how many files they hold."""
    top = found.folders[0][0].parent
    source = top.parent if found.folders[0][1] else top
    result = []
    for name in found.alone:
        left = _MOST_COUNTED

        def tick() -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise _Enough

        try:
            count = counted(len(walk(source / name, tick).files), "file")
        except _Enough:
            count = "very many files"
        result.append(f"{name} ({count})")
    return result


class _Enough(Exception):
    """More folders than anybody wants counted."""
