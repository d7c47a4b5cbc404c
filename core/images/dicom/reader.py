"""DICOM reader: with or without preamble, in any transfer syntax that a decoder here takes -> Mammogram.

    file          header, and where the pixels lie           frames      functional groups of one frame
    pixels        one frame -> stored values                 fragments, codestream, decoders: compressed ones
    grey_levels   stored values -> grey levels               voi         the windows and VOI LUTs to choose from
    metadata      what the header says                       views, identity

docs/dicom.md says what is taken, in which order, and what is refused.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from core.errors import UnreadableImage
from core.images.dicom.elements import BROKEN, DAMAGED, number_of, text_of, texts_of
from core.images.dicom.file import DicomFile, open_dicom
from core.images.dicom.frames import of_frame
from core.images.dicom.grey_levels import to_grey
from core.images.dicom.identity import identity_of
from core.images.dicom.metadata import read_meta
from core.images.dicom.pixels import read_image_pixel_module, stored_values, syntax_name
from core.images.library_warnings import silenced
from core.images.limits import got
from core.images.mammogram import ImageMeta, Mammogram, Step

_AGE = re.compile(r"([0-9]{1,3})([YMWD])", re.IGNORECASE)
_A_YEAR = {"Y": 1, "M": 12, "W": 52.18, "D": 365.25}  # how many of them it has
_RAW = "raw detector data (FOR PROCESSING): the vendor's own processing is missing; expect a different appearance"


@dataclass(frozen=True)
class DicomHeader:
    """What a header says besides `meta`: `size` as (width, height), None where it is not there; `bits_allocated` of a pixel, 0
    where it is not there; `description` of the series, as it is written: compare it, never show it; `age` in years or None;
    `orientation`: where rows and columns lead (DICOM PatientOrientation), such as ("A", "FR").
    """

    meta: ImageMeta
    size: tuple[int, int] | None
    bits_allocated: int
    description: str
    age: float | None
    orientation: tuple[str, ...]


def read_dicom_header(source: BinaryIO) -> DicomHeader:
    """What the header of a DICOM stream says, without decoding any pixel.

    Raises:
        UnreadableImage: it cannot be parsed.
    """
    with silenced():
        ds = open_dicom(source).ds
        try:
            width, height = number_of(ds, "Columns"), number_of(ds, "Rows")
            return DicomHeader(
                read_meta(of_frame(ds, 0)),
                (int(width), int(height)) if width and height else None,
                int(number_of(ds, "BitsAllocated") or 0),
                text_of(ds, "SeriesDescription"),
                years_of(text_of(ds, "PatientAge")),
                tuple(texts_of(ds, "PatientOrientation")),
            )
        except BROKEN:
            raise _unparsable() from None


def years_of(age: str) -> float | None:
    """The years that a DICOM age string (045Y, 006M) says, or None."""
    found = _AGE.fullmatch(age.strip())
    return None if found is None else round(int(found[1]) / _A_YEAR[found[2].upper()], 2)


def read_dicom(source: BinaryIO, *, frame: int | None = None, window: int = 1) -> Mammogram:
    """Decode one frame of a DICOM file; `frame` from 0, None for the only one or the middle of a stack.

    `window` chooses the VOI LUT or window, from 1; 0 takes none.

    Raises:
        UnreadableImage: no image in it, damaged, too large, not greyscale, or in a syntax without a decoder here.
    """
    started = time.perf_counter()
    file = open_dicom(source)
    if window < 0:
        raise got("a window from 0 (none) on", str(window), "Choose 1 for the first one of the file")
    if not file.keyword:
        raise _without_pixels(file)
    module, remarks = read_image_pixel_module(file)
    if frame is not None and not 0 <= frame < module.frames:
        raise got(f"one of the file's {module.frames} frames", f"frame {frame + 1}", "Choose a frame that the file has")
    index = frame if frame is not None else module.frames // 2 if module.frames > 1 else 0
    stored = stored_values(file, module, index)
    parameters: dict[str, Any] = {"format": "DICOM", "transfer syntax": syntax_name(file), "decoder": stored.decoder}
    steps = [Step("decode", parameters, _since(started), (*remarks, *stored.remarks))]
    if module.frames > 1:
        words = (f"the file has {module.frames} frames: frame {index + 1} was taken",) if frame is None else ()
        steps.append(Step("frame", {"frame": index + 1, "frames": module.frames}, warnings=words))
    started = time.perf_counter()
    try:
        ds = of_frame(file.ds, index)
        pixels, grey, windows = to_grey(stored.values, ds, stored.bits, identity_of(ds), window)
        meta = replace(read_meta(ds), frames=module.frames, frame=index, windows=windows)
    except BROKEN:
        raise _unparsable() from None
    warnings = (*grey.warnings, *([_RAW] if meta.presentation_intent == "FOR PROCESSING" else []))
    steps.append(replace(grey, milliseconds=_since(started), warnings=warnings))
    return Mammogram(pixels, meta, tuple(steps))


def _unparsable() -> UnreadableImage:
    # Without the error's own words: pydicom's quote elements, names among them.
    return got("a readable header", "one that cannot be parsed", DAMAGED)


def _without_pixels(file: DicomFile) -> UnreadableImage:
    """The error for a file without an image: cut off before its pixels, or of another kind."""
    ds = file.ds
    kind = text_of(ds.file_meta, "MediaStorageSOPClassUID") or text_of(ds, "SOPClassUID")
    if file.cut:
        return got("a complete DICOM image", "a truncated file: it ends within its header, before any pixels", DAMAGED)
    if number_of(ds, "Rows") and number_of(ds, "Columns"):
        came = "a file whose header describes an image, and which ends without its pixels: it is truncated, or was sent so"
        return got("a DICOM image", came, DAMAGED)
    if not kind:
        return got("a DICOM image", "no DICOM image", "It may be a report or a damaged file; name an image")
    came = "a DICOM file without pixels"
    return got("a DICOM image", came, "It may be a report, a structured annotation or a truncated file; name an image")


def _since(started: float) -> float:
    return (time.perf_counter() - started) * 1000
