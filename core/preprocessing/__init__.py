"""Mammogram + Recipe -> Prepared. `prepare` is the one function that training, preview and prediction call."""

from __future__ import annotations

from core.preprocessing.analysis import Analysis, analyse
from core.preprocessing.geometry import map_boxes, map_points, original_from_prepared
from core.preprocessing.pipeline import Prepared, Stage, prepare, stages

__all__ = ["Analysis", "Prepared", "Stage", "analyse", "map_boxes", "map_points", "original_from_prepared", "prepare", "stages"]
