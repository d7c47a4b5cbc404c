"""Mammogram + Recipe -> Prepared. `prepare` is the one function that training, preview and prediction call."""

from core.preprocessing.analysis import Analysis, analyse
from core.preprocessing.geometry import map_boxes, original_from_prepared
from core.preprocessing.intensity import IntensityNormalised, normalise_intensity
from core.preprocessing.outside_objects import has_objects
from core.preprocessing.pipeline import prepare, resize_to_input, stages
from core.preprocessing.prepared import Prepared
from core.preprocessing.quality import quality
from core.preprocessing.spatial import SpatiallyNormalised, normalise_spatially
from core.preprocessing.step_timer import Stage
