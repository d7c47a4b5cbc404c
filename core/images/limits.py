"""Limits that no image may exceed, checked before anything is decoded, and the wording of refusals.

The largest mammograms are digitised films of about 115 megapixels; a decompression bomb is far beyond.
"""

from __future__ import annotations

from core.errors import UnreadableImage
from core.images.large_images import wait_if_large

MAX_SIDE = 20_000
MAX_PIXELS = 150_000_000
_DEEP = 3  # pixels of more than 16 bits are computed in double precision
MAX_FILE_BYTES = 4 * 2**30
MAX_RASTER_BYTES = 2**30  # PNG, JPEG, PGM, TIFF; a stack of tomosynthesis in DICOM is larger
MAX_INFLATED_BYTES = 2**30  # of a deflated DICOM file; nobody deflates tomosynthesis


def got(expected: str, came: str, remedy: str) -> UnreadableImage:
    """An UnreadableImage that says what was expected, what came and what to do."""
    return UnreadableImage(f"expected {expected}, got {came}. {remedy}.")


def check_size(height: int, width: int, samples: int = 1, bits: int = 8) -> None:
    """Refuse impossible and dangerous dimensions; wait if it is a large image (core.images.large_images).

    `samples` a pixel: 1 for grey, 3 or 4 for colour; of more than 16 `bits` each, they take as much memory as colours.

    Raises:
        UnreadableImage: a side below 1 or above MAX_SIDE, or more than MAX_PIXELS pixels, in colour MAX_PIXELS samples.
    """
    if height < 1 or width < 1:
        raise got("at least one pixel", f"{width}×{height}", "The file is damaged or empty; export it again")
    weight = max(samples, _DEEP if bits > 16 else 1)
    if height > MAX_SIDE or width > MAX_SIDE or height * width * weight > MAX_PIXELS:
        kind = " in colour" if samples > 1 else " of more than 16 bits" if weight > 1 else ""
        remedy = {" in colour": "in grey", " of more than 16 bits": "with 16 bits"}.get(kind, "at a lower resolution")
        raise got(
            f"at most {MAX_SIDE} pixels a side and {MAX_PIXELS // weight // 10**6} megapixels{kind}",
            f"{width}×{height}",
            f"If it is a real mammogram, export it {remedy}",
        )
    wait_if_large(height * width * weight)
