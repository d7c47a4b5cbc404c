"""Manifests, splits, importers, the cache of prepared images, and batches of them.

Only what is light to import stands here; `core.data.batches` needs torch, `core.data.cache` the image readers.
"""

from __future__ import annotations

from core.data.manifest import LABELS, SPLITS, is_synthetic, lesion_boxes, read_manifest, write_manifest
from core.data.splits import assign_splits, require_no_leakage, require_trainable

__all__ = [
    "LABELS",
    "SPLITS",
    "assign_splits",
    "is_synthetic",
    "lesion_boxes",
    "read_manifest",
    "require_no_leakage",
    "require_trainable",
    "write_manifest",
]
