"""Peak memory from a file to the model's input, in bytes a pixel, for each kind of file at the largest size that is read.

Each file is read in a process of its own. The peak is the process's highest resident memory above what it had before the
file; for a while it holds the file's bytes, the decoded values and the float32 image.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray
from PIL import Image

from core.images.limits import MAX_PIXELS

_HEIGHT_TO_WIDTH = 4 / 3


def _picture(samples: int, dtype: Any, full: int) -> NDArray[Any]:
    """A bright half disc on black at the largest size for so many samples a pixel."""
    width = int((MAX_PIXELS // samples / _HEIGHT_TO_WIDTH) ** 0.5) - 1
    height = int(width * _HEIGHT_TO_WIDTH)
    y, x = np.ogrid[:height, :width]
    inside = (y - height / 2) ** 2 + x.astype(np.float64) ** 2 < (0.4 * height) ** 2
    values = (inside * (full * 0.6)).astype(dtype)
    values[height // 2, : width // 4] = full
    return values


def _png(path: Path, values: NDArray[Any]) -> None:
    Image.fromarray(values).save(path, "PNG", compress_level=1)


def _dicom(path: Path, values: NDArray[Any]) -> None:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian

    bits = 8 * values.dtype.itemsize
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = "1.2.3"
    ds.Rows, ds.Columns = values.shape
    ds.SamplesPerPixel, ds.PixelRepresentation, ds.PhotometricInterpretation = 1, 0, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = bits, min(bits, 24), min(bits, 24) - 1
    ds.Modality, ds.PixelData = "MG", values.tobytes()
    ds.save_as(path, enforce_file_format=True)


def _colour(path: Path) -> None:
    grey = _picture(3, np.uint8, 255)
    _png(path, np.dstack([grey, grey, grey // 2]))


def _alpha(path: Path) -> None:
    grey = _picture(4, np.uint8, 255)
    _png(path, np.dstack([grey, grey, grey, np.full_like(grey, 200)]))


def _float_tiff(path: Path) -> None:
    Image.fromarray(_picture(3, np.float32, 4095)).save(path, "TIFF")


KINDS: dict[str, Callable[[Path], None]] = {
    "PNG, 8 bits": lambda path: _png(path, _picture(1, np.uint8, 255)),
    "PNG, 16 bits": lambda path: _png(path, _picture(1, np.uint16, 4095)),
    "PNG, colour": _colour,
    "PNG, colour and transparency": _alpha,
    "TIFF, floating point": _float_tiff,
    "DICOM, 16 bits": lambda path: _dicom(path, _picture(1, np.uint16, 4095)),
    "DICOM, 32 bits": lambda path: _dicom(path, _picture(3, np.uint32, 100_000)),
}


def _peak() -> int:
    """The highest resident memory of this process so far, in bytes."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest if sys.platform == "darwin" else highest * 1024


def measure(path: Path) -> tuple[int, int]:
    """(pixels, peak in bytes) of reading and preparing a file; meant for a fresh process."""
    from core.config import Recipe
    from core.images import read
    from core.preprocessing import prepare

    small = np.zeros((64, 64), np.uint8)
    small[16:48, :32] = 150
    with tempfile.TemporaryDirectory() as folder:  # what is imported at the first image is no part of it
        _png(Path(folder) / "small.png", small)
        prepare(read(Path(folder) / "small.png"), Recipe())
    before = psutil.Process().memory_info().rss
    mammogram = read(path)
    prepare(mammogram, Recipe())
    return mammogram.pixels.size, _peak() - before


def run() -> None:
    """Print a line a kind of file."""
    context = multiprocessing.get_context("spawn")
    print(f"{'file':32s} {'megapixels':>10s} {'peak GB':>8s} {'bytes a pixel':>14s}")
    for name in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "image"
            with context.Pool(1) as pool:  # writing takes memory, too
                pool.apply(_write, (name, path))
            with context.Pool(1) as pool:
                pixels, peak = pool.apply(measure, (path,))
        print(f"{name:32s} {pixels / 1e6:10.1f} {peak / 1e9:8.2f} {peak / pixels:14.1f}", flush=True)


def _write(name: str, path: Path) -> None:
    KINDS[name](path)
