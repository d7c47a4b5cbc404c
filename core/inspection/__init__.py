"""Inspection of a mammogram under a recipe: the image after each step and what was done, as objects or one HTML file."""

from core.inspection.build import SIDE, inspect, inspect_image
from core.inspection.descriptions import facts, geometry, parameter_words, recipe_facts, value_words
from core.inspection.page import to_html
from core.inspection.result import InspectedStage, Inspection
