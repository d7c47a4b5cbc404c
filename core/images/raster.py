"""Raster images: PNG, JPEG, PGM and TIFF -> Mammogram; 8 to 16 bits, palette, alpha, EXIF orientation, many pages.

A raster file does not say how many of its 16 bits are used, and mammograms of 10 to 14 bits are often stored in
16-bit files as they are. The grey levels are therefore divided by the smallest of 2^8-1, 2^10-1, 2^12-1, 2^14-1,
2^16-1 that holds the image's maximum (PGM: by its own maxval). The choice stands in the steps.
"""

from __future__ import annotations

import io
import re
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, JpegImagePlugin, PngImagePlugin, TiffImagePlugin

from core.errors import UnreadableImage
from core.images.colour import COLOURED, grey_from_colour
from core.images.formats import Format
from core.images.limits import check_size, got
from core.images.mammogram import ImageMeta, Mammogram, Pixels, Step
from core.images.pgm import decode as decode_pgm
from core.images.row_bands import in_row_bands
from core.images.structure import check_exif, check_jpeg, check_png, check_tiff, require_whole_png

_BIT_DEPTHS = (8, 10, 12, 14, 16)
_PNG_GREY = 0  # colour type
_JPEG_FUNCTIONS = {0xC3: "ljpeg_decode", 0xF7: "jpegls_decode"}  # by frame marker: lossless JPEG, JPEG-LS
_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_BITS, _TIFF_PHOTOMETRIC, _TIFF_SAMPLES = 256, 257, 258, 262, 277
_TIFF_COMPRESSION, _TIFF_COLOUR_MAP = 259, 320
_TIFF_TILE_WIDTH, _TIFF_TILE_HEIGHT, _TIFF_SAMPLE_FORMAT = 322, 323, 339
# EXIF orientation: whether rows and columns change places, then the axes to flip.
_TURNS: dict[int, tuple[bool, tuple[int, ...]]] = {
    2: (False, (1,)),
    3: (False, (0, 1)),
    4: (False, (0,)),
    5: (True, ()),
    6: (True, (1,)),
    7: (True, (0, 1)),
    8: (True, (0,)),
}
_ONE_BIT, _NO_MASK = "a black-and-white (1-bit) image", "Use the original mammogram, not a mask or scan of text"
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
    frames: int = 1
    frame: int = 0


def read_raster(content: bytes, kind: Format, *, frame: int | None = None) -> Mammogram:
    """Decode a PNG, JPEG, PGM or TIFF file, which `kind` says.

    Raises:
        UnreadableImage: broken, truncated, too large, binary (1 bit), or a page that is not there.
    """
    started = time.perf_counter()
    raw = _decode(kind, content, frame)
    decoded = Step("decode", {"format": kind, **raw.details}, _since(started), tuple(raw.warnings))

    started = time.perf_counter()
    values, colour_warnings, full_scale, coloured = _grey(raw)
    pixels, bits, parameters, warnings = scale_grey_levels(values, full_scale)
    if raw.inverted:
        np.subtract(np.float32(1), pixels, out=pixels)
    scaled = Step("grey levels", parameters, _since(started), (*colour_warnings, *warnings))
    meta = ImageMeta(
        format=kind,
        bits_stored=bits,
        photometric_interpretation="MONOCHROME1" if raw.inverted else "MONOCHROME2",
        synthetic="SYNTHETIC" in raw.comment.upper(),
        frames=raw.frames,
        frame=raw.frame,
        coloured=coloured,
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
            # The range of float32 levels may not fit float32; that of float64 is halved first.
            half, range_ = float(low) / 2, max(float(high) / 2 - float(low) / 2, 1e-300)

            def stretched(part: NDArray[Any]) -> Pixels:
                return np.clip((part.astype(np.float64) / 2 - half) / range_, 0, 1).astype(np.float32)

            return in_row_bands(stretched, values, np.float32), 32, {"from": float(low), "to": float(high)}, warnings
        return values.astype(np.float32), 32, {"from": 0.0, "to": 1.0}, warnings
    if low < 0:
        warnings.append(f"negative grey levels down to {low}: the range {low}..{high} was stretched to black..white")
        span = max(int(high) - int(low), 1)

        def raised(part: NDArray[Any]) -> Pixels:
            return ((part.astype(np.float64) - float(low)) / span).astype(np.float32)

        return in_row_bands(raised, values, np.float32), span.bit_length(), {"from": int(low), "to": int(high)}, warnings
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
        return _DECODERS[kind](content, frame)
    except UnreadableImage:
        raise
    # Pillow and the C libraries below it raise nearly anything on hostile bytes; all of it means the same to the user.
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError) as error:
        raise _broken(kind, error) from error
    except (struct.error, ArithmeticError, AssertionError, RuntimeError, BufferError, Image.DecompressionBombError) as error:
        raise _broken(kind, error) from error


