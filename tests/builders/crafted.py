"""Hostile, empty, extreme and foreign sources, made by hand."""

from __future__ import annotations

import functools
import gzip
import io
import os
import re
import socket
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np

from builders.damage_seeds import dicom, encapsulated, pgm, picture, pillow, png, seeds

Content = Callable[[], bytes]
NAN = float("nan")


def contents() -> dict[str, Content]:
    """Light contents by name."""
    return {**_foreign(), **_extremes(), **_png_traps(), **_jpeg_traps(), **_tiff_traps(), **_pgm_traps(), **_dicom_traps()}


def heavy_contents() -> dict[str, Content]:
    """Contents that take a second or a gigabyte, by name."""
    wide, tall = 12_000, 9_600  # a film of 24 × 30 cm at 25 µm
    return {
        "png: a black film of 115 megapixels": lambda: png(wide, tall, 8, 0, (b"\0" + bytes(wide)) * tall),
        "png: 149 megapixels of 16 bits in 300 KB": lambda: png(14_900, 10_000, 16, 0, bytes(29_801 * 10_000)),
        "png: 36 megapixels of RGBA": lambda: png(6_000, 6_000, 8, 6, bytes(24_001 * 6_000)),
        "jpeg: 12000 x 9000 declared": lambda: _resized(seeds()["jpeg"], 9_000, 12_000),
        "jpeg: progressive, 2000 scans": lambda: _many_scans(9_000, 2_000),
        "dicom: 5 GB once inflated": _inflation_bomb,
        "pgm: 100 megapixels of text": lambda: b"P2 10000 10000 255\n" + b"1 " * 10**8,
        "pgm: 29 megapixels of text": lambda: b"P2 5000 5800 255\n" + b"1 " * (29 * 10**6),
        "tiff: 144 megapixels of zeros": lambda: bytes(
            imagecodecs.tiff_encode(np.zeros((12_000, 12_000), np.uint8), compression="deflate")
        ),
        "dicom: 140 megapixels in JPEG 2000": lambda: _large_jpeg2000(),
    }


def _foreign() -> dict[str, Content]:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("image.png", seeds()["png8"])
    magics = {
        "png": b"\x89PNG\r\n\x1a\n",
        "jpeg": b"\xff\xd8\xff",
        "tiff": b"II*\0",
        "big tiff": b"MM\0+",
        "dicom": bytes(128) + b"DICM",
    }
    fixed = {
        "empty": b"",
        "one byte": b"P",
        "zeros": bytes(5_000),
        "ones": b"\xff" * 5_000,
        "text": b"patient,label\n17,benign\n",
        "utf-16 text": "Befund: unauffällig".encode("utf-16"),
        "html": b"<!DOCTYPE html><html><body>404</body></html>",
        "xml": b'<?xml version="1.0"?><x/>',
        "zip": archive.getvalue(),
        "gzip": gzip.compress(seeds()["dicom-explicit"], mtime=0),
        "pdf": b"%PDF-1.7\n%\xe2\xe3",
        "gif": pillow(np.zeros((4, 4), np.uint8), "GIF"),
        "bmp": pillow(np.zeros((4, 4), np.uint8), "BMP"),
        "webp": b"RIFF\x1a\0\0\0WEBPVP8L",
        "heic": b"\0\0\0\x18ftypheic" + bytes(40),
        "git lfs pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "numpy array": b"\x93NUMPY\x01\0" + bytes(100),
        "jp2": bytes(imagecodecs.jpeg2k_encode(picture(), level=0)),
        "executable": b"\x7fELF" + bytes(100),
        "noise": np.random.default_rng(1).bytes(10_000),
        **{f"only the beginning of a {name}": magic for name, magic in magics.items()},
        **{f"{name} then zeros": magic + bytes(2_000) for name, magic in magics.items()},
        **{f"{name} then noise": magic + np.random.default_rng(2).bytes(2_000) for name, magic in magics.items()},
    }
    return {f"foreign: {name}": functools.partial(bytes, content) for name, content in fixed.items()}


