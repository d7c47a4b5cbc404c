"""Stored values of one frame of a DICOM file (PS3.5 section 8): located, decoded, and freed of unused bits.

Only the frame asked for is read from disk: memory is bounded by one frame, whatever the file.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut, convert_color_space

from core.errors import UnreadableImage
from core.images.codestream import Codestream, inspect
from core.images.colour import grey_from_colour, is_grey
from core.images.dicom.decoders import DECODERS, RLE, Undecodable, decode, decode_rle, decoder_of
from core.images.dicom.elements import BROKEN, DAMAGED, number_of
from core.images.dicom.file import DicomFile
from core.images.dicom.fragments import compressed_frame
from core.images.limits import check_size, got

_GREY = "Mammograms are grey: name the original, not a colour capture of it"
_COLOURS = {"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "YBR_PARTIAL_422", "YBR_PARTIAL_420", "PALETTE COLOR"}
# Of the breaks between neighbours that the header's reading of a sign leaves: with fewer, the other reading is taken.
_SMOOTHER = 0.8
_LINES = 500  # in either direction, that are compared
_KNOWN = {"MONOCHROME1", "MONOCHROME2", *_COLOURS}
_FLOATS = {"FloatPixelData": "f4", "DoubleFloatPixelData": "f8"}


@dataclass(frozen=True)
class ImagePixelModule:
    """The image pixel module (PS3.3 C.7.6.3), checked: how the pixels lie in the file."""

    rows: int
    columns: int
    samples: int
    allocated: int
    stored: int
    high_bit: int
    signed: bool
    photometric: str
    planar: bool
    frames: int

    @property
    def frame_bytes(self) -> int:
        """Bytes of one uncompressed frame."""
        samples = 2 if self.photometric == "YBR_FULL_422" else self.samples
        return self.rows * self.columns * samples * (self.allocated // 8)


@dataclass(frozen=True)
class Stored:
    """Values (H, W), native-endian; `bits` that they use; whether they are grey levels of the file, not of its colours."""

    values: NDArray[Any]
    bits: int
    decoder: str
    remarks: tuple[str, ...]


def read_image_pixel_module(file: DicomFile) -> tuple[ImagePixelModule, list[str]]:
    """Read and check the image header, and remarks about it.

    Raises:
        UnreadableImage: incomplete, impossible, or of something that is no grey image.
    """
    ds = file.ds
    try:
        missing = [n for n in ("Rows", "Columns", "BitsAllocated", "PhotometricInterpretation") if ds.get(n) in (None, "")]
        if missing:
            raise got("an image header", f"one without {', '.join(missing)}", DAMAGED)
        check_size(int(ds.Rows), int(ds.Columns))
        allocated, samples = int(ds.BitsAllocated), int(ds.get("SamplesPerPixel") or 1)
        check_size(int(ds.Rows), int(ds.Columns), bits=allocated)
        if allocated == 1:
            raise got("grey levels", "a binary mask (1 bit a pixel)", "Name the mammogram, not its segmentation")
        if allocated not in (8, 16, 32, 64):
            raise got("8, 16, 32 or 64 bits a pixel", f"{allocated}", DAMAGED)
        photometric = str(ds.PhotometricInterpretation).strip().upper()
        if samples not in (1, 3):
            raise got("one grey sample a pixel", f"{samples} samples", "Export it as a greyscale image")
        if photometric not in _KNOWN:
            raise got("a photometric interpretation of DICOM", "an unknown one", _GREY)
        stored = int(ds.get("BitsStored") or allocated)
        if not 1 <= stored <= allocated:
            raise got(f"1 to {allocated} bits stored", f"{stored}", DAMAGED)
        high_bit = ds.get("HighBit")
        high = stored - 1 if high_bit is None else min(max(int(high_bit), stored - 1), allocated - 1)
        signed, planar = bool(ds.get("PixelRepresentation")), bool(ds.get("PlanarConfiguration"))
    except UnreadableImage:
        raise
    except BROKEN:
        raise got("a readable image header", "one that cannot be parsed", DAMAGED) from None
    module = ImagePixelModule(int(ds.Rows), int(ds.Columns), samples, allocated, stored, high, signed, photometric, planar, 1)
    frames, remark = _frames(file, module)
    return replace(module, frames=frames), [remark] if remark else []


def _frames(file: DicomFile, module: ImagePixelModule) -> tuple[int, str]:
    try:
        return max(1, int(file.ds.get("NumberOfFrames") or 1)), ""
    except BROKEN:
        count = max(1, file.length // module.frame_bytes) if file.length else 1
        return count, f"the number of frames cannot be read; by the length of the pixels there are {count}"


def stored_values(file: DicomFile, module: ImagePixelModule, index: int) -> Stored:
    """Decode one frame, from 0. Raises UnreadableImage: cut short, damaged, in an unknown syntax, or coloured."""
    syntax = file.syntax
    remarks: list[str] = []
    try:
        compressed = syntax.is_compressed and not syntax.is_deflated
    except ValueError:
        compressed = file.length is None
    try:
        if compressed:
            values, bits, decoder, remarks, module = _decompressed(file, module, index)
        else:
            values, remarks = _native(file, module, index)
            bits, decoder = module.stored, "none needed"
        if module.samples == 3 or module.photometric in _COLOURS:
            grey, words = _grey(values, file, module, decoder)
            return Stored(grey, 8 * grey.dtype.itemsize, decoder, (*remarks, *words))
        values, words = _used_bits(values, module, bits, number_of(file.ds, "PixelPaddingValue"))
    except UnreadableImage:
        raise
    except BROKEN as error:
        # Other errors' words may quote the header, names in it included.
        reason = str(error) if isinstance(error, Undecodable) else "a damaged frame"
        raise got(f"pixels that decode ({syntax_name(file)})", reason, DAMAGED) from None
    return Stored(values, bits, decoder, (*remarks, *words))


def syntax_name(file: DicomFile) -> str:
    """The name of the transfer syntax."""
    name = str(file.syntax.name)
    return "an unknown transfer syntax" if name == str(file.syntax) else name


def _native(file: DicomFile, module: ImagePixelModule, index: int) -> tuple[NDArray[Any], list[str]]:
    expected, size = f"pixels that decode ({syntax_name(file)})", module.frame_bytes
    need, remarks = (index + 1) * size, []
    if file.length is not None and file.length < need:
        raise got(expected, f"{file.length:,} of {module.frames * size:,} bytes: the pixels are cut short", DAMAGED)
    content = file.read(index * size, size)
    if len(content) < size:
        there = f"{(index * size + len(content)) / (module.frames * size):.0%} of the pixels"
        raise got(expected, f"a truncated file: it ends after {there}", DAMAGED)
    excess = (file.length or 0) - module.frames * size
    if excess > 1:  # one byte makes an odd length even (PS3.5 8.1.1)
        described = (
            f"{module.frames} × {module.columns}×{module.rows}" if module.frames > 1 else f"{module.columns}×{module.rows}"
        )
        remarks.append(
            f"pixel data longer than its header says: {excess:,} bytes more than {described} pixels take; the first ones were "
            "taken, so a part of the picture may be missing"
        )
    number = _FLOATS[file.keyword] if file.keyword in _FLOATS else f"u{module.allocated // 8}"
    if not file.little and module.allocated == 8 and _is_word(file):
        odd = index * size % 2  # the first pixel of the frame is then the second one of its word
        words = file.read(index * size - odd, size + odd + (size + odd) % 2)
        content = np.frombuffer(words[: len(words) // 2 * 2], "u2").byteswap().tobytes()[odd : odd + size]
    values = np.frombuffer(content, f"{'<' if file.little else '>'}{number}")
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    rows, columns = module.rows, module.columns
    if module.photometric == "YBR_FULL_422":
        first, second, blue, red = values.reshape(-1, 4).T
        pairs = np.stack([np.stack([first, blue, red], 1), np.stack([second, blue, red], 1)], 1)
        return pairs.reshape(rows, columns, 3), remarks
    if module.samples == 1:
        return values.reshape(rows, columns), remarks
    if module.planar:
        return np.moveaxis(values.reshape(module.samples, rows, columns), 0, 2), remarks
    return values.reshape(rows, columns, module.samples), remarks


def _is_word(file: DicomFile) -> bool:
    """Whether big-endian 8-bit pixels were written as 16-bit words (VR OW), two pixels swapped in each."""
    file.stream.seek(max(0, file.offset - 8))
    return file.stream.read(2) == b"OW"


def _decompressed(
    file: DicomFile, module: ImagePixelModule, index: int
) -> tuple[NDArray[Any], int, str, list[str], ImagePixelModule]:
    """Values, the bits that the codestream says they have, the decoder, remarks, and the image pixel module as it is."""
    name, syntax = syntax_name(file), str(file.syntax)
    expected = f"pixels that decode ({name})"
    if not decoder_of(syntax):
        if syntax in DECODERS:
            raise got("a decoder", f"none here for {name}", "Install the packages of requirements.txt")
        raise got("pixels in a transfer syntax known here", name, "Convert it to an uncompressed or JPEG 2000 file")
    frame, cut = compressed_frame(file, index, module.frames)
    shape = (module.rows, module.columns)
    truncated = "a truncated file: it ends within its pixels"
    if syntax == RLE:
        try:
            values = decode_rle(frame, shape, module.samples, module.allocated // 8)
        except BROKEN as error:
            reason = str(error) if isinstance(error, Undecodable) else "a damaged frame"
            raise got(expected, truncated if cut else reason, DAMAGED) from None
        return values, module.stored, DECODERS[syntax], [], module
    stream = inspect(frame)
    if stream is None:
        raise got(expected, truncated if cut else "data without the header of any codec known here", DAMAGED)
    if stream.rows and (stream.rows, stream.columns) != shape:
        came = f"{stream.columns}×{stream.rows} in the compressed data"
        raise got(f"a frame of {module.columns}×{module.rows} as in the header", came, DAMAGED)
    if stream.components != module.samples:
        raise got(f"{module.samples} sample a pixel as in the header", f"{stream.components} in the compressed data", DAMAGED)
    if stream.missing:
        raise got(expected, truncated if cut else f"a compressed frame without {stream.missing}: it is cut short", DAMAGED)
    values, decoder = decode(frame, stream, module.photometric)
    if values.shape[:2] != shape:
        raise got(f"a frame of {module.columns}×{module.rows}", f"{values.shape[1]}×{values.shape[0]} decoded", DAMAGED)
    if stream.kind == "JPEG 2000" and module.samples == 1 and stream.signed != module.signed:
        values, bits, remark = _settle_sign(values, stream, module)
        settled = replace(module, stored=bits, high_bit=bits - 1, signed=values.dtype.kind == "i")
        return values, bits, decoder, [remark], settled
    bits, remarks = _bits_of(stream, module)
    return values, bits, decoder, remarks, module


def _bits_of(stream: Codestream, module: ImagePixelModule) -> tuple[int, list[str]]:
    """Bits used: the header's, unless the codestream names an odd number above it, which an encoder does on purpose."""
    if stream.bits > module.stored and stream.bits not in (8, 16):
        words = (
            f"the compressed data have {stream.bits} bits a pixel, the header says {module.stored}: {stream.bits} were taken"
        )
        return stream.bits, [words]
    return module.stored, []