def _broken(kind: str, error: Exception) -> UnreadableImage:
    return got(f"a complete {kind} image", _reason(error), _REMEDY)


def _reason(error: Exception) -> str:
    """What a decoder said, where it means something to a user: names of functions and Python's own errors do not."""
    words = " ".join(str(error).split())
    if "truncated" in words.lower():
        return "one that is cut short"
    plain = isinstance(error, (OSError, SyntaxError, RuntimeError)) and not re.search(
        r"[_<>']|[a-z][A-Z]|index out|driver", words
    )
    return f"a damaged one ({words[:100]})" if words and plain else "a damaged one"


def _decode_pgm(content: bytes, frame: int | None) -> _Raw:
    image = decode_pgm(content)
    _require_frame(frame, 1)
    return _Raw(image.values, full_scale=image.full_scale, comment=image.comment)


def _decode_png(content: bytes, frame: int | None) -> _Raw:
    header = check_png(content)
    with PngImagePlugin.PngImageFile(io.BytesIO(content)) as image:
        _check_size(image)
        _require_frame(frame, 1)
        if header.bits == 16 and header.colour_type != _PNG_GREY:  # Pillow keeps 8 of the 16 bits
            raw = _turned(image, _deep("png_decode", content, (image.height, image.width)))
        else:
            raw = _through_pillow(image)
    # Rows that the file does not have are black: unpacking it once more, to count them, costs a third of decoding it.
    edges = (raw.values[0], raw.values[-1], raw.values[:, 0], raw.values[:, -1])  # it may have been turned
    if content[28] or not all(edge.any() for edge in edges):
        require_whole_png(content)
    return raw


def _decode_jpeg(content: bytes, frame: int | None) -> _Raw:
    header = check_jpeg(content)
    _require_frame(frame, 1)
    if header is None:
        raise got("a complete JPEG image", "one without a frame header", _REMEDY)
    if header.samples not in (1, 3, 4):
        raise got("1, 3 or 4 samples a pixel", str(header.samples), _REMEDY)
    check_size(header.rows, header.columns, header.samples)
    if header.marker in _JPEG_FUNCTIONS or header.bits > 8:  # as in DDSM; Pillow has none of them
        if b"\xff\xd9" not in content[-64:]:
            raise got("a complete JPEG image", "one without its end marker", _REMEDY)
        function = _JPEG_FUNCTIONS.get(header.marker, "jpeg8_decode")
        values = _deep(function, content, (header.rows, header.columns))
        full_scale = 2**header.bits - 1 if 8 < header.bits < 16 else None
        return _Raw(values, full_scale, details={"mode": f"{header.bits} bits"})
    with JpegImagePlugin.JpegImageFile(io.BytesIO(content)) as image:
        _check_size(image)
        return _through_pillow(image)


