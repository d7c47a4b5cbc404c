"""Small sound images in every format and coding that can be written here: what the damaged ones are made from."""

from __future__ import annotations

import functools
import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from builders.dicom_factory import item, make_dataset, to_bytes

Array = np.ndarray[Any, Any]


@functools.lru_cache(maxsize=1)
def picture() -> Array:
    """A half disc of noise on black, uint16 (72, 56), 12 bits: enough of a breast to be found."""
    rows, columns = np.mgrid[:72, :56]
    inside = (columns / 44) ** 2 + ((rows - 36) / 30) ** 2 < 1
    noise = np.random.default_rng(7).integers(900, 3800, (72, 56))
    return np.where(inside, noise, 30).astype(np.uint16)


def pillow(values: Array, kind: str, mode: str = "", **options: Any) -> bytes:
    """An array written by Pillow, converted to `mode` first."""
    image = Image.fromarray(values)
    stream = io.BytesIO()
    (image.convert(mode) if mode else image).save(stream, kind, **options)
    return stream.getvalue()


def png(width: int, height: int, bits: int, colour_type: int, data: bytes, *more: bytes, interlaced: bool = False) -> bytes:
    """A PNG with this header, these image bytes (before deflating) and further chunks (type and payload) before them."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, interlaced)
    chunks = (header, *more, b"IDAT" + zlib.compress(data, 1), b"IEND")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks
    )


def interlaced_png(values: Array) -> bytes:
    """An 8-bit grey PNG in the seven passes of Adam7 (PNG specification, 8.2)."""
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    parts = (values[top::down, left::across] for top, left, down, across in passes)
    data = b"".join(b"\0" + row.tobytes() for part in parts if part.shape[1] for row in part)
    return png(values.shape[1], values.shape[0], 8, 0, data, interlaced=True)


def pgm(values: Array, magic: str) -> bytes:
    """A PGM, P2 or P5, with the type's maximum for 8 bits and 4095 for 16."""
    full_scale = 255 if values.dtype == np.uint8 else 4095
    head = f"{magic}\n# made by a test\n{values.shape[1]} {values.shape[0]}\n{full_scale}\n".encode()
    if magic == "P2":
        return head + "\n".join(" ".join(map(str, row)) for row in values).encode() + b"\n"
    return head + values.astype(values.dtype.newbyteorder(">")).tobytes()


def encapsulated(syntax: str, *frames: bytes, **elements: Any) -> bytes:
    """A DICOM file around compressed frames of `picture` (8 bits where BitsStored says so)."""
    values = picture() if elements.get("BitsStored", 12) > 8 else (picture() >> 4).astype(np.uint8)
    ds = make_dataset(values, syntax=UID(syntax), **{"BitsStored": 12, **elements})
    ds.PixelData = encapsulate([frame or b"\0\0" for frame in frames])
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    return to_bytes(ds)


def dicom(values: Array | None = None, **elements: Any) -> bytes:
    """An uncompressed DICOM file of `picture` or of `values`."""
    default = values is None
    return to_bytes(
        make_dataset(picture() if values is None else values, **({"BitsStored": 12} if default else {}), **elements)
    )


def float_dicom(values: Array) -> bytes:
    """A DICOM file with Float Pixel Data or Double Float Pixel Data."""
    ds = make_dataset(picture())
    del ds.PixelData
    name, bits = ("FloatPixelData", 32) if values.dtype == np.float32 else ("DoubleFloatPixelData", 64)
    ds.BitsAllocated = ds.BitsStored = bits
    ds.HighBit = bits - 1
    ds.Rows, ds.Columns = values.shape
    setattr(ds, name, values.tobytes())
    return to_bytes(ds)


def _big_endian() -> bytes:
    ds = make_dataset(picture(), syntax=UID("1.2.840.10008.1.2.2"), BitsStored=12)
    ds.PixelData = picture().astype(">u2").tobytes()
    plain = Dataset(ds)  # knows no byte order yet
    plain.file_meta = ds.file_meta
    return to_bytes(plain)


