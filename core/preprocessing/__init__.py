"""Mammogram + Recipe -> Prepared. `prepare` is the one function that training, preview and prediction call."""

from __future__ import annotations

from core.preprocessing.analysis import Analysis, analyse
from core.preprocessing.geometry import map_boxes, map_points, original_from_prepared
from core.preprocessing.intensity import Enhanced, enhance
from core.preprocessing.pipeline import finish, load, prepare, stages
from core.preprocessing.prepared import Prepared
from core.preprocessing.quality import Quality, quality
from core.preprocessing.removed_mask import has_objects
from core.preprocessing.spatial import Arranged, arrange
from core.preprocessing.step_timer import Stage

__all__ = [
    "Analysis",
    "Arranged",
    "Enhanced",
    "Prepared",
    "Quality",
    "Stage",
    "analyse",
    "arrange",
    "enhance",
    "finish",
    "has_objects",
    "load",
    "map_boxes",
    "map_points",
    "original_from_prepared",
    "prepare",
    "quality",
    "stages",
]
