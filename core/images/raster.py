"""PNG, JPEG, PGM and TIFF -> Mammogram; 8 to 16 bits, palette, alpha, EXIF orientation, many pages.

A raster file does not say how many of its 16 bits are used, and mammograms of 10 to 14 bits are often stored in
16-bit files as they are. The grey levels are therefore divided by the smallest of 2^8-1, 2^10-1, 2^12-1, 2^14-1,
2^16-1 that holds the image's maximum (PGM: by its own maxval). The choice stands in the steps.
"""

from __future__ import annotations

import io
import struct
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, ImageOps, JpegImagePlugin, PngImagePlugin, TiffImagePlugin

from core.errors import UnreadableImage
from core.images import pgm
from core.images.colour import grey_from_colour
from core.images.encode import to_uint8
from core.images.limits import check_size, got
from core.images.mammogram import ImageMeta, Mammogram, Pixels, Step

_BIT_DEPTHS = (8, 10, 12, 14, 16)
# The plugins are called directly: Image.open would try every format that Pillow knows, and has its own size limit.
_PLUGINS = {
    "PNG": PngImagePlugin.PngImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
}
_REMEDY = "The file is damaged or of an unusual kind; export it again as 8- or 16-bit greyscale PNG, or as DICOM"


@dataclass
class _Raw:
    """What a decoder gives: stored values (H, W) or (H, W, 2..4), and what the file says about them."""

    values: NDArray[Any]
    full_scale: int | None = None  # the value that stands for white, where the file says so
    inverted: bool = False  # the file's own tag says that 0 is white
    comment: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def recognise(content: bytes) -> str | None:
    """ "PNG", "JPEG", "PGM" or "TIFF" by the first bytes, None for anything else."""
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if content.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if content[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "TIFF"
    if content[:2] in (b"P2", b"P5") and content[2:3] in (b" ", b"\t", b"\r", b"\n", b"#"):
        return "PGM"
    return None


def read_raster(content: bytes, *, frame: int | None = None) -> Mammogram:
    """Decode a PNG, JPEG, PGM or TIFF file.

    Raises:
        UnreadableImage: broken, truncated, too large, binary (1 bit), or a page that is not there.
    """
    kind = recognise(content)
    if kind is None:
        raise got("a PNG, JPEG, PGM or TIFF image", "another format", "Export the image in one of these formats")
    started = time.perf_counter()
    if kind == "PGM":
        image = pgm.decode(content)
        raw = _Raw(image.values, full_scale=image.full_scale, comment=image.comment)
        _require_frame(frame, 1)
    else:
        raw = _decode(kind, content, frame)
    decoded = Step("decode", {"format": kind, **raw.details}, _since(started), tuple(raw.warnings))

    started = time.perf_counter()
    values, colour_warnings, full_scale = _grey(raw)
    pixels, bits, parameters, warnings = scale_grey_levels(values, full_scale)
    if raw.inverted:
        np.subtract(np.float32(1), pixels, out=pixels)
    scaled = Step("grey levels", parameters, _since(started), (*colour_warnings, *warnings))
    meta = ImageMeta(
        format=kind,
        bits_stored=bits,
        photometric_interpretation="MONOCHROME1" if raw.inverted else "MONOCHROME2",
        synthetic="SYNTHETIC" in raw.comment.upper(),
    )
    return Mammogram(pixels, meta, (decoded, scaled))


def scale_grey_levels(values: NDArray[Any], full_scale: int | None = None) -> tuple[Pixels, int, dict[str, Any], list[str]]:
    """Stored values (H, W), integer or float -> (float32 [0, 1], bits, step parameters, warnings).

    Raises:
        UnreadableImage: NaN or infinite values.
    """
    low, high = values.min(), values.max()
    warnings: list[str] = []
    if np.issubdtype(values.dtype, np.floating):
        if not (np.isfinite(low) and np.isfinite(high)):
            raise got("finite grey levels", "NaN or infinite values", "Replace them and write the image again")
        if low < 0 or high > 1:
            warnings.append(f"floating-point grey levels {low:g}..{high:g}: stretched to the full range")
            values = (values - low) / max(float(high) - float(low), 1e-30)
            return values.astype(np.float32), 32, {"from": float(low), "to": float(high)}, warnings
        return values.astype(np.float32), 32, {"from": 0.0, "to": 1.0}, warnings
    if low < 0:
        warnings.append(f"negative grey levels down to {low}: the range {low}..{high} was stretched to black..white")
        span = max(int(high) - int(low), 1)
        return ((values - low) / span).astype(np.float32), span.bit_length(), {"from": int(low), "to": int(high)}, warnings
    if full_scale is None:
        bits = next((bits for bits in _BIT_DEPTHS if int(high) < 2**bits), 32)
        full_scale = 2**bits - 1 if bits < 32 else int(high)
    if values.dtype == np.uint8 and full_scale == 255:
        table = np.arange(256, dtype=np.float32) / np.float32(255)
        pixels = table[values]
    else:
        pixels = values.astype(np.float32)
        pixels *= np.float32(1.0 / full_scale)
        np.minimum(pixels, np.float32(1), out=pixels)
    return pixels, int(full_scale).bit_length(), {"from": 0, "to": int(full_scale)}, warnings


def _decode(kind: str, content: bytes, frame: int | None) -> _Raw:
    try:
        with _PLUGINS[kind](io.BytesIO(content)) as image:
            check_size(image.height, image.width)
            return _extract(image, kind, frame)
    except UnreadableImage:
        raise
    # Pillow and the C libraries below it raise nearly anything on hostile bytes; all of it means the same to the user.
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError) as error:
        raise _broken(kind, error) from error
    except (struct.error, OverflowError, ZeroDivisionError, AssertionError, RuntimeError, NotImplementedError) as error:
        raise _broken(kind, error) from error


