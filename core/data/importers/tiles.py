"""The set of tiles that cannot become a manifest, and is often taken for one of mammograms."""

from __future__ import annotations

import re

from core.data.importers.tree import Tree
from core.errors import BadManifest

_TILES = re.compile(r".*\.tfrecords?|(?:cv10|test10)_(?:data|labels)\.npy", re.IGNORECASE)


def require_no_tiles(tree: Tree) -> None:
    """Raises BadManifest where there are TFRecord or NumPy tiles and no image."""
    tiles = next((path for path in tree.files if _TILES.fullmatch(path.name)), None)
    if tiles is None or tree.images:
        return
    raise BadManifest(
        f"{tree.root}: expected image files, got TFRecord or NumPy tiles ({tiles.name}), as of the set 'ddsm-mammography'. It "
        "cannot become a manifest: its tiles of 299 px name no patient, each lesion is in it three times, label_normal = 1 "
        "means a lesion and not cancer, and the negatives come from another collection than the positives. Take its source, "
        "CBIS-DDSM (https://www.cancerimagingarchive.net/collection/cbis-ddsm/), and import it as cbis-ddsm."
    )