def _extremes() -> dict[str, Content]:
    """Images that are sound and show nothing."""
    found: dict[str, Content] = {}
    shapes = {
        "one pixel": (1, 1),
        "two pixels": (1, 2),
        "one row": (1, 300),
        "one column": (300, 1),
        "a strip": (3, 5_000),
        "7 x 7": (7, 7),
    }
    for shape_name, shape in shapes.items():
        noise = np.random.default_rng(3).integers(0, 256, shape).astype(np.uint8)
        found |= {
            f"{shape_name}: png": functools.partial(pillow, noise, "PNG"),
            f"{shape_name}: jpeg": functools.partial(pillow, noise, "JPEG"),
            f"{shape_name}: tiff": functools.partial(pillow, noise.astype(np.uint16) * 257, "TIFF"),
            f"{shape_name}: pgm": functools.partial(pgm, noise, "P2"),
            f"{shape_name}: dicom": functools.partial(dicom, noise.astype(np.uint16)),
        }
    for level_name, level in (("black", 0), ("white", 65_535), ("grey", 2_000)):
        flat = np.full((90, 70), level, np.uint16)
        found |= {
            f"all {level_name}: png": functools.partial(pillow, flat, "PNG"),
            f"all {level_name}: png of 8 bits": functools.partial(pillow, (flat >> 8).astype(np.uint8), "PNG"),
            f"all {level_name}: tiff": functools.partial(pillow, flat, "TIFF"),
            f"all {level_name}: dicom": functools.partial(dicom, flat),
            f"all {level_name}: dicom with a window": functools.partial(dicom, flat, WindowCenter=100, WindowWidth=1),
            f"all {level_name}: all padding": functools.partial(dicom, flat, PixelPaddingValue=min(level, 65_535)),
        }
    return found


def _chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def _png_traps() -> dict[str, Content]:
    row = bytes(57)
    body = b"".join(b"\0" + bytes(56) for _ in range(72))
    sizes = [(2**31 - 1, 1), (2**32 - 1, 2**32 - 1), (20_001, 1), (1, 20_001), (19_000, 19_000), (0, 5), (5, 0)]
    found: dict[str, Content] = {f"png: {w} x {h} declared": functools.partial(png, w, h, 8, 0, row) for w, h in sizes}
    for bits, colour in ((16, 6), (8, 2), (3, 0), (8, 7), (16, 3), (0, 0)):
        found[f"png: {bits} bits of colour type {colour}"] = functools.partial(png, 56, 72, bits, colour, body)
    bomb = functools.cache(lambda: zlib.compress(bytes(50_000_000), 9))
    sound = seeds()["png8"]
    exif = b"MM\0*\0\0\0\x08" + struct.pack(">H", 65_535) + struct.pack(">HHII", 0x9286, 7, 700_000, 0) * 65_535
    before_data = sound[:33]
    return found | {
        "png: 50 MB of image data for 72 rows": lambda: png(56, 72, 8, 0, bytes(50_000_000)),
        "png: too few rows": functools.partial(png, 56, 72, 8, 0, body[:1000]),
        "png: a text bomb": lambda: png(56, 72, 8, 0, body, b"zTXtComment\0\0" + bomb()),
        "png: an iTXt bomb": lambda: png(56, 72, 8, 0, body, b"iTXtComment\0\x01\0\0\0" + bomb()),
        "png: a profile bomb": lambda: png(56, 72, 8, 0, body, b"iCCPprofile\0\0" + bomb()),
        "png: an Exif bomb": functools.partial(png, 56, 72, 8, 0, body, b"eXIf" + exif),
        "png: a broken Exif block": functools.partial(png, 56, 72, 8, 0, body, b"eXIf" + exif[:100]),
        "png: a raw profile that is no number": functools.partial(
            png, 56, 72, 8, 0, body, b"tEXtRaw profile type exif\0\nexif\n5\nxyz"
        ),
        "png: 300,000 empty chunks": lambda: before_data + _chunk(b"teSt", b"") * 300_000 + sound[33:],
        "png: animated, 4 billion frames": functools.partial(png, 56, 72, 8, 0, body, b"acTL" + b"\xff" * 8),
        "png: a chunk of 4 GB": lambda: before_data + b"\xff\xff\xff\xffIDAT" + sound[41:],
        "png: unknown filter": functools.partial(png, 56, 72, 8, 0, b"\x09" * len(body)),
        "png: a palette that is missing": functools.partial(png, 56, 72, 8, 3, body),
        "png: a short palette": functools.partial(png, 56, 72, 8, 3, b"\x00" + b"\xff" * len(body), b"PLTE\0\0\0"),
    }


def _many_scans(side: int, scans: int) -> bytes:
    """A progressive JPEG whose scans are all empty."""
    frame = b"\xff\xc2" + struct.pack(">HBHHB", 11, 8, side, side, 1) + b"\x01\x11\x00"
    table = b"\xff\xc4" + struct.pack(">HB", 20, 0) + b"\x01" + bytes(15) + b"\x00"
    quantiser = b"\xff\xdb" + struct.pack(">HB", 67, 0) + b"\x01" * 64
    scan = b"\xff\xda" + struct.pack(">HB", 8, 1) + b"\x01\x00\x00\x00\x00" + b"\x00"
    return b"\xff\xd8" + quantiser + frame + table + scan * scans + b"\xff\xd9"


