"""The patch phase: before whole images, a training on patches with a lesion, beside one and of other tissue.

rows    which images the patches come from, and which are left out
images  the patches of an epoch
phase   the training on them
"""