def _decode_tiff(content: bytes, frame: int | None) -> _Raw:
    pages = check_tiff(content)
    index = _require_frame(frame, len(pages))
    tags = pages[index]
    shape = (tags.get(_TIFF_HEIGHT, 0), tags.get(_TIFF_WIDTH, 0))
    check_size(*shape, tags.get(_TIFF_SAMPLES, 1), tags.get(_TIFF_BITS, 8))
    check_size(tags.get(_TIFF_TILE_HEIGHT, 1), tags.get(_TIFF_TILE_WIDTH, 1), tags.get(_TIFF_SAMPLES, 1))
    try:
        with _tiff_file(content) as image:
            if index:
                image.seek(index)
            _check_size(image)
            if image.mode == "1":
                raise got("grey levels", _ONE_BIT, _NO_MASK)
            deep = len(bits := image.tag_v2.get(_TIFF_BITS, (8,))) > 1 and max(bits) > 8  # Pillow keeps 8 of them
            if deep or tags.get(_TIFF_COMPRESSION, 1) != 1:  # Pillow's libtiff writes its complaints to the terminal
                raw = _turned(image, _tiff_samples(image, _deep("tiff_decode", content, shape, index)))
                raw.inverted = tags.get(_TIFF_PHOTOMETRIC) == 0
            else:
                raw = _through_pillow(image)
                if raw.values.dtype == np.int32 and tags.get(_TIFF_SAMPLE_FORMAT, 1) == 1:
                    raw.values = raw.values.view(np.uint32)
                # Pillow turns 0 = white into 0 = black itself, but for 8 bits only.
                raw.inverted = tags.get(_TIFF_PHOTOMETRIC) == 0 and image.mode != "L"
    except SyntaxError:  # a kind that Pillow does not know, such as float of 16 or 64 bits
        values = _deep("tiff_decode", content, shape, index)
        raw = _Raw(values, inverted=tags.get(_TIFF_PHOTOMETRIC) == 0, details={"mode": str(values.dtype)})
    if len(pages) > 1:
        raw.details |= {"page": index + 1, "pages": len(pages)}
        raw.warnings += [f"the file has {len(pages)} pages: the first was taken"] if frame is None else []
    raw.frames, raw.frame = len(pages), index
    return raw


def _deep(function: str, content: bytes, shape: tuple[int, int], *arguments: int) -> NDArray[Any]:
    """Decode with imagecodecs what Pillow cannot, or not with all its bits; `shape` is the header's (height, width)."""
    import imagecodecs  # 80 MB on disk: only when a file needs it

    values = np.asarray(getattr(imagecodecs, function)(content, *arguments))
    if values.ndim == 3 and values.shape[1:] == shape:  # colour by plane
        values = np.moveaxis(values, 0, 2)
    if values.dtype.kind not in "uif":
        raise got("whole or floating-point grey levels", f"values of type {values.dtype}", _REMEDY)
    if values.shape[:2] != shape:
        raise got(f"{shape[1]}×{shape[0]} pixels as in the header", f"an image of shape {values.shape}", _REMEDY)
    return values


def _tiff_file(content: bytes) -> Any:
    return TiffImagePlugin.TiffImageFile(io.BytesIO(content))


def _tiff_samples(image: Any, values: NDArray[Any]) -> NDArray[Any]:
    """What imagecodecs decoded, as grey or colour samples."""
    if image.mode == "LAB":
        raise got("grey or RGB samples", "CIE L*a*b* colours", _REMEDY)
    if image.mode != "P":
        return values
    palette = np.array(image.tag_v2[_TIFF_COLOUR_MAP]).reshape(3, -1).T >> 8  # of 16 bits, but only the upper 8 are sure
    return np.asarray(palette.astype(np.uint8)[values])