def _jpeg_traps() -> dict[str, Content]:
    sound = seeds()["jpeg"]
    start = sound.index(b"\xff\xc0")
    data = sound.index(b"\xff\xda")

    exif = b"\xff\xe1" + struct.pack(">H", 65_533) + b"Exif\0\0MM\0*\0\0\0\x08" + bytes(65_517)
    return {
        "jpeg: 65535 x 65535 declared": lambda: _resized(sound, 65_535, 65_535),
        "jpeg: no rows": lambda: _resized(sound, 0, 56),
        "jpeg: no columns": lambda: _resized(sound, 72, 0),
        "jpeg: 20 Exif blocks": lambda: sound[:2] + exif * 20 + sound[2:],
        "jpeg: 300,000 empty comments": lambda: sound[:2] + b"\xff\xfe\0\x02" * 300_000 + sound[2:],
        "jpeg: ends before its data": lambda: sound[:data],
        "jpeg: ends in its data": lambda: sound[: data + 200],
        "jpeg: a small one of 50 scans": lambda: _many_scans(64, 50),
        "jpeg: a lossless frame in a baseline one": lambda: sound.replace(b"\xff\xc0", b"\xff\xc3"),
        "jpeg: arithmetic coding claimed": lambda: sound.replace(b"\xff\xc0", b"\xff\xc9"),
        "jpeg: 12 bits claimed": lambda: sound[: start + 4] + b"\x0c" + sound[start + 5 :],
        "jpeg: JPEG-LS": lambda: bytes(imagecodecs.jpegls_encode(picture())),
        "jpeg: lossless, cut": lambda: seeds()["jpeg-lossless"][:2_000],
        "jpeg: lossless of 60000 x 60000": lambda: _resized(seeds()["jpeg-lossless"], 60_000, 60_000),
    }


def _resized(content: bytes, height: int, width: int) -> bytes:
    """A JPEG whose frame header declares another size."""
    start = re.search(rb"\xff[\xc0\xc3]\0", content).start()
    return content[: start + 5] + struct.pack(">HH", height, width) + content[start + 9 :]


def tiff(entries: list[tuple[int, int, int, int]], data: bytes = b"", following: int = 0, count: int | None = None) -> bytes:
    """A little-endian TIFF with one directory of (tag, type, count, value or offset); `data` stands behind it."""
    directory = struct.pack("<H", len(entries) if count is None else count)
    directory += b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries)) + struct.pack("<I", following)
    return b"II*\0\x08\0\0\0" + directory + data


def _grey_tiff(width: int = 8, height: int = 8, **changes: int) -> bytes:
    """An 8-bit grey TIFF of one strip; `changes` are tags by number, such as t278=0 for the rows of a strip."""
    tags = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 140, 277: 1, 278: height, 279: width * height}
    tags |= {int(name[1:]): value for name, value in changes.items()}
    content = tiff([(tag, 4 if value > 65_535 else 3, 1, value) for tag, value in tags.items()])
    return content.ljust(140, b"\0") + bytes(range(64)) + bytes(36)


