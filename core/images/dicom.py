"""DICOM, with or without preamble, in any transfer syntax that a decoder here takes -> Mammogram.

Only the elements listed below are parsed; those that name a person are not among them, except PatientID, which
becomes a pseudonym at once.
"""

from __future__ import annotations

import io
import struct
import time
import zlib
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import get_frame
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.pixels import apply_color_lut, pixel_array
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from core.errors import UnreadableImage
from core.images import decoders
from core.images.codestream import codestream_size
from core.images.colour import grey_from_colour, is_grey
from core.images.dicom_grey import to_grey
from core.images.dicom_meta import read_meta
from core.images.limits import MAX_INFLATED_BYTES, check_size, got
from core.images.mammogram import Mammogram, Step

_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_TAGS = [
    *("SpecificCharacterSet", "SOPClassUID", "Modality", "PresentationIntentType", "SeriesDescription", "Manufacturer"),
    *("ManufacturerModelName", "PatientID", "ViewPosition", "ViewCodeSequence", "ImageLaterality", "Laterality"),
    *("ProtocolName", "AcquisitionDeviceProcessingDescription", "ImageComments", "PixelSpacing", "ImagerPixelSpacing"),
    *("NominalScannedPixelSpacing", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    *("SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames", "Rows", "Columns"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit"),
    *("FloatPixelPaddingValue", "FloatPixelPaddingRangeLimit", "RescaleIntercept", "RescaleSlope", "ModalityLUTSequence"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence", "PresentationLUTShape"),
    *("RedPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableDescriptor"),
    *("BluePaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData", "GreenPaletteColorLookupTableData"),
    *("BluePaletteColorLookupTableData", "SegmentedRedPaletteColorLookupTableData"),
    *("SegmentedGreenPaletteColorLookupTableData", "SegmentedBluePaletteColorLookupTableData"),
    *("ExtendedOffsetTable", "ExtendedOffsetTableLengths", *_PIXELS),
]
# What pydicom, its decoders and numpy raise on hostile bytes; each is turned into one UnreadableImage with the reason.
_PARSING = (InvalidDicomError, BytesLengthException, struct.error, zlib.error, OSError, EOFError, RecursionError)
_VALUES = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError, BufferError)
_BROKEN = (*_PARSING, *_VALUES, NotImplementedError, RuntimeError)
_DAMAGED = "The file is damaged or incomplete; copy or export it again"


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


def read_dicom(content: bytes, *, frame: int | None = None) -> Mammogram:
    """Decode one frame of a DICOM file; `frame` from 0, None for the only one or the middle of a stack.

    Raises:
        UnreadableImage: no image in it, damaged, too large, not greyscale, or in a syntax without a decoder here.
    """
    started = time.perf_counter()
    ds = _parse(content)
    index, frames = _check_header(ds, frame)
    stored, decoder, remarks = _decode(ds, index)
    parameters: dict[str, Any] = {"format": "DICOM", "transfer syntax": ds.file_meta.TransferSyntaxUID.name, "decoder": decoder}
    steps = [Step("decode", parameters, _since(started), tuple(remarks))]
    if frames > 1:
        words = (f"the file has {frames} frames: frame {index + 1} was taken",) if frame is None else ()
        steps.append(Step("frame", {"frame": index + 1, "frames": frames}, warnings=words))
    started = time.perf_counter()
    try:
        pixels, grey = to_grey(stored, ds)
        meta = read_meta(ds)
    except _BROKEN as error:
        raise got("a readable header", _reason(error), _DAMAGED) from error
    warnings = list(grey.warnings)
    if meta.presentation_intent == "FOR PROCESSING":
        warnings.append("raw detector data (FOR PROCESSING): the vendor's own processing is missing; expect another look")
    steps.append(Step(grey.name, grey.parameters, _since(started), tuple(warnings)))
    return Mammogram(pixels, meta, tuple(steps))


def _parse(content: bytes) -> Dataset:
    try:
        _refuse_inflation_bomb(content)
        ds = dcmread(io.BytesIO(content), force=True, specific_tags=list(_TAGS))
        if not getattr(ds, "file_meta", None):
            ds.file_meta = FileMetaDataset()
        if not ds.file_meta.get("TransferSyntaxUID"):
            ds.file_meta.TransferSyntaxUID = _native_syntax(ds)
        str(ds.get("PhotometricInterpretation"))
    except UnreadableImage:
        raise
    except _BROKEN as error:
        raise got("a complete DICOM file", _reason(error), _DAMAGED) from error
    return ds


def _native_syntax(ds: Dataset) -> UID:
    """Files without a header are uncompressed in one of the three native syntaxes: the way they parsed tells which."""
    implicit, little = ds.original_encoding
    if implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRBigEndian if little is False else ExplicitVRLittleEndian


def _refuse_inflation_bomb(content: bytes) -> None:
    """pydicom inflates a deflated data set in one go: count first how much that would be."""
    if not has_preamble(content) or b"1.2.840.10008.1.2.1.99" not in content[132:2048]:
        return
    # The first element of the header, (0002,0000), is its length: the deflated data start behind it.
    if content[132:136] != b"\x02\0\0\0":
        raise got("the length of the header", "a deflated file without it", _DAMAGED)
    rest = content[144 + int.from_bytes(content[140:144], "little") :]
    inflater, total = zlib.decompressobj(-zlib.MAX_WBITS), 0
    while rest and not inflater.eof:
        total += len(inflater.decompress(rest, 2**24))
        rest = inflater.unconsumed_tail
        if total > MAX_INFLATED_BYTES:
            raise got(f"at most {MAX_INFLATED_BYTES / 2**30:.0f} GiB once inflated", "more", "It is no mammogram; leave it out")


def _check_header(ds: Dataset, frame: int | None) -> tuple[int, int]:
    """Refuse what cannot become a grey image before decoding it; return the frame's index and the number of frames."""
    try:
        if not any(name in ds for name in _PIXELS):
            what = "a DICOM file without pixels" if "SOPClassUID" in ds or "Modality" in ds else "no DICOM image"
            raise got("a DICOM image", what, "It may be a report, a structured annotation or a damaged file; name an image")
        needed = ("Rows", "Columns", "BitsAllocated", "PhotometricInterpretation")
        missing = [name for name in needed if ds.get(name) in (None, "")]
        if missing:
            raise got("an image header", f"one without {', '.join(missing)}", _DAMAGED)
        check_size(int(ds.Rows), int(ds.Columns))
        if int(ds.BitsAllocated) == 1:
            raise got("grey levels", "a binary mask (1 bit a pixel)", "Name the mammogram, not its segmentation")
        if int(ds.get("SamplesPerPixel") or 1) not in (1, 3):
            raise got("one grey sample a pixel", f"{ds.SamplesPerPixel} samples", "Export it as a greyscale image")
        frames = max(1, int(ds.get("NumberOfFrames") or 1))
    except UnreadableImage:
        raise
    except _BROKEN as error:
        raise got("a readable image header", _reason(error), _DAMAGED) from error
    if frame is not None and not 0 <= frame < frames:
        raise got(f"a frame from 0 to {frames - 1}", str(frame), "Choose a frame that the file has")
    return (frames // 2 if frames > 1 else 0) if frame is None else frame, frames


def _decode(ds: Dataset, index: int) -> tuple[NDArray[Any], str, list[str]]:
    """Stored values (H, W) of one frame, the decoder that gave them, and remarks."""
    syntax = ds.file_meta.TransferSyntaxUID
    try:
        compressed = syntax.is_compressed and not syntax.is_deflated
        plugins = decoders.plugins_for(str(syntax)) if compressed else [""]
        if compressed:
            _check_codestream(ds, index)
    except UnreadableImage:
        raise
    except _BROKEN as error:
        raise got("pixels in a transfer syntax known here", f"{syntax.name} ({_reason(error)})", _transcode()) from error
    if not plugins:
        raise got("a decoder", f"none here for {syntax.name}", "Install the packages of requirements.txt")
    reasons: list[str] = []
    for plugin in plugins:
        try:
            values = np.asarray(pixel_array(ds, index=index, decoding_plugin=plugin))
            stored, remarks = _single_channel(values, ds)
            return stored, plugin or "pydicom", remarks
        except UnreadableImage:
            raise
        except _BROKEN as error:
            reasons.append(f"{plugin or 'pydicom'}: {_reason(error)}")
    raise got(f"pixels that decode ({syntax.name})", "; ".join(dict.fromkeys(reasons)), _DAMAGED)


def _check_codestream(ds: Dataset, index: int) -> None:
    """Refuse a compressed frame that claims another size than its header, before a decoder allocates it."""
    frame = get_frame(ds.PixelData, index, number_of_frames=int(ds.get("NumberOfFrames") or 1))
    if frame[:2] == b"\xff\xd8" and b"\xff\xd9" not in frame[-64:]:
        # JPEG decoders fill up what is missing with grey and say nothing.
        raise got("a complete JPEG frame", "one without its end marker", _DAMAGED)
    size = codestream_size(frame)
    if size is not None and size != (int(ds.Rows), int(ds.Columns)):
        expected = f"a frame of {ds.Columns}×{ds.Rows} as in the header"
        raise got(expected, f"{size[1]}×{size[0]} in the compressed data", _DAMAGED)


def _single_channel(values: NDArray[Any], ds: Dataset) -> tuple[NDArray[Any], list[str]]:
    if str(ds.PhotometricInterpretation).strip() == "PALETTE COLOR":
        values = apply_color_lut(values, _with_native_palette(ds))
    values = values.astype(values.dtype.newbyteorder("="), copy=False)  # big-endian files give big-endian arrays
    if values.ndim == 2:
        return values, []
    if values.ndim != 3 or values.shape[2] != 3 or not np.issubdtype(values.dtype, np.integer):
        raise got("one grey sample a pixel", f"pixels of shape {values.shape} and type {values.dtype}", _GREY)
    if not is_grey(values):
        raise got("a greyscale image", f"a colour image ({ds.PhotometricInterpretation})", _GREY)
    grey, warning = grey_from_colour(values)
    return grey, [warning] if warning else []


def _with_native_palette(ds: Dataset) -> Dataset:
    """The data set with its palettes in little-endian words: pydicom takes them for that, also in big-endian files."""
    if ds.original_encoding[1] is not False:
        return ds
    swapped = Dataset(ds)
    for colour in ("Red", "Green", "Blue"):
        name = f"{colour}PaletteColorLookupTableData"
        if isinstance(ds.get(name), bytes):
            setattr(swapped, name, np.frombuffer(ds.get(name), ">u2").astype("<u2").tobytes())
    return swapped


_GREY = "Mammograms are grey: name the original, not a colour capture of it"


def _transcode() -> str:
    return "Convert it to an uncompressed or JPEG 2000 file"


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())
    # pydicom repeats a general sentence before the decoder's own words
    _, _, specific = text.partition("raised by all available plugins: ")
    return (specific or text)[:240] or type(error).__name__


def _since(started: float) -> float:
    return (time.perf_counter() - started) * 1000
