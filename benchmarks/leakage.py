"""Copies among images: how many are found by kind of alteration, false alarms, and what it costs.

    MAMMOLAB_LEAKAGE_MANIFEST   a manifest of real mammograms, with their patients; without it only the search is measured
    MAMMOLAB_LEAKAGE_IMAGES     how many of them are altered, each in every way (default 200)

Every pair of originals that is reported is a false alarm, unless their files are the same. Images of one patient count, too:
two views of a breast are no copies.
"""

from __future__ import annotations

import os
import tempfile
import time
import zlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from benchmarks.alterations import ALTERATIONS, Alteration
from benchmarks.timing import processor_seconds
from core.data import read_manifest
from core.data.checks import check_manifest
from core.data.copies import find_copies
from core.data.copies.fingerprint import BITS, CODES
from core.data.copies.search import candidate_pairs
from core.data.file_inspection import inspect_files
from core.images import read

SETTING = "MAMMOLAB_LEAKAGE_MANIFEST"
_MANY = 3_000  # files whose check is timed
_SIZES = (12_500, 25_000, 50_000, 100_000)
_FEATURES = 280  # of an image
_COMMON = 1_000_000  # codes that features are like


def run() -> None:
    """Print all of it."""
    given = os.environ.get(SETTING)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MAMMOLAB_CACHE"] = str(Path(folder) / "cache")
        if given:
            real(Path(given), Path(folder), int(os.environ.get("MAMMOLAB_LEAKAGE_IMAGES", "200")))
        else:
            print(f"recall and false alarms: skipped, {SETTING} names no manifest")
    growth()


def real(manifest: Path, folder: Path, number: int) -> None:
    """Times of a check, false alarms among the originals, and the recall of every alteration."""
    frame = read_manifest(manifest)
    many = frame.head(_MANY)
    for what in ("from files", "repeated"):
        start, used = time.perf_counter(), processor_seconds()
        check_manifest(many)
        seconds, used = time.perf_counter() - start, processor_seconds() - used
        print(f"check of {len(many):,} images {what}: {seconds:.1f} s, {used:.1f} s of processor time")
    originals = frame["path"].astype("str").to_list()
    found = compared(originals)
    patients = frame["patient_id"].astype("str").to_list()
    alarms = {position for pair in found for position in pair}
    others = {position for pair in found if patients[pair[0]] != patients[pair[1]] for position in pair}
    print(
        f"false alarms: {len(alarms)} of {len(originals):,} images of {frame['patient_id'].nunique():,} patients "
        f"({len(alarms) / len(originals):.3%}), of different patients {len(others)}"
    )
    for first, second in found:
        print(f"    {Path(originals[first]).name} and {Path(originals[second]).name}")
    chosen = np.sort(np.random.default_rng(0).choice(len(originals), min(number, len(originals)), replace=False)).tolist()
    for name, alteration in ALTERATIONS.items():
        missed, alarmed = recall(originals, chosen, name, alteration, folder, set(found))
        print(f"{name}: recall {1 - len(missed) / len(chosen):.1%} of {len(chosen)}, wrong pairs {alarmed}")
        for path in missed[:5]:
            print(f"    missed {Path(path).name}")


def recall(
    originals: list[str], chosen: Sequence[int], name: str, alteration: Alteration, folder: Path, known: set[tuple[int, int]]
) -> tuple[list[str], int]:
    """The originals whose altered copy was not found among all originals, and how many wrong pairs were."""
    copies = []
    for position in chosen:
        path = Path(originals[position])
        random = np.random.default_rng(zlib.crc32(f"{path.name} {name}".encode()))
        altered = alteration(np.rint(read(path).pixels * 255).astype(np.uint8), random)
        copies.append(str(folder / f"{zlib.crc32(name.encode()):08x}_{position}.png"))
        Path(copies[-1]).write_bytes(cv2.imencode(".png", altered)[1].tobytes())
    right = {(position, len(originals) + number) for number, position in enumerate(chosen)}
    found = set(compared([*originals, *copies]))
    same = dict(zip(range(len(originals), len(originals) + len(copies)), chosen, strict=True))
    wrong = {pair for pair in found - right if tuple(sorted(same.get(each, each) for each in pair)) not in known}
    return [originals[position] for position, copy in sorted(right - found)], len(wrong)


def compared(paths: list[str]) -> list[tuple[int, int]]:
    """Every pair that is reported, but for files with the same content."""
    copies = find_copies(paths, [file.content_hash for file in inspect_files(paths)])
    pixels = [(group[0], other) for group in copies.pixels for other in group[1:]]
    return sorted({*pixels, *copies.near})


def growth() -> None:
    """Seconds of the search alone, on made-up codes: features like common ones, each bit turned round with a chance of 12 %.
    Every tenth image has a copy that shares 10 % of its features.
    """
    random = np.random.default_rng(0)
    common = random.integers(0, 1 << BITS, (_COMMON, CODES)).astype(np.uint32)
    before = None
    for number in _SIZES:
        codes: list[np.ndarray] = []
        for _ in range(number):
            turned = random.random((_FEATURES, CODES, BITS), np.float32) < 0.12
            bits = (turned.astype(np.uint32) << np.arange(BITS, dtype=np.uint32)).sum(axis=2, dtype=np.uint32)
            codes.append(common[random.integers(0, _COMMON, _FEATURES)] ^ bits)
        copies = np.arange(0, number - 1, 10)
        for copy in copies.tolist():
            codes[copy + 1][: _FEATURES // 10] = codes[copy][: _FEATURES // 10]
        start, used = time.perf_counter(), processor_seconds()
        pairs = {pair[:2] for pair in candidate_pairs(codes, threads=os.cpu_count() or 1)}
        seconds, used = time.perf_counter() - start, processor_seconds() - used
        share = sum((copy, copy + 1) in pairs for copy in copies.tolist()) / len(copies)
        ratio = f", {used / before:.2f} times the half" if before else ""
        print(
            f"search among {number:,} images: {seconds:.1f} s, {used:.1f} s of processor time{ratio}; "
            f"{len(pairs) / number:.1f} candidates an image; copies among them {share:.2%}"
        )
        before = used