def _tiff_traps() -> dict[str, Content]:
    big = 2**32 - 1
    found: dict[str, Content] = {
        "tiff: 60000 x 60000 declared": lambda: _grey_tiff(60_000, 60_000),
        "tiff: 4 billion columns": lambda: _grey_tiff(big, 1),
        "tiff: no columns": lambda: _grey_tiff(0, 8),
        "tiff: a directory that is its own successor": lambda: tiff([(256, 3, 1, 8)], following=8),
        "tiff: a directory beyond the end": lambda: b"II*\0" + struct.pack("<I", big) + bytes(100),
        "tiff: no directory": lambda: b"II*\0\0\0\0\0",
        "tiff: 65535 tags of a megabyte": lambda: tiff([(n, 7, 700_000, 8) for n in range(65_535)]),
        "tiff: 200 tags of 700 KB": lambda: tiff([(n + 1_000, 7, 700_000, 8) for n in range(200)], bytes(710_000)),
        "tiff: 100,000 pages": _many_pages,
        "tiff: tags claimed that are missing": lambda: tiff([(256, 3, 1, 8)], count=200),
        "tiff: Exif directory of 65535 tags": lambda: _grey_tiff(t34665=230)[:230] + b"\xff\xff" + bytes(800_000),
        "tiff: NaN": lambda: pillow(np.full((9, 9), NAN, np.float32), "TIFF"),
        "tiff: one infinity": lambda: pillow(np.where(np.eye(9) > 0, np.inf, 0).astype(np.float32), "TIFF"),
        "tiff: the largest floats": lambda: pillow(np.where(np.eye(9) > 0, 3.4e38, -3.4e38).astype(np.float32), "TIFF"),
        "tiff: the smallest floats": lambda: pillow(np.where(np.eye(9) > 0, 1e-45, 0).astype(np.float32), "TIFF"),
        "tiff: negative floats": lambda: pillow((np.eye(9) - 5).astype(np.float32), "TIFF"),
        "tiff: floats all -7": lambda: pillow(np.full((9, 9), -7, np.float32), "TIFF"),
        "tiff: huge doubles": lambda: bytes(imagecodecs.tiff_encode(np.array([[1e308, -1e308], [0, 1]]))),
        "tiff: complex": lambda: bytes(imagecodecs.tiff_encode(np.ones((9, 9), np.complex64))),
        "tiff: 64-bit": lambda: bytes(imagecodecs.tiff_encode(np.full((9, 9), 2**63, np.uint64))),
        "tiff: five samples": lambda: bytes(imagecodecs.tiff_encode(np.ones((9, 9, 5), np.uint8), photometric=1)),
        "tiff: CMYK": lambda: pillow(np.full((9, 9, 3), 100, np.uint8), "TIFF", "CMYK"),
        "tiff: LAB": lambda: pillow(np.full((9, 9, 3), 100, np.uint8), "TIFF", "LAB"),
        "tiff: YCbCr": lambda: pillow(np.full((9, 9, 3), 100, np.uint8), "TIFF", "YCbCr"),
    }
    changes = {
        **{
            f"tag {tag} is {value}": {f"t{tag}": value}
            for tag in (258, 259, 262, 273, 277, 278, 279, 284, 317, 339)
            for value in (0, 3, 65_535, big)
        },
        **{f"tiles of {side}": {"t322": side, "t323": side, "t324": 140, "t325": 64} for side in (0, 8, 15_000, 2**20, big)},
        **{f"orientation {value}": {"t274": value} for value in (0, 3, 5, 9, 65_535)},
        **{f"compression {value}": {"t259": value} for value in (2, 4, 5, 6, 7, 8, 32_773, 34_712, 34_925, 50_000, 50_001)},
    }
    return found | {f"tiff: {name}": functools.partial(_grey_tiff, **change) for name, change in changes.items()}


def _many_pages() -> bytes:
    """Directories of one tag each, one after the other."""
    size = 2 + 12 + 4
    return b"II*\0\x08\0\0\0" + b"".join(
        struct.pack("<HHHIII", 1, 256, 3, 1, 8, 8 + (number + 1) * size) for number in range(100_000)
    )


def _pgm_traps() -> dict[str, Content]:
    fixed = {
        "100000 x 100000": b"P5 100000 100000 255 ",
        "numbers of a thousand digits": b"P5 " + b"9" * 1000 + b" 4 255 ",
        "a hundred zeros before a number": b"P2 2 2 255 " + b"0" * 100 + b"1 2 3 4",
        "10 MB of digits": b"P2 2000 2000 255\n" + b"1" * 10**7,
        "10 MB of white space": b"P2 2000 2000 255\n" + b" " * 10**7,
        "10 MB of comment": b"P2 2000 2000 255\n#" + b"x" * 10**7,
        "an endless header": b"P5 #" + b"x" * 10**6,
        "negative": b"P2 2 2 255 -1 2 3 4",
        "fractions": b"P2 2 2 255 1.5 2 3 4",
        "letters": b"P2 2 2 255 1 2 three 4",
        "too few": b"P2 2 2 255 1 2 3",
        "too many": b"P2 2 2 255 1 2 3 4 5 6 7",
        "no gap at the end": b"P2 2 2 255 1 2 3 255",
        "NUL between": b"P2 2 2 255 1\0002 3 4 5",
        "maximum 0": b"P5 2 2 0 abcd",
        "maximum 65536": b"P5 2 2 65536 abcdefgh",
        "width 0": b"P5 0 2 255 ab",
        "too short": b"P5 20 20 255 abc",
        "16 bits too short": b"P5 20 20 65535 " + bytes(799),
        "above its maximum": b"P5 2 2 100 \xff\xff\xff\xff",
        "three numbers of four": b"P5 2 2 ",
        "P5 with text": b"P5 2 2 255\n1 2 3 4",
    }
    return {f"pgm: {name}": functools.partial(bytes, content) for name, content in fixed.items()}


