"""From a 4096 x 3328 mammogram to the model's input: what a moving slider pays, and images a second from files.

The usual way that files are compared with: pydicom's `pixel_array` (or Pillow), normalised to 0..1 floats,
`skimage.exposure.equalize_adapthist`, and Pillow's resize to the same size. It finds no breast, mends no polarity and
crops nothing.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian, JPEGLSLossless

from benchmarks.timing import best_of
from core.config import Recipe
from core.data.cache import PreparedCache
from core.images.mammogram import ImageMeta, Mammogram
from core.preprocessing import analyse, normalise_intensity, normalise_spatially, prepare, quality, resize_to_input

HEIGHT, WIDTH = 4096, 3328
_FILES = 6  # of each kind, for the workers
_REPEATS = 3


def run() -> None:
    """Print milliseconds, images a second, and the ratios."""
    _sliders()
    _files()


def drawn_breast() -> Mammogram:
    """A half ellipse of smooth noise on black."""
    coarse = np.random.default_rng(0).random((HEIGHT // 32, WIDTH // 32), dtype=np.float32)
    texture = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    outline = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.ellipse(outline, (0, HEIGHT // 2), (WIDTH * 2 // 3, HEIGHT * 2 // 5), 0, -90, 90, 255, -1)
    pixels = np.where(outline > 0, 0.3 + 0.4 * np.clip(texture, 0, 1), 0).astype(np.float32)
    return Mammogram(pixels, ImageMeta())


def _sliders() -> None:
    mammogram, recipe = drawn_breast(), Recipe()
    kept = analyse(mammogram, recipe)
    arranged = normalise_spatially(mammogram, recipe, analysis=kept)
    after = normalise_intensity(arranged, recipe)
    inside = None if arranged.removed_mask is None else np.asarray(cv2.bitwise_not(arranged.removed_mask), dtype=np.uint8)
    whole = best_of(lambda: prepare(mammogram, recipe), 5)
    parts = {
        "with a kept analysis": best_of(lambda: prepare(mammogram, recipe, analysis=kept), 5),
        "intensity + resize": best_of(lambda: resize_to_input(normalise_intensity(arranged, recipe), recipe), 5),
    }
    measured = best_of(lambda: quality(arranged.levels, after.pixels, inside), 5)
    print(f"prepare: {whole * 1e3:.0f} ms")
    for name, seconds in parts.items():
        print(f"  {name}: {seconds * 1e3:.0f} ms; ratio {whole / seconds:.2f}")
    print(f"contrast and noise: {measured * 1e3:.1f} ms")


def _files() -> None:
    """Files to prepared images in the cache, as training does it, OpenCV with one thread a worker."""
    recipe = Recipe()
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"images a second from files ({os.cpu_count()} cores{load}):")
    print(f"{'':16} {'usual way':>9} {'1 worker':>9} {'ratio':>6} {'2 workers':>9} {'efficiency':>10}")
    with tempfile.TemporaryDirectory() as name, _one_thread():
        folder = Path(name)
        for kind, first in _written(folder):
            paths = [first, *(folder / f"{number}-{first.name}" for number in range(1, _FILES))]
            for path in paths[1:]:
                path.write_bytes(first.read_bytes())
            usual = 1 / best_of(partial(_usual, first, recipe.size), 1)
            rates = {workers: max(_rate(paths, recipe, workers) for _ in range(_REPEATS)) for workers in (1, 2)}
            efficiency = rates[2] / (2 * rates[1])
            print(f"{kind:16} {usual:9.2f} {rates[1]:9.2f} {rates[1] / usual:6.1f} {rates[2]:9.2f} {efficiency:10.0%}")


def _rate(paths: list[Path], recipe: Recipe, workers: int) -> float:
    """Images a second into an empty cache."""
    with tempfile.TemporaryDirectory() as root:
        cache = PreparedCache(Path(root), recipe)
        return len(paths) / best_of(lambda: list(cache.iter_prepare(paths, workers=workers)), 1)


def _usual(path: Path, size: int | tuple[int, int]) -> Image.Image:
    """What a notebook does."""
    from skimage.exposure import equalize_adapthist  # only this benchmark needs scikit-image

    if path.suffix == ".dcm":
        pixels = dcmread(path).pixel_array.astype(float)
    else:
        with Image.open(path) as image:
            pixels = np.asarray(image, dtype=float)
    pixels = (pixels - pixels.min()) / (pixels.max() - pixels.min())
    equalised = (equalize_adapthist(pixels) * 255).astype(np.uint8)
    return Image.fromarray(equalised).resize((size, size) if isinstance(size, int) else (size[1], size[0]))


@contextmanager
def _one_thread() -> Iterator[None]:
    """OpenCV's own threads would make one worker use every core."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _written(folder: Path) -> Iterator[tuple[str, Path]]:
    """The drawn breast with a detector's noise, in each kind of file."""
    pixels = drawn_breast().pixels
    noise = np.random.default_rng(1).normal(0, 6, pixels.shape)
    values = np.where(pixels > 0, np.clip(pixels * 4095 + noise, 0, 4095), 0).astype(np.uint16)
    for kind, syntax in (("DICOM plain", ExplicitVRLittleEndian), ("DICOM JPEG-LS", JPEGLSLossless)):
        path = folder / f"{syntax}.dcm"
        _save(values, syntax, path)
        yield kind, path
    for kind in ("PNG", "JPEG"):
        path = folder / f"image.{kind.lower()}"
        Image.fromarray((values >> 4).astype(np.uint8)).save(path)
        yield f"{kind} 8 bits", path


def _save(values: NDArray[np.uint16], syntax: UID, path: Path) -> None:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = UID("1.2.3.4")
    ds = FileDataset(path, {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID, "MG"
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = *values.shape, 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PresentationIntentType = "FOR PRESENTATION"
    ds.PixelData = values.tobytes()
    if syntax != ExplicitVRLittleEndian:
        ds.compress(syntax, generate_instance_uid=False)
    ds.save_as(path)