def _through_pillow(image: Any) -> _Raw:
    """Decode with Pillow, in a mode that is an array of grey or colour samples."""
    if image.mode == "1":
        raise got("grey levels", _ONE_BIT, _NO_MASK)
    image.load()
    mode = image.mode
    converted: Any = image
    if mode in ("P", "PA", "RGBa"):
        converted = image.convert("RGBA")
    elif mode not in ("L", "LA", "RGB", "RGBA", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"):
        converted = image.convert("RGB")
    return _turned(image, np.asarray(converted))


def _turned(image: Any, values: NDArray[Any]) -> _Raw:
    """The values as the EXIF orientation wants them seen (after `image.load()`, which may turn an image itself)."""
    raw = _Raw(values, comment=_comment(image), details={"mode": image.mode})
    if values.dtype.byteorder == ">":
        raw.values = values.astype(values.dtype.newbyteorder("="))
    image.info.pop("Raw profile type exif", None)  # ImageMagick's old way; unbounded, and Pillow trusts it
    try:
        check_exif(image.info.get("exif", b""))
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except (UnreadableImage, OSError, SyntaxError, ValueError, TypeError, LookupError, struct.error):
        raw.warnings.append("the Exif block is damaged and was ignored: the image may lie on its side")
        return raw
    if orientation in _TURNS:
        transposed, flips = _TURNS[orientation]
        turned = raw.values.swapaxes(0, 1) if transposed else raw.values
        raw.values = np.ascontiguousarray(np.flip(turned, flips))
        raw.details["exif_orientation"] = int(orientation)
    return raw


def _grey(raw: _Raw) -> tuple[NDArray[Any], list[str], int | None, bool]:
    """Stored values as (H, W), flattened onto black where the file has transparency, in grey where it has colour; what to
    say of that; the value of white; whether it really has colour."""
    values, full_scale = raw.values, raw.full_scale
    warnings: list[str] = []
    # An 8-bit image uses its full scale whatever its maximum; deeper ones are judged by it.
    full_scale = full_scale or (255 if values.dtype == np.uint8 else None)
    if values.ndim == 2:
        return values, warnings, full_scale, False
    if values.ndim != 3 or values.shape[2] not in (2, 3, 4) or values.dtype not in (np.uint8, np.uint16):
        raise got("grey or colour samples of 8 or 16 bits", f"shape {values.shape} of type {values.dtype}", _REMEDY)
    alpha = values[:, :, -1] if values.shape[2] in (2, 4) else None
    coloured = False
    if values.shape[2] == 2:
        grey = values[:, :, 0]
    else:
        grey, warning = grey_from_colour(values[:, :, :3])
        warnings += [warning] if warning else []
        coloured = warning.startswith(COLOURED)
    opaque = int(np.iinfo(values.dtype).max)
    if alpha is not None and int(alpha.min()) < opaque:
        grey = np.floor(grey * (alpha / np.float32(opaque)) + np.float32(0.5)).astype(values.dtype)
        warnings.append("transparent areas were laid on black")
    return grey, warnings, full_scale, coloured


def _comment(image: Any) -> str:
    """Text that a writer left in the file; only searched for the word SYNTHETIC, never kept."""
    parts = [value for value in image.info.values() if isinstance(value, (str, bytes))]
    description = getattr(image, "tag_v2", {}).get(270, "")
    texts = [part.decode("latin-1") if isinstance(part, bytes) else str(part) for part in (*parts, description)]
    return "\n".join(text[:10_000] for text in texts)


def _check_size(image: Any) -> None:
    samples = 4 if image.mode in ("P", "PA") else len(image.getbands())
    check_size(image.height, image.width, samples)


def _require_frame(frame: int | None, frames: int) -> int:
    if frame is None:
        return 0
    if not 0 <= frame < frames:
        raise got(f"one of the file's {frames} frames", f"frame {frame + 1}", "Choose a frame that the file has")
    return frame


def _since(started: float) -> float:
    return (time.perf_counter() - started) * 1000


_DECODERS: dict[str, Callable[[bytes, int | None], _Raw]] = {
    "PNG": _decode_png,
    "JPEG": _decode_jpeg,
    "PGM": _decode_pgm,
    "TIFF": _decode_tiff,
}
