"""Manifests, splits, importers, the cache of prepared images, and batches of them.

Only what is light to import stands here; `core.data.batches` needs torch, `core.data.cache` the image readers.
"""

from core.data.lesions import Lesion, lesion_boxes, lesions_of
from core.data.manifest import LABELS, SPLITS, is_synthetic, labelled, read_manifest, write_manifest
from core.data.splits import assign_splits, require_no_leakage, require_trainable
