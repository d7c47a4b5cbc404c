"""DICOM, with or without preamble, in any transfer syntax that a decoder here takes -> Mammogram.

    dicom_file      header, and where the pixels lie          dicom_frames    functional groups of one frame
    dicom_pixels    one frame -> stored values                dicom_fragments, codestream, decoders: compressed ones
    dicom_grey      stored values -> grey levels              dicom_voi       the windows and LUTs to choose from
    dicom_meta      what the header says                      dicom_views, dicom_identity

docs/dicom.md tells what is taken, in which order, and what is refused.
"""

from __future__ import annotations

import io
import time
from dataclasses import replace
from typing import Any, BinaryIO, Literal

from core.errors import UnreadableImage
from core.images.dicom.elements import BROKEN, DAMAGED, number_of, text_of
from core.images.dicom.file import DicomFile, open_dicom
from core.images.dicom.frames import of_frame
from core.images.dicom.grey_levels import to_grey
from core.images.dicom.identity import identity_of
from core.images.dicom.metadata import read_meta
from core.images.dicom.pixels import layout_of, stored_values, syntax_name
from core.images.limits import got
from core.images.mammogram import ImageMeta, Mammogram, Step
from core.images.quiet import quiet
from core.images.raster import recognise

_RAW = "raw detector data (FOR PROCESSING): the vendor's own processing is missing; expect another look"


def has_preamble(content: bytes) -> bool:
    """Whether the bytes are DICOM Part 10: 128 bytes of anything, then DICM."""
    return content[128:132] == b"DICM"


def looks_like_dicom(content: bytes) -> bool:
    """Whether bytes without a preamble start like a DICOM data set: a plausible first element of group 2 or 8."""
    if has_preamble(content):
        return True
    orders: tuple[Literal["little", "big"], ...] = ("little", "big")
    for order in orders:
        group, element = int.from_bytes(content[0:2], order), int.from_bytes(content[2:4], order)
        explicit = content[4:6].isalpha() and content[4:6].isupper()
        implicit = int.from_bytes(content[4:8], "little") <= 256
        if len(content) > 8 and group in (0x0002, 0x0008) and element <= 0x0100 and (explicit or implicit):
            return True
    return False


def is_dicom(head: bytes) -> bool:
    """Whether the first bytes of a file are DICOM's, whatever else they could be.

    A preamble may hold another format's header (TIFF, in digital pathology), so DICM decides first.
    """
    return has_preamble(head) or (recognise(head) is None and looks_like_dicom(head))


def read_header(source: BinaryIO) -> ImageMeta:
    """What the header of a DICOM stream says, without decoding any pixel.

    Raises:
        UnreadableImage: it cannot be parsed.
    """
    with quiet():
        ds = open_dicom(source).ds
        try:
            return read_meta(of_frame(ds, 0))
        except BROKEN:
            raise _unparsable() from None


def read_dicom(source: BinaryIO | bytes, *, frame: int | None = None, window: int = 1) -> Mammogram:
    """Decode one frame of a DICOM file; `frame` from 0, None for the only one or the middle of a stack.

    `window` chooses the VOI LUT or window, from 1; 0 takes none.

    Raises:
        UnreadableImage: no image in it, damaged, too large, not greyscale, or in a syntax without a decoder here.
    """
    started = time.perf_counter()
    file = open_dicom(io.BytesIO(source) if isinstance(source, bytes) else source)
    if window < 0:
        raise got("a window from 0 (none) on", str(window), "Choose 1 for the first one of the file")
    if not file.keyword:
        raise _without_pixels(file)
    layout, remarks = layout_of(file)
    if frame is not None and not 0 <= frame < layout.frames:
        raise got(f"one of the file's {layout.frames} frames", f"frame {frame + 1}", "Choose a frame that the file has")
    index = frame if frame is not None else layout.frames // 2 if layout.frames > 1 else 0
    stored = stored_values(file, layout, index)
    parameters: dict[str, Any] = {"format": "DICOM", "transfer syntax": syntax_name(file), "decoder": stored.decoder}
    steps = [Step("decode", parameters, _since(started), (*remarks, *stored.remarks))]
    if layout.frames > 1:
        words = (f"the file has {layout.frames} frames: frame {index + 1} was taken",) if frame is None else ()
        steps.append(Step("frame", {"frame": index + 1, "frames": layout.frames}, warnings=words))
    started = time.perf_counter()
    try:
        ds = of_frame(file.ds, index)
        pixels, grey, windows = to_grey(stored.values, ds, stored.bits, identity_of(ds), window)
        meta = replace(read_meta(ds), frames=layout.frames, frame=index, windows=windows)
    except BROKEN:
        raise _unparsable() from None
    warnings = (*grey.warnings, *([_RAW] if meta.presentation_intent == "FOR PROCESSING" else []))
    steps.append(replace(grey, milliseconds=_since(started), warnings=warnings))
    return Mammogram(pixels, meta, tuple(steps))


def _unparsable() -> UnreadableImage:
    # Without the error's own words: pydicom's quote elements, names among them.
    return got("a readable header", "one that cannot be parsed", DAMAGED)


def _without_pixels(file: DicomFile) -> UnreadableImage:
    """Why there is no image: cut off before its pixels, or of another kind."""
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
