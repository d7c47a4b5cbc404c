"""The header of a DICOM file and where its pixels lie, for a stream that may be far larger than memory.

Only the elements listed below are parsed. What pydicom says about damaged ones quotes their values, names among them:
its words never go into a message; what matters is found out here and said in our own.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_partial
from pydicom.tag import Tag
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from core.errors import UnreadableImage
from core.images.dicom.elements import BROKEN, DAMAGED, text_of
from core.images.dicom.identity import IDENTITY
from core.images.limits import MAX_INFLATED_BYTES, got

_LUTS = ("Descriptor", "Data")
_TAGS = [
    *("SpecificCharacterSet", "SOPClassUID", "Modality", "PresentationIntentType", "SeriesDescription", "Manufacturer"),
    *("ManufacturerModelName", "ViewPosition", "ViewCodeSequence", "ViewModifierCodeSequence", "ImageLaterality"),
    *("Laterality", "ProtocolName", "AcquisitionDeviceProcessingDescription", "PerformedProcedureStepDescription"),
    *("BodyPartExamined", "BreastImplantPresent", "ImageComments", "PixelSpacing", "ImagerPixelSpacing"),
    *("NominalScannedPixelSpacing", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    *("SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames", "Rows", "Columns"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit"),
    *("FloatPixelPaddingValue", "FloatPixelPaddingRangeLimit", "RescaleIntercept", "RescaleSlope", "ModalityLUTSequence"),
    *("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTFunction", "VOILUTSequence"),
    *("PatientAge", "PatientOrientation"),
    *("PresentationLUTShape", "ExtendedOffsetTable", "ExtendedOffsetTableLengths"),
    *(f"{colour}PaletteColorLookupTable{part}" for colour in ("Red", "Green", "Blue") for part in _LUTS),
    *(f"Segmented{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue")),
    *IDENTITY,
]
_PIXELS = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}
_LONG = (b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"UN")
_UNDEFINED = 0xFFFFFFFF
_DEFLATED = "1.2.840.10008.1.2.1.99"
_HEAD_BYTES = 64 * 2**20  # room for the header of a deflated file
_MAX_ELEMENTS = 50_000
_MAX_READS = 6 * _MAX_ELEMENTS
_CHUNK = 2**18


@dataclass(frozen=True)
class DicomFile:
    """A parsed header, and where in the stream the value of the pixel element lies.

    `keyword` is the pixel element's, "" without one. `length` is its announced length in bytes, None where it is left
    open (compressed). `size` is that of the stream in bytes. `cut` tells that the stream ends inside an element of the
    header. `head` is the inflated beginning of a deflated file.
    """

    ds: Dataset
    syntax: UID
    stream: BinaryIO
    keyword: str
    offset: int
    length: int | None
    size: int
    cut: bool
    head: bytes = b""

    def read(self, start: int, count: int) -> bytes:
        """Up to `count` bytes from `start` bytes behind the beginning of the pixel element's value."""
        if str(self.syntax) == _DEFLATED:
            begin, end = self.offset + start, self.offset + start + count
            return self.head[begin:end] if end <= len(self.head) else _inflate(self.stream, begin, count)
        self.stream.seek(self.offset + start)
        return self.stream.read(max(0, count))

    @property
    def little(self) -> bool:
        """Whether numbers are little-endian."""
        return self.ds.original_encoding[1] is not False


def open_dicom(stream: BinaryIO) -> DicomFile:
    """Parse the header of a DICOM stream up to its pixels. Raises UnreadableImage: it cannot be parsed."""
    try:
        size = stream.seek(0, io.SEEK_END)
        stream.seek(0)
        deflated = _is_deflated(stream)
        stream.seek(0)
        head = _inflate(stream, 0, _HEAD_BYTES) if deflated else b""
        source: BinaryIO = io.BytesIO(head) if deflated else stream
        ds = read_partial(_Counted(source), stop_when=_stop(), force=True, specific_tags=[Tag(name) for name in _TAGS])
        if not getattr(ds, "file_meta", None):
            ds.file_meta = FileMetaDataset()
        if deflated:
            ds.file_meta.TransferSyntaxUID = UID(_DEFLATED)
        syntax = UID(text_of(ds.file_meta, "TransferSyntaxUID")) or _native_syntax(ds)
        ds.file_meta.TransferSyntaxUID = syntax
        str(ds.get("PhotometricInterpretation"))
        position, end = source.tell(), source.seek(0, io.SEEK_END)
        source.seek(position)
        keyword, offset, length = _pixel_element(source, ds)
    except UnreadableImage:
        raise
    except BROKEN:
        raise got("a complete DICOM file", "one that cannot be parsed", DAMAGED) from None
    cut = position > end or _short(ds)
    return DicomFile(ds, syntax, stream, keyword, offset, length, size, cut, head)


