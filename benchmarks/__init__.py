"""Measurements, as ratios in one run: what we do against what a user would do instead. Never part of the tests."""