def _settle_sign(values: NDArray[Any], stream: Codestream, module: ImagePixelModule) -> tuple[NDArray[Any], int, str]:
    """The values of a JPEG 2000 stream that contradicts the header about whether they are signed, their bits, and a remark.

    Some encoders did not know of the sign and encoded its bits (two's complement), others were right and the header is
    not. The two readings differ by 2**bits wherever the top bit is set. A picture is smooth, so the wrong one shows: it
    breaks where values cross the middle. Where neither is clearly smoother, the header's is taken.
    """
    size = values.dtype.itemsize
    values = np.ascontiguousarray(values)
    # Some encoders always write whole words: then the bits are the header's, where the values keep to them.
    bits = min(stream.bits, module.stored, 8 * size)
    if values.min() < -(2 ** (bits - 1)) or values.max() >= 2**bits:
        bits = min(stream.bits, 8 * size)
    unsigned = values.view(f"u{size}") & np.array(2**bits - 1, f"u{size}")
    shift = 8 * size - bits
    signed = (unsigned.view(f"i{size}") << shift) >> shift
    readings = {False: unsigned, True: signed}
    breaks = {each: _variation(reading) for each, reading in readings.items()}
    other = not module.signed
    taken = other if breaks[other] < _SMOOTHER * breaks[module.signed] else module.signed
    words = ("unsigned", "signed")
    remark = (
        f"the compressed data are {words[stream.signed]}, the header says {words[module.signed]}: the values were taken as "
        f"{words[taken]}, {'with which the picture is smooth' if taken == other else 'as the header says'}"
    )
    return readings[taken], bits, remark


