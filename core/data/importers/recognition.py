"""Which collection lies in a folder, and why it is thought so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.data.importers.folder_walk import Walk
from core.data.importers.registry import GENERAL, importers
from core.data.importers.tiles import require_no_tiles
from core.data.importers.tree import Require, Tree
from core.errors import BadManifest

_LOOKED_INTO = 20  # folders below one in which nothing was recognised


@dataclass(frozen=True)
class Recognised:
    """`name` of an importer, and `reason` for it."""

    name: str
    reason: str


def recognise(source: Path, tick: Callable[[], None] | None = None, require: Require | None = None) -> list[Recognised]:
    """The collections that fit, and where none does, what a general importer can make of it; [] for nothing.

    `require` is called with the paths of all files before one of them is read, and may raise.

    Raises:
        BadManifest: a set of tiles (TFRecord) that cannot become a manifest.
    """
    # A table that was named is looked at alone: what lies beside it may be another collection.
    tree = Tree.of(source, tick, require) if source.is_dir() else Tree(source.parent, Walk(files=[source]))
    require_no_tiles(tree)
    known, _ = importers()
    found = [
        Recognised(name, reason)
        for name, importer in known.items()
        if importer.recognise is not None and (reason := importer.recognise(tree))
    ]
    collections = [each for each in found if each.name not in GENERAL]
    return collections or found


def the_one(source: Path, tick: Callable[[], None] | None = None, require: Require | None = None) -> Recognised:
    """The collection in `source`; see `recognise`.

    Raises:
        BadManifest: none fits, or several do; the message lists them with the reasons.
    """
    found = recognise(source, tick, require)
    if len(found) == 1:
        return found[0]
    if not found:
        known, broken = importers()
        unusable = "".join(f". Not usable: {name}: {reason}" for name, reason in broken.items())
        raise BadManifest(
            f"{source}: expected a collection that is known by its files, got none. {_further_down(source, tick)}Name the "
            f"importer: {', '.join(known)}; `python -m core data importers` describes them{unusable}."
        )
    listed = "; ".join(f"{each.name}: {each.reason}" for each in found)
    raise BadManifest(
        f"{source}: several importers fit, so nothing was written. {listed}. Name one of them, or the folder of one collection."
    )


def _further_down(source: Path, tick: Callable[[], None] | None) -> str:
    """Where a folder was named that only wraps the images: a question, with the folder below it that fits; else ""."""
    try:
        inner = sorted(child for child in source.iterdir() if child.is_dir()) if source.is_dir() else []
    except OSError:
        return ""
    for child in inner[:_LOOKED_INTO]:
        if found := recognise(child, tick):
            return f"Did you mean {child} ({found[0].reason})? "
    return ""
