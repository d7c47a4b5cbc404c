"""Candidates for copies: for each image the images whose bag of features is most alike, mirrored or not.

Few images are compared exactly. Many go into a graph index (HNSW; Malkov and Yashunin, TPAMI 2020) of the library usearch
(Apache-2.0), whose search grows with the logarithm of their number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.extmath import randomized_svd

from core.data.copies.fingerprint import Floats, flipped_bags

NEIGHBOURS = 8  # looked at for each image and query
COMPONENTS = 256
EXACT = 4096  # images: up to here every pair is compared
_SAMPLE = 2048  # images whose principal components stand for all
_WHITENING = 0.5  # power of the singular values by which components are divided
_BATCH = 4096
# (flip, the features off the rim only). Upside down, which hardly anybody makes of a mammogram, is looked for among few images.
_QUERIES = ((0, False), (1, False), (0, True), (1, True), (2, False))
_OF_MANY = _QUERIES[:4]
_LINKS, _BUILD, _LOOK = 16, 64, 48  # of the graph: M, efConstruction, efSearch
_SCALE = 127.0

Pair = tuple[int, int, int]  # two images, and the flip of the first that makes it like the second


def candidate_pairs(
    bags: NDArray[np.int8], inner: NDArray[np.int8], *, threads: int = 2, tick: Callable[[], None] | None = None
) -> list[Pair]:
    """Pairs (i, j, flip), i < j, that may be copies, each under the flip in which they are most alike.

    Args:
        bags, inner: int8 (n, 4096), those of `Fingerprint`; in rows of zeros nothing is compared.
        tick: called between batches; an exception it raises ends the search.
    """
    filled = np.flatnonzero(bags.any(axis=1))
    if len(filled) < 2:
        return []
    mean, components = _principal(bags[filled])
    database = np.concatenate([_projected(part, mean, components) for part in _batches(bags[filled])])
    index = _Exact(database) if len(filled) <= EXACT else _Graph(database, threads)
    best: dict[tuple[int, int], tuple[float, int]] = {}
    for flip, off_the_rim in _QUERIES if len(filled) <= EXACT else _OF_MANY:
        source = inner if off_the_rim else bags
        for start in range(0, len(filled), _BATCH):
            if tick is not None:
                tick()
            rows = filled[start : start + _BATCH]
            queries = _projected(flipped_bags(source[rows].astype(np.float32), flip), mean, components)
            likeness, found = index.nearest(queries, min(NEIGHBOURS + 1, len(filled)))
            for row, alike, others in zip(rows.tolist(), likeness.tolist(), found.tolist(), strict=True):
                for similarity, other in zip(alike, others, strict=True):
                    partner = int(filled[other])
                    pair = (min(row, partner), max(row, partner))
                    if row != partner and similarity > best.get(pair, (-2.0, 0))[0]:
                        best[pair] = (similarity, flip)
    return [(first, second, flip) for (first, second), (_, flip) in sorted(best.items())]


class _Exact:
    """All similarities, computed."""

    def __init__(self, database: Floats) -> None:
        self._database = database

    def nearest(self, queries: Floats, number: int) -> tuple[NDArray, NDArray]:
        """Cosine similarities and positions, each (n, number)."""
        similarity = queries @ self._database.T
        found = np.argpartition(-similarity, number - 1, axis=1)[:, :number]
        return np.take_along_axis(similarity, found, axis=1), found


class _Graph:
    """An HNSW graph of the vectors, a byte a number."""

    def __init__(self, database: Floats, threads: int) -> None:
        from usearch.index import Index

        self._threads = threads
        self._index = Index(
            ndim=database.shape[1],
            metric="cos",
            dtype="i8",
            connectivity=_LINKS,
            expansion_add=_BUILD,
            expansion_search=_LOOK,
        )
        self._index.add(np.arange(len(database)), _bytes(database), threads=threads)

    def nearest(self, queries: Floats, number: int) -> tuple[NDArray, NDArray]:
        """As _Exact.nearest."""
        found = self._index.search(_bytes(queries), number, threads=self._threads)
        return 1 - np.asarray(found.distances, np.float32), np.asarray(found.keys).astype(np.int64)


def _bytes(vectors: Floats) -> NDArray[np.int8]:
    """Unit vectors scaled to what a byte holds; the cosine does not mind."""
    largest = np.abs(vectors).max(axis=1, keepdims=True) + np.float32(1e-9)
    return np.rint(vectors / largest * _SCALE).astype(np.int8)


def _principal(bags: NDArray[np.int8]) -> tuple[Floats, Floats]:
    """The mean (4096,) and whitened principal components (4096, k) of the images, or of an even sample of them.

    Few images have no components worth the name: their bags are compared as they are.
    """
    if len(bags) <= COMPONENTS:
        return np.zeros(bags.shape[1], np.float32), np.eye(bags.shape[1], dtype=np.float32)
    sample = bags[np.linspace(0, len(bags) - 1, min(_SAMPLE, len(bags))).astype(np.int64)].astype(np.float32)
    mean = sample.mean(axis=0)
    _, strengths, components = randomized_svd(sample - mean, n_components=COMPONENTS, n_iter=3, random_state=0)
    spread = np.maximum(strengths / np.sqrt(len(sample)), 1e-6) ** _WHITENING
    return mean, (components / spread[:, None]).T.astype(np.float32)


def _projected(bags: NDArray, mean: Floats, components: Floats) -> Floats:
    vectors = (bags.astype(np.float32) - mean) @ components
    return vectors / (np.linalg.norm(vectors, axis=1, keepdims=True) + np.float32(1e-9))


def _batches(bags: NDArray[np.int8]) -> Iterator[NDArray[np.int8]]:
    for start in range(0, len(bags), _BATCH):
        yield bags[start : start + _BATCH]
