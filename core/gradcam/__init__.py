"""Class activation maps: where in an image a model's score comes from.

    prepared pixels -> one forward, one short backward (from the logit to the chosen layer) -> map in [0, 1]

A map that holds nothing (NaN, all zero, the same everywhere) is flagged `flat` and stays zero: stretched to full
colour it would look like a finding.
"""

from core.gradcam.heatmaps import SCORE_CHANNELS, Evidence, Heatmap, evidence, evidence_in_breast, heatmap, heatmap_in_breast
from core.gradcam.methods import AUTO, CLASSLESS, METHODS, SLOW, unfit_methods
from core.gradcam.overlay import COLORMAPS, HALF, OPACITY, colours_of, levels, overlay, render, two_colours
