"""Reading and writing files: whole or not at all, bounded, and safe where somebody else may have made them."""
