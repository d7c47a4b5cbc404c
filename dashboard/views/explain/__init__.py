"""The Explain page and its parts."""
