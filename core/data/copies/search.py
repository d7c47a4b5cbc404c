"""Candidates for copies: for each image the images that share most codes of local features with it, mirrored or not.

An inverted file (Zobel and Moffat, ACM Comput Surv 2006) lists the images of each code; an image's features vote for those that
are listed under their codes, and a code counts the less, the more images have it. It is a sparse matrix of scipy (BSD-3), and
counting the votes its product. Codes get one bit longer as the number of images doubles, and a list is cut off at some length,
so that the work for an image stays the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from core.data.copies.fingerprint import CODES, FLIPS, MOST, flip_masks

NEIGHBOURS = 16  # of an image
# Bits of a code: as many as it takes to number the images, and so many more. Beyond the most, the table itself takes the time.
_FEWEST_BITS, _MORE_BITS, _MOST_BITS = 18, 9, 25
_SHORTER, _FEW = (0, 3), 1 << 13  # among so few images codes of two lengths vote, the second so many bits shorter
_LISTED = 64  # images of a code; where there are more, it votes for the first ones
# Votes of a candidate with as many features as an image can have: in copies at least 2, but for 2 in 1,000 after four changes.
_VOTES = 1.6
_ROWS = 512  # images that are looked up at a time

Pair = tuple[int, int, int]  # two images, and the flip of the first that makes it like the second
Found = tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int8]]  # pairs (n, 2), votes, flips


def candidate_pairs(
    codes: Sequence[NDArray[np.uint32]], *, threads: int = 2, tick: Callable[[], None] | None = None
) -> list[Pair]:
    """Pairs (i, j, flip), i < j, that may be copies, each under the flip in which they share most.

    Args:
        codes: of each image, uint32 (n, 2), those of `Fingerprint`; one without features is compared with nothing.
        tick: called between batches; an exception it raises ends the search.
    """
    if len(codes) < 2:
        return []
    index = _Index.of(codes)
    parts: list[Found] = []
    with ThreadPoolExecutor(threads, thread_name_prefix="candidates") as pool:
        try:
            for found in pool.map(index.candidates, range(0, len(codes), _ROWS)):
                parts.append(found)
                if tick is not None:
                    tick()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    pairs, votes, flips = (np.concatenate(part) for part in zip(*parts, strict=True))
    pairs.sort(axis=1)
    order = np.lexsort((flips, -votes, pairs[:, 1], pairs[:, 0]))
    pairs, flips = pairs[order], flips[order]
    first = np.ones(len(pairs), bool)
    first[1:] = (pairs[1:] != pairs[:-1]).any(axis=1)
    return [(i, j, flip) for (i, j), flip in zip(pairs[first].tolist(), flips[first].tolist(), strict=True)]


@dataclass(frozen=True)
class _Index:
    """`features` uint32 (all features, 2), those of image i from `start[i]` to `start[i + 1]`; of each code as many bits as
    each of `lengths` says stand in a table. `lists`: the weight of each code of all tables in each image that it lists, sparse
    (codes, images).
    """

    features: NDArray[np.uint32]
    start: NDArray[np.int64]
    lengths: tuple[int, ...]
    lists: csr_array

    @classmethod
    def of(cls, codes: Sequence[NDArray[np.uint32]]) -> _Index:
        bits = min(_MOST_BITS, max(_FEWEST_BITS, math.ceil(math.log2(len(codes))) + _MORE_BITS))
        lengths = tuple(bits - less for less in (_SHORTER if len(codes) <= _FEW else (0,)))
        features = np.concatenate(codes)
        sizes = np.array([len(each) for each in codes])
        images = np.repeat(np.arange(len(codes), dtype=np.int32), sizes)
        lists = [
            _lists(features[:, number] & np.uint32((1 << length) - 1), images, (1 << length, len(codes)))
            for length in lengths
            for number in range(CODES)
        ]
        return cls(features, np.concatenate([[0], np.cumsum(sizes)]), lengths, vstack(lists, format="csr"))

    def candidates(self, begin: int) -> Found:
        """The NEIGHBOURS of each of _ROWS images."""
        images = len(self.start) - 1
        number = min(_ROWS, images - begin)
        own = slice(self.start[begin], self.start[begin + number])
        sizes = np.diff(self.start[begin : begin + number + 1])
        rows = np.repeat(np.arange(number, dtype=np.int32), CODES * len(self.lengths) * sizes)
        enough = _VOTES * np.sqrt(np.minimum(sizes / MOST, 1))
        ends = np.cumsum([CODES * (1 << length) for length in self.lengths])
        parts = []
        for flip in range(len(FLIPS)):
            turned = self.features[own] ^ flip_masks()[flip]
            columns = np.concatenate(
                [
                    (turned & np.uint32((1 << length) - 1)).astype(np.int32)
                    + (end - (CODES - np.arange(CODES, dtype=np.int32)) * (1 << length)).astype(np.int32)
                    for length, end in zip(self.lengths, ends.tolist(), strict=True)
                ],
                axis=1,
            )
            asked = csr_array((np.ones(len(rows), np.float32), (rows, columns.ravel())), (number, self.lists.shape[0]))
            asked.sum_duplicates()
            asked.data[:] = 1
            votes = asked @ self.lists
            row = np.repeat(np.arange(number), np.diff(votes.indptr))
            kept = np.flatnonzero((votes.data >= enough[row]) & (votes.indices != row + begin))
            parts.append((row[kept], votes.indices[kept], votes.data[kept], np.full(len(kept), flip, np.int8)))
        row, other, votes, flips = (np.concatenate(part) for part in zip(*parts, strict=True))
        order = np.lexsort((-votes, row))
        row, other, votes, flips = row[order], other[order], votes[order], flips[order]
        rank = np.arange(len(row)) - np.searchsorted(row, row)
        best = rank < NEIGHBOURS
        pairs = np.stack([row[best] + begin, other[best]], axis=1).astype(np.int64)
        return pairs, votes[best], flips[best]


def _lists(features: NDArray[np.uint32], images: NDArray[np.int32], shape: tuple[int, int]) -> csr_array:
    """The images of each code of a table, each once, the first _LISTED of them: 1 / sqrt(their number), sparse."""
    lists = csr_array((np.ones(len(features), np.float32), (features.astype(np.int32), images)), shape)
    lists.sum_duplicates()
    numbers = np.diff(lists.indptr)
    place = np.arange(len(lists.data)) - np.repeat(lists.indptr[:-1], numbers)
    kept = place < _LISTED
    weights = np.repeat(1 / np.sqrt(np.maximum(numbers, 1)), numbers).astype(np.float32)
    ends = np.concatenate([[0], np.cumsum(np.minimum(numbers, _LISTED))]).astype(lists.indptr.dtype)
    return csr_array((weights[kept], lists.indices[kept], ends), shape)
