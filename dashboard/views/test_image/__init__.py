"""The Test image page."""
