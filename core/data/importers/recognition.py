"""Which collection lies in a folder, and why it is thought so."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.data.importers.registry import GENERAL, importers
from core.data.importers.tree import Tree
from core.errors import BadManifest

_TILES = re.compile(r".*\.tfrecords?|(?:cv10|test10)_(?:data|labels)\.npy", re.IGNORECASE)


@dataclass(frozen=True)
class Recognised:
    """`name` of an importer, and `reason` for it."""

    name: str
    reason: str


def recognise(source: Path, tick: Callable[[], None] | None = None) -> list[Recognised]:
    """The collections that fit, and where none does, what a general importer can make of it; [] for nothing.

    Raises:
        BadManifest: a set of tiles (TFRecord) that cannot become a manifest.
    """
    tree = Tree.of(source, tick)
    require_no_tiles(tree)
    known, _ = importers()
    found = [
        Recognised(name, reason)
        for name, importer in known.items()
        if importer.recognise is not None and (reason := importer.recognise(tree))
    ]
    collections = [each for each in found if each.name not in GENERAL]
    return collections or found


def the_one(source: Path, tick: Callable[[], None] | None = None) -> Recognised:
    """The collection in `source`.

    Raises:
        BadManifest: none fits, or several do; the message lists them with the reasons.
    """
    found = recognise(source, tick)
    if len(found) == 1:
        return found[0]
    if not found:
        known, broken = importers()
        unusable = "".join(f". Not usable: {name}: {reason}" for name, reason in broken.items())
        raise BadManifest(
            f"{source}: expected a collection that is known by its files, got none. Name the importer: {', '.join(known)}; "
            f"`python -m core data importers` describes them{unusable}."
        )
    listed = "; ".join(f"{each.name}: {each.reason}" for each in found)
    raise BadManifest(
        f"{source}: several importers fit, so nothing was written. {listed}. Name one of them, or the folder of one collection."
    )


def require_no_tiles(tree: Tree) -> None:
    """Raises BadManifest for the TFRecord set of tiles, which many take for whole mammograms with labels."""
    tiles = next((path for path in tree.files if _TILES.fullmatch(path.name)), None)
    if tiles is None or tree.images:
        return
    raise BadManifest(
        f"{tree.root}: expected image files, got TFRecord or NumPy tiles ({tiles.name}), as of the set 'ddsm-mammography'. It "
        "cannot become a manifest: its tiles of 299 px name no patient, each lesion is in it three times, label_normal = 1 "
        "means a "
        "lesion and not cancer, and the negatives come from another collection than the positives. Take its source, CBIS-DDSM "
        "(https://www.cancerimagingarchive.net/collection/cbis-ddsm/), and import it as cbis-ddsm."
    )
