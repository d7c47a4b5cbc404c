"""Features of prepared images on disk: what a frozen network says of an image is computed once, whoever asks.

    <root>/<recipe hash>/<2 hex>/<key>.features     CRC-32, then float32 values, little-endian

They lie among the prepared images that they are of, so clearing the cache takes them along. The key comes from the image's
own (see core.data.cache) and the network, so a changed file or network is another entry. Any number of threads, processes or
hosts may share a folder: two writers of one entry write the same values.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.data.cache import PreparedCache
from core.errors import UnreadableImage
from core.files.atomic import replacing
from core.files.untrusted import read_bytes

log = logging.getLogger(__name__)

Features = NDArray[np.float32]


class FeatureCache:
    """The features of one network, `count` an image. Threads may share an instance."""

    def __init__(self, images: PreparedCache, network: str, count: int) -> None:
        """`network` identifies weights, architecture and arithmetic: what else the features depend on."""
        self.images, self.network, self.count = images, network, count
        self._full = False  # the disk: from then on nothing is stored

    def get(self, path: Path | str) -> Features | None:
        """The features of a file's prepared image, float32 (count,); None where they are not stored, or damaged."""
        try:
            content = read_bytes(self._file(path), 4 * (self.count + 1))
        except (OSError, ValueError, UnreadableImage):
            return None
        if len(content) != 4 * (self.count + 1) or zlib.crc32(content[4:]) != int.from_bytes(content[:4], "little"):
            return None
        return np.frombuffer(content, "<f4", offset=4).astype(np.float32)

    def put(self, path: Path | str, features: Features) -> None:
        """Store them. Where the disk takes nothing more, they are computed again next time."""
        if self._full:
            return
        values = np.ascontiguousarray(features, dtype="<f4").tobytes()
        file = self._file(path)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(PermissionError), replacing(file) as stream:  # Windows: another process reads the same
                stream.write(zlib.crc32(values).to_bytes(4, "little") + values)
        except OSError as error:
            self._full = True
            log.warning("features are not stored (%s): they will be computed again", error.strerror or error)

    def _file(self, path: Path | str) -> Path:
        key = hashlib.sha256(f"{self.images.entry(path)}\0{self.network}\0{self.count}".encode()).hexdigest()[:40]
        return self.images.folder / key[:2] / f"{key}.features"