class _Counted:
    """A stream that gives up after more reads than any header takes.

    pydicom takes zeros for empty command elements, 8 bytes each, before it asks `_stop`: minutes for a blank file.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._left = _MAX_READS
        self._stream = stream
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, count: int = -1) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise OSError("more elements than any header has")
        return self._stream.read(count)


def _stop() -> Callable[[int, str | None, int], bool]:
    """Where parsing ends: at the pixels, or after more elements than any header has (gigabytes of zeros are elements)."""
    count = 0

    def stop(tag: int, _vr: str | None, _length: int) -> bool:
        nonlocal count
        count += 1
        return tag in _PIXELS or count > _MAX_ELEMENTS

    return stop


def _pixel_element(source: BinaryIO, ds: Dataset) -> tuple[str, int, int | None]:
    """Keyword, offset and length of the value of the element that the stream stands before."""
    head = source.read(12)
    order = "<" if ds.original_encoding[1] is not False else ">"
    if len(head) < 8:
        return "", 0, 0
    group, element = struct.unpack(f"{order}HH", head[:4])
    keyword = _PIXELS.get(group << 16 | element, "")
    explicit = head[4:6] in _LONG and (not ds.original_encoding[0] or head[6:8] == b"\0\0")
    if explicit and len(head) < 12:
        return "", 0, 0
    (length,) = struct.unpack(f"{order}L", head[8:12] if explicit else head[4:8])
    offset = source.tell() - len(head) + (12 if explicit else 8)
    return keyword, offset, None if length == _UNDEFINED else length


def _short(ds: Dataset) -> bool:
    """Whether an element's value has fewer bytes than announced: the stream ended within it."""
    for tag in ds.keys():  # noqa: SIM118  a Dataset iterates over parsed elements, its keys are free
        raw = ds.get_item(tag)
        value, length = getattr(raw, "value", None), getattr(raw, "length", None)
        if isinstance(value, bytes) and isinstance(length, int) and length != _UNDEFINED and len(value) < length:
            return True
    return False


def _native_syntax(ds: Dataset) -> UID:
    """Files without a header are uncompressed in one of the three native syntaxes: the way they parsed tells which."""
    implicit, little = ds.original_encoding
    if implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRBigEndian if little is False else ExplicitVRLittleEndian


def _is_deflated(stream: BinaryIO) -> bool:
    head = stream.read(2048)
    return head[128:132] == b"DICM" and _DEFLATED.encode() in head[132:]


def _inflate(stream: BinaryIO, start: int, count: int) -> bytes:
    """Bytes start .. start + count of a deflated data set; never holds more than that, nor inflates a bomb.

    Raises:
        UnreadableImage: damaged, or far beyond what an image can be.
    """
    stream.seek(132)
    header = stream.read(12)
    # The first element of the header, (0002,0000), is its length: the deflated data start behind it.
    if header[:4] != b"\x02\0\0\0":
        raise got("the length of the header", "a deflated file without it", DAMAGED)
    stream.seek(144 + int.from_bytes(header[8:12], "little"))
    content, position = bytearray(), 0
    for piece in _inflated(stream):
        content += piece[max(0, start - position) : max(0, start + count - position)]
        position += len(piece)
        if position > MAX_INFLATED_BYTES:
            limit = f"at most {MAX_INFLATED_BYTES / 2**30:.0f} GiB once inflated"
            raise got(limit, "more", "It is no mammogram; leave it out")
        if position >= start + count:
            break
    return bytes(content)


def _inflated(stream: BinaryIO) -> Iterator[bytes]:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    rest = b""
    while not inflater.eof:
        rest = rest or stream.read(_CHUNK)
        if not rest:
            return
        yield inflater.decompress(rest, _CHUNK)
        rest = inflater.unconsumed_tail
