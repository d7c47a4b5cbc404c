"""Cache of prepared images on disk: each file is decoded and prepared once per recipe, then memory-mapped.

    <root>/<recipe hash>/<2 hex>/<key>.npy     uint8 (H, W)
                                <key>.json     its check sum, the content's hash, matrix, warnings, metadata

The key comes from the file's absolute path, size and modification time, so a changed file is another entry. The JSON is
written last: an image without it does not exist. Both are written under another name and renamed, and two writers
of one entry write the same bytes, so any number of threads, processes or hosts may share a folder. No path, name or
identifier is stored (the patient's pseudonym is).
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import os
import re
import zlib
from collections.abc import Generator, Iterable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import write_array, write_array_header_1_0
from numpy.typing import NDArray

from core.config import Recipe
from core.data.read_ahead import read_ahead
from core.errors import LabError, UnreadableImage
from core.files.atomic import replacing
from core.files.untrusted import open_regular, read_bytes, read_json
from core.images import one_large_at_a_time, read
from core.images.files import content_of
from core.images.mammogram import ImageMeta
from core.preprocessing import Prepared, analyse, has_objects, prepare

log = logging.getLogger(__name__)

FORMAT = 3  # of an entry; raise it when what is stored changes
# What is deleted when all is cleared: a user may have set MAMMOLAB_CACHE to a folder with other things in it.
_RECIPE = re.compile(r"[0-9a-f]{12}")
_SHELF = re.compile(r"[0-9a-f]{2}")
_ENTRY = re.compile(r"\.?[0-9a-f]{40}\.(npy|json|features)(\..*\.tmp)?")  # features: see core.data.feature_cache
_BROKEN = (OSError, ValueError, LookupError, TypeError, ArithmeticError, AttributeError, EOFError, RecursionError, MemoryError)


@dataclass(frozen=True)
class CachedImage:
    """A prepared image and what is known about it.

    `pixels` is a read-only uint8 memory map (H, W). `matrix` (3, 3) maps (x, y, 1) of the original image to it; `breast`
    is (x0, y0, x1, y1) of the part that is image rather than padding; `content_hash` is the SHA-256 of the file's bytes.
    `warnings` are the reader's and the recipe's; `meta` are the fields of core.images.ImageMeta. `white_air` says whether air
    is white in the file's stored values, `objects` whether something lies outside the breast (has_objects);
    `breast_found` is False where nothing in the image looks like a breast.
    """

    pixels: NDArray[np.uint8]
    content_hash: str
    warnings: tuple[str, ...]
    matrix: NDArray[np.float64]
    breast: tuple[int, int, int, int]
    original_shape: tuple[int, int]
    meta: dict[str, Any]
    white_air: bool = False
    objects: bool = False
    breast_found: bool = True

    @property
    def image_meta(self) -> ImageMeta:
        """`meta` as what the reader gives: sequences are tuples again."""
        values: dict[str, Any] = {name: tuple(each) if isinstance(each, list) else each for name, each in self.meta.items()}
        return ImageMeta(**values)

    def prepared(self, recipe: Recipe) -> Prepared:
        """As core.preprocessing.prepare gave it under the cache's `recipe`, in memory, but without steps."""
        return Prepared(np.array(self.pixels), recipe.hash, self.matrix, self.breast, breast_found=self.breast_found)


@dataclass(frozen=True)
class Rejected:
    """An image that could not be read, and why. It is left out, never replaced by another."""

    path: str
    reason: str


def size_of(root: Path) -> int:
    """Bytes of the prepared images below a folder; 0 when there are none."""
    return sum(_size(path) for folder in _recipes(root) for path in _entries(folder))


def _recipes(root: Path) -> list[Path]:
    """The folders of recipes: ours by name, and no links to others."""
    return [each for each in root.glob("*") if _RECIPE.fullmatch(each.name) and each.is_dir() and not each.is_symlink()]


def _entries(folder: Path) -> list[Path]:
    """The files of a recipe's folder that are ours by name."""
    inner = [each for each in folder.glob("*") if _SHELF.fullmatch(each.name) and each.is_dir() and not each.is_symlink()]
    return [path for each in inner for path in each.glob("*") if _ENTRY.fullmatch(path.name) and not path.is_dir()]


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:  # another process may be writing or clearing
        return 0


