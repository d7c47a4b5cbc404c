"""Caches of decoded images and of what runs have produced."""
