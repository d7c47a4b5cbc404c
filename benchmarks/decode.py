"""A 4096 x 3328 mammogram from a DICOM file to grey levels, per transfer syntax: our `read` against plain pydicom.

Plain pydicom is what a user would write: `dcmread`, `pixel_array` with the decoders in pydicom's own order, then
`apply_modality_lut`, `apply_voi_lut` and the inversion of MONOCHROME1. "decoding" leaves the grey levels out on both sides.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from benchmarks.prepare import drawn_breast
from benchmarks.timing import best_of
from core.images import read
from core.images.dicom.file import open_dicom
from core.images.dicom.pixels import read_image_pixel_module, stored_values

_REPEATS = 3
_JPEG = "1.2.840.10008.1.2.4."
Values = NDArray[np.uint16]


def run() -> None:
    """Print milliseconds and ratios per transfer syntax."""
    values = _twelve_bits()
    print(f"{'transfer syntax':44} {'read':>8} {'pydicom':>8} {'ratio':>6}   {'decoding':>8} {'pydicom':>8} {'ratio':>6}")
    with tempfile.TemporaryDirectory() as folder:
        for name, path in _files(values, Path(folder)):
            read(path)  # warm: the file in the system's cache, the libraries loaded
            ours, ours_decoding = (best_of(partial(call, path), _REPEATS) * 1e3 for call in (read, _our_decoding))
            words = f"{name:44} {ours:5.0f} ms"
            try:
                theirs, decoding = (best_of(partial(call, path), _REPEATS) * 1e3 for call in (_pydicom, _pydicom_decoding))
            except (RuntimeError, NotImplementedError):
                print(f"{words}  refused          {ours_decoding:5.0f} ms")
                continue
            whole = f"{words} {theirs:5.0f} ms {theirs / ours:6.1f}"
            print(f"{whole}   {ours_decoding:5.0f} ms {decoding:5.0f} ms {decoding / ours_decoding:6.1f}")
            path.unlink()


def _twelve_bits() -> Values:
    """The drawn breast in 12 bits with a detector's noise: codecs are as fast as they are on real images."""
    pixels = drawn_breast().pixels
    noise = np.random.default_rng(1).normal(0, 6, pixels.shape)
    return np.where(pixels > 0, np.clip(pixels * 4095 + noise, 0, 4095), 0).astype(np.uint16)


def _our_decoding(path: Path) -> object:
    with path.open("rb") as stream:
        file = open_dicom(stream)
        return stored_values(file, read_image_pixel_module(file)[0], 0)


def _pydicom_decoding(path: Path) -> NDArray[Any]:
    return dcmread(path).pixel_array


def _pydicom(path: Path) -> NDArray[Any]:
    ds = dcmread(path)
    values = apply_voi_lut(apply_modality_lut(ds.pixel_array, ds), ds)
    return values.max() - values if ds.PhotometricInterpretation == "MONOCHROME1" else values


def _files(values: Values, folder: Path) -> Iterator[tuple[str, Path]]:
    plain = {
        "explicit little-endian": ExplicitVRLittleEndian,
        "implicit little-endian": ImplicitVRLittleEndian,
        "deflated": DeflatedExplicitVRLittleEndian,
    }
    for name, syntax in plain.items():
        yield name, _saved(_dataset(values, syntax), folder / "image.dcm")
    ds = _dataset(values, ExplicitVRLittleEndian)
    ds.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    yield "RLE", _saved(ds, folder / "image.dcm")
    for name, (number, encode) in _CODECS.items():
        content = values if number != "50" else (values >> 4).astype(np.uint8)
        ds = _dataset(content, UID(_JPEG + number))
        ds.PixelData = encapsulate([bytes(encode(content))])
        ds["PixelData"].VR = "OB"
        yield f"{name} (.{number})", _saved(ds, folder / "image.dcm")


_CODECS: dict[str, tuple[str, Callable[[NDArray[Any]], bytes | bytearray]]] = {
    "JPEG baseline, 8 bits": ("50", lambda values: imagecodecs.jpeg8_encode(values, level=90)),
    "JPEG extended, 12 bits": ("51", lambda values: imagecodecs.jpeg8_encode(values, level=90, bitspersample=12)),
    "JPEG lossless, predictor 4": (
        "57",
        lambda values: imagecodecs.jpeg8_encode(values, lossless=True, predictor=4, bitspersample=12),
    ),
    "JPEG lossless, predictor 1": ("70", lambda values: imagecodecs.ljpeg_encode(values, bitspersample=12)),
    "JPEG-LS lossless": ("80", lambda values: imagecodecs.jpegls_encode(values)),
    "JPEG-LS near-lossless": ("81", lambda values: imagecodecs.jpegls_encode(values, level=2)),
    "JPEG 2000 lossless": (
        "90",
        lambda values: imagecodecs.jpeg2k_encode(values, level=0, codecformat="j2k", bitspersample=12),
    ),
    "JPEG 2000": ("91", lambda values: imagecodecs.jpeg2k_encode(values, level=45, codecformat="j2k", bitspersample=12)),
    "HTJ2K lossless": ("201", lambda values: imagecodecs.htj2k_encode(values, reversible=True)),
    "HTJ2K": ("203", lambda values: imagecodecs.htj2k_encode(values, level=0.002, reversible=False)),
}


def _dataset(values: NDArray[Any], syntax: UID) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.1.2")
    meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    meta.TransferSyntaxUID = syntax
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID, "MG"
    ds.Rows, ds.Columns = values.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME1", 0
    ds.BitsAllocated = 8 * values.dtype.itemsize
    ds.BitsStored = min(12, ds.BitsAllocated)
    ds.HighBit = ds.BitsStored - 1
    ds.RescaleSlope, ds.RescaleIntercept = 1, 0
    ds.WindowCenter, ds.WindowWidth = 2 ** (ds.BitsStored - 1), 2**ds.BitsStored
    ds.PixelData = values.tobytes()
    ds["PixelData"].VR = "OW" if ds.BitsAllocated > 8 else "OB"
    return ds


def _saved(ds: FileDataset, path: Path) -> Path:
    if ds.file_meta.TransferSyntaxUID.is_encapsulated:
        ds["PixelData"].is_undefined_length = True
    ds.save_as(path, enforce_file_format=True)
    return path