def _inflation_bomb() -> bytes:
    """A deflated DICOM file that inflates to 5 GB: one compressed block of zeros again and again."""
    content = seeds()["dicom-deflated"]
    start = 144 + int.from_bytes(content[140:144], "little")
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = deflater.compress(bytes(2**24)) + deflater.flush(zlib.Z_FULL_FLUSH)
    return content[:start] + block * 320


def _large_jpeg2000() -> bytes:
    frame = bytes(imagecodecs.jpeg2k_encode(np.zeros((14_000, 10_000), np.uint8), level=60, codecformat="j2k"))
    return encapsulated("1.2.840.10008.1.2.4.91", frame, BitsStored=8, Rows=14_000, Columns=10_000)


def _dicom_traps() -> dict[str, Content]:
    from builders.crafted_dicom import dicom_traps  # a file of its own for its length

    return dicom_traps()


def _folder_named_like_an_image(folder: Path) -> Path:
    (folder / "x.png").mkdir()
    return folder / "x.png"


def _pipe(folder: Path) -> Path:
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.png")
    return folder / "pipe.png"


def _unix_socket(folder: Path) -> Path:
    if hasattr(socket, "AF_UNIX"):
        current = Path.cwd()
        os.chdir(folder)  # the name of a socket may have 108 characters
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("socket.png")
        os.chdir(current)
    return folder / "socket.png"


def _link(target: str, folder: Path) -> Path:
    try:
        (folder / "link.png").symlink_to(target)
    except OSError:  # Windows without the right to make links
        return folder / "nothing.png"
    return folder / "link.png"


def _link_to_pipe(folder: Path) -> Path:
    _pipe(folder)
    return _link("pipe.png", folder)


def _forbidden(folder: Path) -> Path:
    path = folder / "forbidden.png"
    path.write_bytes(seeds()["png8"])
    path.chmod(0)
    return path


def _sparse(head: bytes, size: int, folder: Path) -> Path:
    path = folder / "sparse.png"
    with path.open("wb") as stream:
        stream.write(head)
        stream.truncate(size)
    return path


def _named(name: str, folder: Path) -> Path:
    path = folder / name
    try:
        path.write_bytes(seeds()["dicom-explicit"])
    except (OSError, ValueError):  # a name that this system cannot have
        return path
    return path


def paths() -> dict[str, Callable[[Path], Path | str]]:
    """Paths by name; each is made in an empty folder. What the system cannot make is a path to nothing."""
    found: dict[str, Callable[[Path], Path | str]] = {
        "missing": lambda folder: folder / "missing.png",
        "a folder": lambda folder: folder,
        "a folder named like an image": _folder_named_like_an_image,
        "a path through a file": lambda folder: _named("a.png", folder) / "b.png",
        "a pipe": _pipe,
        "a link to a pipe": _link_to_pipe,
        "a socket": _unix_socket,
        "a broken link": functools.partial(_link, "nowhere.png"),
        "a link to itself": functools.partial(_link, "link.png"),
        "a link to its folder": functools.partial(_link, "."),
        "without permission": _forbidden,
        "NUL in the name": lambda folder: f"{folder}/a\0b.png",
        "a name of 300 characters": lambda folder: folder / ("x" * 300),
        "a path of 9000 characters": lambda folder: folder / "/".join(["x" * 89] * 100),
        "an empty path": lambda folder: "",
        "a dot": lambda folder: ".",
        "3 GB of zeros": functools.partial(_sparse, b"", 3 * 2**30),
        "3 GB that begin like a PNG": functools.partial(_sparse, b"\x89PNG\r\n\x1a\n", 3 * 2**30),
        "9 GB that begin like DICOM": functools.partial(_sparse, bytes(128) + b"DICM", 9 * 2**30),
    }
    names = [
        "image",
        "image.txt",
        "Aufnahme ü.dcm",
        "乳房.dcm",
        "a\nb.dcm",
        " .dcm",
        "-rf",
        "%s{0}.dcm",
        "x" * 200,
        os.fsdecode(b"\xff.dcm"),
    ]
    found |= {f"named {name[:20]!a}": functools.partial(_named, name) for name in names}
    devices = [name for name in ("/dev/zero", "/dev/null", "/dev/random", "/dev/tty", "/dev/stdin") if Path(name).exists()]
    return found | {name: functools.partial(lambda name, folder: Path(name), name) for name in devices}