def _without_preamble() -> bytes:
    stream = io.BytesIO()
    ds = make_dataset(picture(), syntax=UID("1.2.840.10008.1.2"), BitsStored=12)
    del ds.file_meta
    ds.preamble = None
    ds.save_as(stream, implicit_vr=True, little_endian=True)
    return stream.getvalue()


def _luts() -> bytes:
    table = np.linspace(0, 65535, 4096).astype("<u2").tobytes()
    lut = item(LUTDescriptor=[4096, 0, 16], LUTData=table, LUTExplanation="SOFT")
    return dicom(
        VOILUTSequence=[lut], ModalityLUTSequence=[item(LUTDescriptor=[4096, 0, 16], LUTData=table, ModalityLUTType="US")]
    )


def _rle() -> bytes:
    ds = make_dataset(picture(), BitsStored=12)
    ds.compress(UID("1.2.840.10008.1.2.5"), encoding_plugin="pydicom")
    return to_bytes(ds)


def _rasters() -> dict[str, Callable[[], bytes]]:
    deep = picture()
    grey = (deep >> 4).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    real = (deep / 4095).astype(np.float32)
    colour = np.dstack([deep, deep, deep])
    return {
        "png8": lambda: pillow(grey, "PNG"),
        "png16": lambda: pillow(deep, "PNG"),
        "png-palette": lambda: pillow(grey, "PNG", "P"),
        "png-alpha": lambda: pillow(np.dstack([grey, grey]), "PNG"),
        "png-rgba": lambda: pillow(grey, "PNG", "RGBA"),
        "png-rgb16": lambda: bytes(imagecodecs.png_encode(colour)),
        "png-1bit": lambda: pillow(grey, "PNG", "1"),
        "png-2bit": lambda: pillow(grey // 64, "PNG", "P", bits=2),
        "png-interlaced": lambda: interlaced_png(grey),
        "png-text": lambda: png(56, 72, 8, 0, b"".join(b"\0" + row.tobytes() for row in grey), b"tEXtComment\0SYNTHETIC"),
        "jpeg": lambda: pillow(grey, "JPEG"),
        "jpeg-exif": lambda: pillow(grey, "JPEG", exif=exif),
        "jpeg-rgb": lambda: pillow(grey, "JPEG", "RGB"),
        "jpeg-cmyk": lambda: pillow(grey, "JPEG", "CMYK"),
        "jpeg-progressive": lambda: pillow(grey, "JPEG", progressive=True),
        "jpeg-12bit": lambda: bytes(imagecodecs.jpeg8_encode(deep, level=95, bitspersample=12)),
        "jpeg-lossless": lambda: bytes(imagecodecs.ljpeg_encode(deep, bitspersample=12)),
        "tiff8": lambda: pillow(grey, "TIFF"),
        "tiff16": lambda: pillow(deep, "TIFF"),
        "tiff16-big-endian": lambda: pillow(deep.astype(">u2"), "TIFF"),
        "tiff-white-is-zero": lambda: pillow(deep, "TIFF", tiffinfo={262: 0}),
        "tiff-turned": lambda: pillow(deep, "TIFF", tiffinfo={274: 8}),
        "tiff-float": lambda: pillow(real, "TIFF"),
        "tiff-float16": lambda: bytes(imagecodecs.tiff_encode(real.astype(np.float16))),
        "tiff-float64": lambda: bytes(imagecodecs.tiff_encode(real.astype(np.float64))),
        "tiff-signed": lambda: bytes(imagecodecs.tiff_encode(deep.astype(np.int16) - 100)),
        "tiff-32bit": lambda: bytes(imagecodecs.tiff_encode(deep.astype(np.uint32) << 19)),
        "tiff-rgb16": lambda: bytes(imagecodecs.tiff_encode(colour)),
        "tiff-palette": lambda: pillow(grey, "TIFF", "P"),
        "tiff-1bit": lambda: pillow(grey, "TIFF", "1", compression="group4"),
        **{
            f"tiff-{name}": functools.partial(pillow, grey, "TIFF", compression=name)
            for name in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
        },
        "tiff-pages": lambda: pillow(grey, "TIFF", save_all=True, append_images=[Image.fromarray(grey // 2)]),
        "tiff-big": lambda: pillow(deep, "TIFF", big_tiff=True),
        "tiff-tiled": lambda: bytes(imagecodecs.tiff_encode(deep, tile=(16, 16))),
        **{
            f"pgm-{magic}-{values.itemsize}": functools.partial(pgm, values, magic)
            for magic in ("P2", "P5")
            for values in (grey, deep)
        },
    }


def _dicoms() -> dict[str, Callable[[], bytes]]:
    deep = picture()
    grey = (deep >> 4).astype(np.uint8)
    prefix = "1.2.840.10008.1.2"
    return {
        "dicom-explicit": dicom,
        "dicom-implicit": lambda: dicom(syntax=UID(prefix)),
        "dicom-big-endian": _big_endian,
        "dicom-deflated": lambda: dicom(syntax=UID(f"{prefix}.1.99")),
        "dicom-without-preamble": _without_preamble,
        "dicom-window": lambda: dicom(WindowCenter=[2048, 1000], WindowWidth=[4096, 500], RescaleSlope=1, RescaleIntercept=0),
        "dicom-sigmoid": lambda: dicom(WindowCenter=2048, WindowWidth=800, VOILUTFunction="SIGMOID"),
        "dicom-luts": _luts,
        "dicom-monochrome1": lambda: dicom(PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=30),
        "dicom-signed": lambda: dicom(deep.astype(np.int16) - 500),
        "dicom-8bit": lambda: dicom(grey),
        "dicom-rgb": lambda: dicom(np.dstack([grey] * 3)),
        "dicom-frames": lambda: dicom(np.stack([deep, deep, deep])),
        "dicom-float": lambda: float_dicom((deep / 4095).astype(np.float32)),
        "dicom-double": lambda: float_dicom(deep / 4095),
        "dicom-rle": _rle,
        "dicom-jpeg": lambda: encapsulated(f"{prefix}.4.50", pillow(grey, "JPEG"), BitsStored=8),
        "dicom-jpeg-12bit": lambda: encapsulated(
            f"{prefix}.4.51", bytes(imagecodecs.jpeg8_encode(deep, level=95, bitspersample=12))
        ),
        "dicom-jpeg-lossless": lambda: encapsulated(f"{prefix}.4.57", bytes(imagecodecs.ljpeg_encode(deep, bitspersample=12))),
        "dicom-jpeg-sv1": lambda: encapsulated(f"{prefix}.4.70", bytes(imagecodecs.ljpeg_encode(deep, bitspersample=12))),
        "dicom-jpegls": lambda: encapsulated(f"{prefix}.4.80", bytes(imagecodecs.jpegls_encode(deep))),
        "dicom-jpegls-near": lambda: encapsulated(f"{prefix}.4.81", bytes(imagecodecs.jpegls_encode(deep, level=2))),
        "dicom-j2k": lambda: encapsulated(f"{prefix}.4.90", bytes(imagecodecs.jpeg2k_encode(deep, level=0, codecformat="j2k"))),
        "dicom-j2k-lossy": lambda: encapsulated(
            f"{prefix}.4.91", bytes(imagecodecs.jpeg2k_encode(deep, level=60, codecformat="j2k"))
        ),
        "dicom-htj2k": lambda: encapsulated(f"{prefix}.4.201", bytes(imagecodecs.htj2k_encode(deep, reversible=True))),
    }


@functools.lru_cache(maxsize=1)
def seeds() -> dict[str, bytes]:
    """The sound images by name."""
    return {name: bytes(make()) for name, make in (*_rasters().items(), *_dicoms().items())}
