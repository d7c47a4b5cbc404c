"""MammoLab: mammograms from raw files to a model one can defend. For research only."""

__version__ = "0.1.0"

RESEARCH_NOTICE = "Research tool. Not a medical device: never use it to diagnose or to decide on care."
