"""A PNG whose pixels end early is refused, not filled up with black."""

from __future__ import annotations

import io
import itertools
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from core.errors import UnreadableImage
from core.images import read


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(width: int, height: int, rows: int, *, bits: int = 8, colour: int = 0, interlaced: int = 0, pieces: int = 1) -> bytes:
    samples = {0: 1, 4: 2}[colour]
    row = b"\0" + bytes(1 + number % 255 for number in range((width * bits * samples + 7) // 8))
    data = zlib.compress(row * rows)
    cuts = [len(data) * piece // pieces for piece in range(pieces + 1)]
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced))
    body = b"".join(_chunk(b"IDAT", data[start:end]) for start, end in itertools.pairwise(cuts))
    return b"\x89PNG\r\n\x1a\n" + header + body + _chunk(b"IEND", b"")


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("pieces", [1, 3])
@pytest.mark.parametrize("rows", [0, 1, 31])
def test_a_png_with_fewer_rows_than_its_header_says_is_refused(rows: int, pieces: int, bits: int) -> None:
    with pytest.raises(UnreadableImage):
        read(_png(48, 32, rows, bits=bits, pieces=pieces))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("pieces", [1, 3])
def test_a_whole_one_is_read(bits: int, pieces: int) -> None:
    assert read(_png(48, 32, 32, bits=bits, pieces=pieces)).pixels.shape == (32, 48)


@pytest.mark.parametrize("mode", ["L", "I;16", "LA"])
@pytest.mark.parametrize(("height", "width"), [(64, 48), (33, 7), (1, 40), (40, 1), (5, 3)])
def test_images_with_black_edges_are_whole(height: int, width: int, mode: str) -> None:
    values = np.zeros((height, width), np.uint16 if mode == "I;16" else np.uint8)
    values[height // 2, width // 2] = 200
    stream = io.BytesIO()
    Image.fromarray(values).convert(mode).save(stream, "PNG")
    assert read(stream.getvalue()).pixels.max() > 0


def test_a_bomb_of_a_few_bytes_is_refused() -> None:
    with pytest.raises(UnreadableImage):
        read(_png(20_000, 200, 0))
