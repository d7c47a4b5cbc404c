"""What the gate refuses: pictures that are no mammograms, mammograms of the run's own source, and of another source.

Each kind of picture is put to a trained run as `python -m core predict` would: how many get no verdict, how many are warned
of as differing from the training images. The run's validation and test images are false alarms where they are refused. First
what fitting the gate and asking it cost, in the forward passes that they need.

    MAMMOLAB_GATE_RUNS     folders of trained runs, separated by spaces (required)
    MAMMOLAB_GATE_DICOM    folder of DICOM files that are no mammograms, such as pydicom's test files: put to the model as they
                           are, then again as bare grey pictures, without a header that says what they are
    MAMMOLAB_GATE_OTHER    manifest of another source's mammograms

The other pictures come from scikit-image's samples (pip install scikit-image) and are drawn here with a fixed seed.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from core.data import read_manifest
from core.data.cache import PreparedCache
from core.errors import LabError
from core.files.paths import cache_root
from core.gate import Distance, fit_gate, statistics_of
from core.images import encode_png, read
from core.images.mammogram import Pixels
from core.predict import Predictor
from core.prediction import Prediction
from core.runs import Run

PREFIX = "MAMMOLAB_GATE_"
EACH = 12  # drawings of a kind
MOST_FRAMES = 5  # of a DICOM stack
SEED = 5
_DRAWN = ("horse", "text", "page", "logo", "chessboard", "color", "phantom")  # scikit-image's samples that are no photographs

Picture = NDArray[np.uint8]


def run() -> None:
    """Print a table a run."""
    folders = os.environ.get(PREFIX + "RUNS", "").split()
    if not folders:
        print(f"set {PREFIX}RUNS; benchmarks/gate.py says what else there is")
        return
    with tempfile.TemporaryDirectory() as folder:
        kinds = pictures(Path(folder))
        for name in folders:
            measure(Run.open(Path(name)), kinds)


def measure(made: Run, kinds: dict[str, list[Path]]) -> None:
    """Put every kind of picture, and the run's own images, to its model."""
    predictor = Predictor.from_run(made.path)
    cache = PreparedCache(cache_root(), predictor.recipe)
    rows = made.manifest()
    cost(predictor, cache, rows)
    if not isinstance(predictor.gate, Distance):
        predictor.fit_gate(made.path, rows, cache)
    assert isinstance(predictor.gate, Distance)
    gate = predictor.gate
    print(f"{made.name}: learned from {gate.train} training and {gate.validation} validation images, refuses: {gate.refuses}")
    print("| kind of image | n | no verdict | by the file or its pixels | warned of as different |\n| --- |" + " --- |" * 4)
    total: list[str] = []
    for kind, paths in kinds.items():
        total += line(kind, outcomes(predictor, paths))
    line("**all that are no mammograms**", total)
    for split in ("val", "test"):
        line(f"own mammograms, {split}", outcomes(predictor, list(map(Path, rows.loc[rows["split"] == split, "path"]))))
    other = os.environ.get(PREFIX + "OTHER")
    if other:
        line("mammograms of another source", outcomes(predictor, list(map(Path, read_manifest(Path(other))["path"]))))


def outcomes(predictor: Predictor, paths: list[Path]) -> list[str]:
    """For each file "origin", "distance", "warned" or ""; a file that cannot be read counts as refused by its file."""
    found = []
    for result in predictor.predict_many(paths):
        if not isinstance(result, Prediction):
            found.append("origin")
        elif result.refusal:
            found.append("distance" if result.distance is not None else "origin")
        else:
            found.append("warned" if any("differs from" in each or "unlike" in each for each in result.warnings) else "")
    return found


def line(kind: str, found: list[str]) -> list[str]:
    """Print a row of the table; returns `found`."""
    if found:
        refused = sum(each in ("origin", "distance") for each in found)
        print(
            f"| {kind} | {len(found)} | {refused} ({refused / len(found):.1%}) | {found.count('origin')} "
            f"| {found.count('warned')} |",
            flush=True,
        )
    return found


def cost(predictor: Predictor, cache: PreparedCache, rows: object) -> None:
    """Time of fitting, and of asking of one image, against the forward passes."""
    import pandas as pd

    assert isinstance(rows, pd.DataFrame)
    began = time.perf_counter()
    gate = fit_gate(predictor.model, cache, rows)
    fitting = time.perf_counter() - began
    assert gate is not None
    image = cache.get(rows["path"].iloc[0])
    pixels = np.repeat(np.array(image.pixels)[None], 8, axis=0)
    predictor.score_pixels(pixels)
    began = time.perf_counter()
    predictor.score_pixels(pixels)
    forward = (time.perf_counter() - began) / len(pixels)
    features = np.zeros(gate.features.mean.shape, np.float32) if gate.features else None
    began = time.perf_counter()
    for _ in range(20):
        gate.relative(features, statistics_of(pixels[0], image.breast))
    asking = (time.perf_counter() - began) / 20
    passes = fitting / forward / (gate.train + gate.validation)
    print(f"fitting: {fitting:.1f} s, {passes:.2f} forward passes an image; asking: {asking / forward:.1%} of a forward pass")


# ---------------------------------------------------------------------- pictures


