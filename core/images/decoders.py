"""Which decoder takes which DICOM transfer syntax, and a plugin that lets pydicom use imagecodecs.

imagecodecs (BSD) comes first nearly everywhere: the only one without GPL for 12-bit JPEG, the fastest for lossless
JPEG and HTJ2K, and robust against damaged files. A decoder that refuses hands over to the next.
"""

from __future__ import annotations

import functools
import importlib.util
import threading
from typing import Any

import numpy as np
from pydicom.pixels import get_decoder
from pydicom.pixels.decoders.base import DecodeRunner
from pydicom.uid import UID

_JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
_JPEG_LOSSLESS = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
_JPEG_LS = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
_JPEG_2000 = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
_HTJ2K = ("1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.4.203")
_RLE = "1.2.840.10008.1.2.5"
_LABEL = "imagecodecs"
# imagecodecs functions by transfer syntax, in the order in which they are tried.
_FUNCTIONS = {
    _JPEG_EXTENDED: ("jpeg8_decode",),
    **dict.fromkeys(_JPEG_LOSSLESS, ("ljpeg_decode", "jpegsof3_decode", "jpeg8_decode")),
    **dict.fromkeys(_JPEG_LS, ("jpegls_decode",)),
    **dict.fromkeys(_JPEG_2000, ("jpeg2k_decode",)),
    **dict.fromkeys(_HTJ2K, ("jpeg2k_decode",)),
}
# Two decoders are left out wherever another one is installed, because damaged files end the whole process: gdcm throws
# a C++ exception through Python on broken JPEG, and pylibjpeg-rle panics on short RLE.
_ORDER = {
    _RLE: (_LABEL, "pydicom"),
    "1.2.840.10008.1.2.4.50": ("pillow",),
    **dict.fromkeys(_JPEG_LS, ("pyjpegls", _LABEL)),
}
_DEFAULT_ORDER = (_LABEL, "pylibjpeg", "pillow")

# pydicom asks a plugin module for this table (its name and shape are pydicom's).
DECODER_DEPENDENCIES = {UID(uid): ("imagecodecs>=2024.1",) for uid in (_RLE, *_FUNCTIONS)}


def is_available(uid: str) -> bool:
    """Whether imagecodecs is installed and takes this transfer syntax (asked by pydicom)."""
    return UID(uid) in DECODER_DEPENDENCIES and importlib.util.find_spec("imagecodecs") is not None


_registering = threading.Lock()


@functools.lru_cache(maxsize=1)
def register() -> None:
    """Make pydicom know the imagecodecs plugin. Cheap; does nothing the second time. Threads may call it at once."""
    with _registering:  # the first images of a batch are decoded side by side, and pydicom refuses a second registration
        for uid in DECODER_DEPENDENCIES:
            decoder = get_decoder(uid)
            if _LABEL not in decoder.available_plugins and is_available(uid):
                decoder.add_plugin(_LABEL, (__name__, "decode_frame"))


def plugins_for(uid: str) -> list[str]:
    """Names of the decoders to try for a compressed transfer syntax, best first; [] when none is installed.

    Raises:
        NotImplementedError: pydicom does not know the syntax.
    """
    register()
    available = get_decoder(UID(uid)).available_plugins
    chosen = [name for name in _ORDER.get(uid, _DEFAULT_ORDER) if name in available]
    return chosen or [name for name in available if name not in chosen][:1]


def decode_frame(src: bytes, runner: DecodeRunner) -> bytearray:
    """One compressed frame -> its pixels, little-endian, as pydicom wants them (colour by pixel)."""
    import imagecodecs  # 80 MB on disk: only when a frame needs it

    syntax = str(runner.transfer_syntax)
    if syntax == _RLE:
        dtype = np.dtype(f"<u{runner.bits_allocated // 8}")
        shape: tuple[int, ...] = (runner.rows, runner.columns)
        if runner.samples_per_pixel > 1:
            raise ValueError("colour is left to the next decoder")
        values = imagecodecs.dicomrle_decode(src, dtype)
        if values is None or len(values) < runner.rows * runner.columns * dtype.itemsize:
            raise ValueError("the run-length segments end before the image is complete")
        return _packed(np.frombuffer(values, dtype, runner.rows * runner.columns).reshape(shape), runner)
    for decode in _FUNCTIONS[syntax][:-1]:
        try:
            return _packed(np.asarray(getattr(imagecodecs, decode)(src)), runner)
        except (RuntimeError, ValueError):
            continue  # the last function's reason is the one that is told
    return _packed(np.asarray(getattr(imagecodecs, _FUNCTIONS[syntax][-1])(src)), runner)


def _packed(values: np.ndarray[Any, Any], runner: DecodeRunner) -> bytearray:
    expected = (runner.rows, runner.columns)
    if values.shape[:2] != expected:
        came = f"{values.shape[1]}×{values.shape[0]}"
        raise ValueError(f"the compressed frame is {came}, its header says {expected[1]}×{expected[0]}")
    if values.ndim == 3 and runner.samples_per_pixel == 1:
        raise ValueError("the compressed frame has several samples a pixel, its header says one")
    container = 8 * values.dtype.itemsize
    runner.set_option("bits_allocated", container)
    if runner.samples_per_pixel > 1:
        runner.set_option("planar_configuration", 0)
    return bytearray(np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"), copy=False).tobytes())