def _clear(folder: Path) -> int:
    """Delete a recipe's images and nothing else that lies there; how many files."""
    entries = _entries(folder)
    for path in entries:
        path.unlink(missing_ok=True)
    for emptied in (*folder.glob("*"), folder):
        with contextlib.suppress(OSError):  # it holds something that is not ours, or a writer's new entry
            emptied.rmdir()
    return len(entries)


def clear_all(root: Path) -> int:
    """Delete the images of every recipe below `root` and nothing else that lies there; returns how many files.

    Raises:
        LabError: some files could not be deleted.
    """
    try:
        return sum(map(_clear, _recipes(root)))
    except OSError as error:
        raise LabError(
            f"{root}: the cache cannot be deleted ({error.strerror or error}). Stop what uses it, then try again."
        ) from error


class PreparedCache:
    """The images prepared by one recipe. Threads may share an instance."""

    def __init__(self, root: Path, recipe: Recipe) -> None:
        self.root = Path(root)
        self.recipe = recipe
        self.folder = self.root / recipe.hash
        self._checked: set[str] = set()  # entries whose check sum this process has already verified

    def get(self, path: Path | str) -> CachedImage:
        """The prepared image of a file: from the cache, or prepared now and stored. A damaged entry is made again.

        Raises:
            UnreadableImage: the file is missing or cannot be decoded.
            LabError: the cache folder cannot be written to.
        """
        path, key = self._locate(path)
        return self._load(key) or self._make(path, key)

    def read_pixels(self, path: Path | str) -> NDArray[np.uint8]:
        """As `get(path).pixels`, uint8 (H, W), but in memory and several times quicker once the entry has been checked.

        Raises: as `get`.
        """
        path, key = self._locate(path)
        if key in self._checked:
            height, width = self.recipe.shape
            with contextlib.suppress(OSError, ValueError):
                content = read_bytes(self._files(key)[0], height * width + 256)
                # A header of version 1 is padded to a multiple of 64; anything else takes the careful way below.
                if content[:8] == b"\x93NUMPY\x01\x00" and 0 < len(content) - height * width <= 256:
                    return np.frombuffer(content, np.uint8, offset=len(content) - height * width).reshape(height, width)
        return (self._load(key) or self._make(path, key)).pixels

    def entry(self, path: Path | str) -> str:
        """The name of a file's entry, 40 hex digits. Raises UnreadableImage: there is no such file."""
        return self._locate(path)[1]

    def has(self, path: Path | str) -> bool:
        """Whether `get` would answer without decoding the file."""
        try:
            return self._load(self._locate(path)[1]) is not None
        except UnreadableImage:
            return False

    def iter_prepare(
        self, paths: Iterable[Path | str], *, workers: int | None = None
    ) -> Generator[Rejected | None, None, None]:
        """Fill the cache for these files: for each, in order, None or why it cannot be read. What is there is only checked.

        Closing the iterator ends the work; what is done stays. Raises LabError where the cache folder cannot be written to.
        """
        workers = workers or min(8, os.cpu_count() or 1)
        return read_ahead(self._try, paths, workers=workers, ahead=4 * workers, name="prepare")

    def _try(self, path: Path | str) -> Rejected | None:
        try:
            self.get(path)
        except UnreadableImage as error:
            return Rejected(str(path), str(error))
        return None

    def _locate(self, path: Path | str) -> tuple[Path, str]:
        path = Path(path).absolute()
        try:
            stat = path.stat()
        except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
            reason = "no such file" if isinstance(error, FileNotFoundError) else str(getattr(error, "strerror", None) or error)
            raise UnreadableImage(f"{path}: {reason}. Check the manifest's path and the disk it is on.") from error
        identity = f"{FORMAT}\0{os.path.normcase(path)}\0{stat.st_size}\0{stat.st_mtime_ns}\0{self.recipe.hash}"
        return path, hashlib.sha256(identity.encode("utf-8", "surrogateescape")).hexdigest()[:40]

    def _files(self, key: str) -> tuple[Path, Path]:
        folder = self.folder / key[:2]
        return folder / f"{key}.npy", folder / f"{key}.json"

    def _load(self, key: str) -> CachedImage | None:
        """The entry, or None when it is absent or damaged."""
        pixel_file, info_file = self._files(key)
        try:
            info = read_json(info_file)
            pixels = _mapped(pixel_file, self.recipe.shape)
            if key not in self._checked:
                if zlib.crc32(pixels.tobytes()) != info["crc32"]:
                    raise ValueError("the check sum differs")
                self._checked.add(key)
            return _image(pixels, info)
        except FileNotFoundError:
            return None
        except _BROKEN as error:
            log.warning("a damaged entry of the image cache is made again (%s): %s", pixel_file.name, error)
            return None

    def _make(self, path: Path, key: str) -> CachedImage:
        with one_large_at_a_time():
            return self._make_now(path, key)

    def _make_now(self, path: Path, key: str) -> CachedImage:
        try:
            content = content_of(path)
        except UnreadableImage as error:
            raise UnreadableImage(f"{path.name}: {error}") from error
        mammogram = read(content, window=self.recipe.voi_index, name=path.name)  # the very bytes that are hashed
        analysis = analyse(mammogram, self.recipe)
        prepared = prepare(mammogram, self.recipe, analysis=analysis)
        # The reader has turned what its file declares as inverted; what the picture says comes on top of that.
        declared = mammogram.meta.photometric_interpretation == "MONOCHROME1"
        pixels = np.ascontiguousarray(prepared.pixels)
        info = {
            "content_hash": hashlib.sha256(content).hexdigest(),
            "crc32": zlib.crc32(pixels.tobytes()),
            "matrix": np.asarray(prepared.matrix, dtype=np.float64).tolist(),
            "breast": [int(edge) for edge in prepared.breast],
            "original_shape": [int(side) for side in mammogram.pixels.shape],
            "warnings": [*mammogram.warnings, *prepared.warnings],
            "meta": asdict(mammogram.meta),
            "white_air": declared != analysis.polarity.inverted,
            "objects": has_objects(analysis),
            "breast_found": prepared.breast_found,
        }
        try:
            self._write(key, pixels, info)
        except OSError as error:
            raise LabError(
                f"{self.root}: the image cache cannot be written ({error.strerror or error}). "
                "Free some space, or set MAMMOLAB_CACHE to a folder on another disk."
            ) from error
        return self._load(key) or _image(_read_only(pixels), info)

    def _write(self, key: str, pixels: NDArray[np.uint8], info: dict[str, Any]) -> None:
        pixel_file, info_file = self._files(key)
        pixel_file.parent.mkdir(parents=True, exist_ok=True)
        self._checked.discard(key)
        try:
            with replacing(pixel_file) as stream:
                write_array(stream, pixels, allow_pickle=False)
            with replacing(info_file) as stream:
                stream.write(json.dumps(info).encode("utf-8"))
        except PermissionError:
            # Windows refuses to replace a file that another reader has mapped: then that reader's entry must be sound.
            if self._load(key) is None:
                raise