def _variation(values: NDArray[Any]) -> float:
    """Sum of the differences between neighbours."""
    wide = values[:: max(1, values.shape[0] // _LINES)].astype(np.float64)  # whole lines: neighbours stay neighbours
    tall = values[:, :: max(1, values.shape[1] // _LINES)].astype(np.float64)
    return float(np.abs(np.diff(wide, axis=1)).sum() + np.abs(np.diff(tall, axis=0)).sum())


def _used_bits(
    values: NDArray[Any], module: ImagePixelModule, bits: int, padding: float | None
) -> tuple[NDArray[Any], list[str]]:
    """Values without what lies in the bits above (and below) the stored ones, with their sign (PS3.5 8.1.1).

    Those bits hold overlays in old files, and nothing that belongs to the picture in others.
    """
    if not np.issubdtype(values.dtype, np.integer):
        return values, []
    size = values.dtype.itemsize
    bits = min(bits, 8 * size)
    raw = values.view(f"i{size}" if module.signed else f"u{size}")
    shift = 8 * size - bits
    low = max(0, module.high_bit + 1 - bits) if bits == module.stored and module.high_bit < 8 * size else 0
    lowest, highest = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if module.signed else (0, 2**bits - 1)
    if shift == 0 or (low == 0 and raw.min() >= lowest and raw.max() <= highest):
        return raw, []
    # Moved to the top of the word and back: what is above falls off, and the sign fills up.
    used = (raw << (shift - low)) >> shift
    unused = float(np.mean(used << low != raw))
    if padding is not None and not lowest <= padding <= highest:
        used = np.where(raw == padding, raw, used)
    if not unused or (module.signed and not (values.view(f"u{size}") >> (bits + low)).any()):
        return used, []  # nothing was lost: negative values written without their sign bits
    words = f"{unused:.0%} of the pixels have something in the bits beyond the {bits} stored ones; it was left out"
    return used, [words]


def _grey(values: NDArray[Any], file: DicomFile, module: ImagePixelModule, decoder: str) -> tuple[NDArray[Any], list[str]]:
    """The grey of an image that is stored in colour or through a palette, if it is grey."""
    if module.photometric == "PALETTE COLOR":
        values = apply_color_lut(values, _with_native_palette(file))
    elif module.photometric.startswith("YBR_FULL") and decoder != "libjpeg-turbo":
        values = convert_color_space(values, module.photometric, "RGB")
    if values.ndim != 3 or values.shape[2] != 3 or not np.issubdtype(values.dtype, np.integer):
        raise got("one grey sample a pixel", f"pixels of shape {values.shape} and type {values.dtype}", _GREY)
    if not is_grey(values):
        raise got("a greyscale image", f"a colour image ({module.photometric})", _GREY)
    grey, warning = grey_from_colour(values)
    return grey, [warning] if warning else []


def _with_native_palette(file: DicomFile) -> Dataset:
    """The data set with its palettes in little-endian words: pydicom takes them for that, also in big-endian files."""
    ds = file.ds
    if file.little:
        return ds
    swapped = Dataset(ds)
    for colour in ("Red", "Green", "Blue"):
        name = f"{colour}PaletteColorLookupTableData"
        if isinstance(ds.get(name), bytes):
            setattr(swapped, name, np.frombuffer(ds.get(name), ">u2").astype("<u2").tobytes())
    return swapped
