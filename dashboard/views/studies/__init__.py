"""Studies: a question answered with many runs."""
