"""Encapsulated pixels (PS3.5 annex A.4): the bytes of one compressed frame.

pydicom.encaps.get_frame gives the same frames on 205 encapsulated cases of the fuzz corpus, but refuses a file whose offset
table is wrong, reads every frame before the wanted one where there is no table, follows fragments without a limit to their
number, and does not say that the file ends too early.
"""

from __future__ import annotations

import struct

from core.images.dicom.elements import DAMAGED, value_of
from core.images.dicom.file import DicomFile
from core.images.limits import got

_ITEM, _DELIMITER = 0xE000FFFE, 0xE0DDFFFE
_MAX_ITEMS = 1_000_000
_ENDS = (b"\xff\xd9", b"\xff\xd9\0")


def compressed_frame(file: DicomFile, index: int, frames: int) -> tuple[bytes, bool]:
    """The bytes of one frame, from 0, and whether the file ends within its pixels.

    Raises:
        UnreadableImage: there is no such frame, no end of fragments, or no structure to find it by.
    """
    items, cut = _items(file)
    if not items:
        came = "a truncated file: it ends within its pixels" if cut else "compressed pixels without any fragment"
        raise got("a compressed frame", came, DAMAGED)
    table, fragments = items[0], items[1:]
    chosen = _chosen(file, table, fragments, index, frames)
    if not chosen:
        came = "a truncated file: it ends before that frame" if cut else f"{len(fragments)} fragments for {frames} frames"
        raise got(f"frame {index + 1} among the compressed data", came, DAMAGED)
    return b"".join(file.read(start, length) for start, length in chosen), cut


def _items(file: DicomFile) -> tuple[list[tuple[int, int]], bool]:
    """(start, length) of every item's value from the beginning of the pixel element, and whether the stream breaks off."""
    found: list[tuple[int, int]] = []
    position, end = 0, file.size - file.offset
    while True:
        head = file.read(position, 8)
        if len(head) < 8:
            return found, True
        tag, length = struct.unpack("<LL", head)
        if tag != _ITEM:
            return found, tag != _DELIMITER
        if len(found) == _MAX_ITEMS:
            raise got(f"at most {_MAX_ITEMS:,} fragments of compressed pixels", "more", DAMAGED)
        found.append((position + 8, min(length, end - position - 8)))
        position += 8 + length
        if position > end:
            return found, True


def _chosen(
    file: DicomFile, table: tuple[int, int], fragments: list[tuple[int, int]], index: int, frames: int
) -> list[tuple[int, int]]:
    """The fragments that make up one frame."""
    if frames == 1:
        return fragments
    offsets = _offsets(file, table)
    if index < len(offsets):
        # Offsets count from the first item behind the table, and point at items, 8 bytes before their values.
        base = table[0] + table[1] + 8
        stop = offsets[index + 1] if index + 1 < len(offsets) else file.size
        chosen = [item for item in fragments if offsets[index] <= item[0] - base < stop]
        if chosen and chosen[0][0] - base == offsets[index]:
            return chosen
    if len(fragments) == frames:
        return fragments[index : index + 1]
    return _by_end_markers(file, fragments, index)


def _offsets(file: DicomFile, table: tuple[int, int]) -> list[int]:
    """Where each frame begins: the extended offset table, or the basic one, or nothing."""
    extended = value_of(file.ds, "ExtendedOffsetTable")
    if isinstance(extended, bytes) and extended:
        return [number for (number,) in struct.iter_unpack("<Q", extended[: len(extended) // 8 * 8])]
    basic = file.read(*table)
    return [number for (number,) in struct.iter_unpack("<L", basic[: len(basic) // 4 * 4])]


def _by_end_markers(file: DicomFile, fragments: list[tuple[int, int]], index: int) -> list[tuple[int, int]]:
    """Without any table, a frame ends with the fragment that ends with the end marker of JPEG and JPEG 2000."""
    frame = 0
    chosen: list[tuple[int, int]] = []
    for start, length in fragments:
        if frame == index:
            chosen.append((start, length))
        tail = file.read(start + max(0, length - 3), 3)
        if tail.endswith(_ENDS):
            frame += 1
            if frame > index:
                return chosen
    return chosen if frame == index else []