def pictures(folder: Path) -> dict[str, list[Path]]:
    """Files of every kind of picture, written into the folder where they are drawn."""
    found = {kind: _written(folder / kind, made) for kind, made in (*_samples(), *_drawings())}
    source = os.environ.get(PREFIX + "DICOM")
    if source:
        files = [path for path in sorted(Path(source).glob("*.dcm")) if not path.name.startswith("MG")]
        found["DICOM files of other kinds"] = files
        found["the same as bare pictures"] = _written(folder / "bare", list(_bare(files)))
    return {kind: paths for kind, paths in found.items() if paths}


def _written(folder: Path, made: list[Picture]) -> list[Path]:
    folder.mkdir(parents=True)
    paths = []
    for number, picture in enumerate(made):
        paths.append(folder / f"{number}.png")
        paths[-1].write_bytes(encode_png(picture))
    return paths


def _bare(files: list[Path]) -> Iterator[Picture]:
    """The pixels of what can be read, several frames of a stack, each picture once."""
    seen: set[bytes] = set()
    unreadable = 0
    for path in files:
        try:
            frames = read(path).meta.frames
            for frame in range(0, frames, max(1, frames // MOST_FRAMES)):
                picture = _grey(read(path, frame=frame).pixels)
                if picture.tobytes() not in seen:
                    seen.add(picture.tobytes())
                    yield picture
        except LabError:
            unreadable += 1
    print(f"{unreadable} of {len(files)} DICOM files cannot be read (colour, 1-bit masks, damage): a refusal of its own")


def _grey(pixels: Pixels) -> Picture:
    return np.asarray(np.round(np.clip(pixels, 0, 1) * 255), np.uint8)


def _samples() -> list[tuple[str, list[Picture]]]:
    """scikit-image's sample pictures, whole in colour and in grey, and quarters of the larger ones."""
    from skimage import data

    folder = Path(data.__file__).parent
    colour, photographs, drawn = [], [], []
    for path in sorted((*folder.glob("*.png"), *folder.glob("*.jpg"))):
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        assert picture is not None
        grey = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)
        if path.name.startswith(_DRAWN):
            drawn.append(grey)
            continue
        if np.ptp(picture.astype(int), axis=2).max() > 40:
            colour.append(np.asarray(picture[:, :, ::-1], np.uint8))
        photographs.append(grey)
        half = [side // 2 for side in grey.shape]
        if min(half) >= 128:
            photographs += [grey[y : y + half[0], x : x + half[1]] for y in (0, half[0]) for x in (0, half[1])]
    return [("photographs in colour", colour), ("photographs in grey", photographs), ("drawings and pages", drawn)]


def _drawings() -> list[tuple[str, list[Picture]]]:
    rng = np.random.default_rng(SEED)
    noise, gradients, texts, shapes, empty = [], [], [], [], []
    for number in range(EACH):
        white = rng.normal(size=(600, 480))
        noise += [
            _stretched(white),
            _stretched(cv2.GaussianBlur(white, (0, 0), 2 + 5 * number)),
            _pink(white, 0.5 + 0.15 * number),
        ]
        rows, columns = np.mgrid[:600, :480] / 500
        gradients.append(_stretched(np.cos(number) * rows + np.sin(number) * columns))
        gradients.append(
            _stretched(np.exp(-((rows - 0.3 - 0.05 * number) ** 2 + (columns - 0.1 * number) ** 2) * (2 + number)))
        )
        texts.append(_text(rng, dark=number % 2 == 0))
        shapes.append(_shapes(rng))
        empty.append(np.full((400, 300), 21 * number, np.uint8))
    return [
        ("noise", noise),
        ("gradients", gradients),
        ("screenshots of text", texts),
        ("shapes", shapes),
        ("uniform pictures", empty),
    ]


def _stretched(values: NDArray[np.float64]) -> Picture:
    return np.asarray(255 * (values - values.min()) / max(float(np.ptp(values)), 1e-9), np.uint8)


def _pink(white: NDArray[np.float64], power: float) -> Picture:
    """Noise whose amplitude falls with frequency: clouds."""
    rows, columns = (np.fft.fftfreq(side) for side in white.shape)
    radius = np.hypot(rows[:, None], columns[None])
    radius[0, 0] = 1
    return _stretched(np.fft.ifft2(np.fft.fft2(white) / radius**power).real)


def _text(rng: np.random.Generator, *, dark: bool) -> Picture:
    page = np.full((900, 700), 0 if dark else 255, np.uint8)
    letters = list("abcdefghij klmnopqrst uvwxyz")
    for line_ in range(3, 70):
        words = "".join(rng.choice(letters, int(rng.integers(15, 75))))
        cv2.putText(page, words, (20, 12 * line_), cv2.FONT_HERSHEY_SIMPLEX, 0.4, 255 if dark else 0, 1, cv2.LINE_AA)
    return page


def _shapes(rng: np.random.Generator) -> Picture:
    picture = np.zeros((800, 600), np.uint8)
    for _ in range(12):
        x, y, size = int(rng.integers(0, 500)), int(rng.integers(0, 500)), int(rng.integers(30, 250))
        level = int(rng.integers(60, 255))
        if rng.random() < 0.5:
            cv2.circle(picture, (x, y), size // 2, level, -1)
        else:
            cv2.rectangle(picture, (x, y), (x + size, y + size), level, -1)
    return picture
