"""The Preprocess page and its parts."""