def _broken(kind: str, error: Exception) -> UnreadableImage:
    return got(f"a complete {kind} image", f"an error while decoding it ({str(error)[:200] or type(error).__name__})", _REMEDY)


def _extract(image: Any, kind: str, frame: int | None) -> _Raw:
    comment = _comment(image)
    pages = getattr(image, "n_frames", 1)
    index = _require_frame(frame, pages)
    warnings = []
    details: dict[str, Any] = {}
    if index:
        image.seek(index)
        check_size(image.height, image.width)
    if pages > 1:
        details = {"page": index + 1, "pages": pages}
        if frame is None:
            warnings.append(f"the file has {pages} pages: the first was taken")
    image.load()
    # Pillow turns 0 = white into 0 = black itself for 8 bits, but not for I;16 (TIFF PhotometricInterpretation 0).
    inverted = kind == "TIFF" and image.tag_v2.get(262) == 0 and image.mode.startswith("I;16")
    mode = image.mode
    turned: Any = image
    if image.getexif().get(ExifTags.Base.Orientation, 1) not in (1, None):
        turned = ImageOps.exif_transpose(image)
        details["exif_orientation"] = int(image.getexif()[ExifTags.Base.Orientation])
    details["mode"] = mode
    if mode == "1":
        raise got("grey levels", "a black-and-white (1-bit) image", "Use the original mammogram, not a mask or scan of text")
    if mode in ("P", "PA"):
        turned = turned.convert("RGBA")
    elif mode not in ("L", "LA", "RGB", "RGBA", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"):
        turned = turned.convert("RGB")
    values = np.asarray(turned)
    if values.dtype == np.dtype(">u2"):
        values = values.astype(np.uint16)
    return _Raw(values, inverted=inverted, comment=comment, details=details, warnings=warnings)


def _grey(raw: _Raw) -> tuple[NDArray[Any], list[str], int | None]:
    """Stored values as (H, W), flattened onto black where the file has transparency, in grey where it has colour."""
    values, full_scale = raw.values, raw.full_scale
    warnings: list[str] = []
    if values.ndim == 2:
        # An 8-bit image uses its full scale whatever its maximum; deeper ones are judged by it.
        return values, warnings, full_scale or (255 if values.dtype == np.uint8 else None)
    alpha = values[:, :, -1] if values.shape[2] in (2, 4) else None
    colours = values[:, :, :1] if values.shape[2] == 2 else values[:, :, :3]
    if colours.shape[2] == 3:
        grey, warning = grey_from_colour(colours)
        warnings += [warning] if warning else []
    else:
        grey = colours[:, :, 0]
    if alpha is not None and int(alpha.min()) < 255:
        grey = to_uint8(grey.astype(np.float32) * alpha.astype(np.float32) / np.float32(255 * 255))
        warnings.append("transparent areas were laid on black")
    return grey, warnings, 255


def _comment(image: Any) -> str:
    """Text that a writer left in the file; only searched for the word SYNTHETIC, never kept."""
    parts = [value for value in image.info.values() if isinstance(value, (str, bytes))]
    description = getattr(image, "tag_v2", {}).get(270, "")
    texts = [part.decode("latin-1") if isinstance(part, bytes) else str(part) for part in (*parts, description)]
    return "\n".join(text[:10_000] for text in texts)


def _require_frame(frame: int | None, frames: int) -> int:
    if frame is None:
        return 0
    if not 0 <= frame < frames:
        raise got(f"a frame from 0 to {frames - 1}", str(frame), "Choose a frame that the file has")
    return frame


def _since(started: float) -> float:
    return (time.perf_counter() - started) * 1000
