"""What the test set was used for: which images it holds, every access to them, and by which models."""