def _image(pixels: NDArray[np.uint8], info: dict[str, Any]) -> CachedImage:
    x0, y0, x1, y1 = info["breast"]
    height, width = info["original_shape"]
    return CachedImage(
        pixels=pixels,
        content_hash=str(info["content_hash"]),
        warnings=tuple(info["warnings"]),
        matrix=np.array(info["matrix"], dtype=np.float64),
        breast=(x0, y0, x1, y1),
        original_shape=(height, width),
        meta=dict(info["meta"]),
        white_air=bool(info["white_air"]),
        objects=bool(info["objects"]),
        breast_found=bool(info["breast_found"]),
    )


def _read_only(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    pixels.flags.writeable = False
    return pixels


def _mapped(file: Path, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """The .npy file's pixels, mapped. Not by np.load, which parses the header with `ast`: in threads that can fail in
    CPython before 3.12 (gh-106905). Raises ValueError when it holds anything else than uint8 of this shape.
    """
    header = _npy_header(shape)
    with open_regular(file) as stream:
        if stream.read(len(header)) != header:
            raise ValueError(f"expected a .npy file of uint8 {shape}")
        return np.memmap(stream, np.uint8, "r", len(header), shape)


@cache
def _npy_header(shape: tuple[int, int]) -> bytes:
    stream = io.BytesIO()
    write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return stream.getvalue()
