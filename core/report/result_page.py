"""What one or two models say about an image or a breast, on one A4 page (PDF), to be printed or sent.

It holds no file name, patient or path unless the caller passes one: a file is named by the start of its SHA-256 hash. The same
result gives the same bytes.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure
from numpy.typing import NDArray

from core import __version__
from core.gradcam.overlay import render
from core.metrics.placing import NO_REFERENCE, Reference
from core.model.card import ModelCard
from core.plots import COLORS
from core.prediction import BreastPrediction, Prediction
from core.report.drawing import INK, QUIET
from core.wording import shortened, upper_first

if TYPE_CHECKING:
    from core.gradcam import Evidence, Heatmap

WIDTH, HEIGHT = 8.27, 11.69  # inches: A4
MARGIN, GAP = 0.6, 0.35
BINS = 36
HASH = 12  # hexadecimal digits
MOST_PICTURE = 4.4  # inches, the height of a picture
_LINE = 1.35  # of the size of the letters
_WIDE = 0.52  # of the size of the letters: the mean width of one in DejaVu Sans
_RENDERED = 900  # px, the longer side of a picture
_SMALLEST = 5.5  # points, where much is to be said
_NOTICE = "Research use only. Not a medical device, not a diagnosis."
_AMBER = "#8a5a00"


@dataclass(frozen=True)
class Picture:
    """An image as the model sees it, uint8 (H, W), its map of the same shape or None, why there is none, lesions to outline as
    points (x, y) in the pixels, which view it is, and the SHA-256 hash of its file ("" if unknown, both)."""

    pixels: NDArray[np.uint8]
    heat: Heatmap | Evidence | None = None
    no_map: str = ""
    outlines: tuple[tuple[tuple[float, float], ...], ...] = ()
    view: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class Result:
    """What the model of the run of this name says: the prediction, the pictures it is about, and the validation scores among
    which its score is placed (None: not known)."""

    run: str
    card: ModelCard
    prediction: Prediction | BreastPrediction
    pictures: tuple[Picture, ...]
    reference: Reference | None = None


def result_page(results: Sequence[Result], *, name: str = "") -> bytes:
    """The page as a PDF.

    Args:
        results: of the same image or breast, by one model, or by two side by side.
        name: what the image is called on the page, such as its file name; "" to leave that out.

    Raises:
        ValueError: not one or two results, or one without a picture.
    """
    if len(results) not in (1, 2) or not all(result.pictures for result in results):
        raise ValueError("expected one or two results with a picture each")
    size = 9.0
    while True:
        figure, bottom = _drawn(results, name, size)
        if bottom >= MARGIN or size <= _SMALLEST:
            break
        size -= 0.5
    stream = io.BytesIO()
    # Letters are embedded as such: what the page says can be searched, and read aloud.
    with mpl.rc_context({"pdf.fonttype": 42}):
        figure.savefig(stream, format="pdf", metadata={"Creator": f"MammoLab {__version__}", "CreationDate": None})
    return stream.getvalue()


class _Page:
    """A column that is written from the top downwards; places in inches from the lower left corner."""

    def __init__(self, figure: Figure, left: float, top: float, width: float, size: float) -> None:
        self.figure, self.left, self.y, self.width, self.size = figure, left, top, width, size

    def write(
        self, text: str, *, size: float | None = None, color: str = INK, weight: str = "normal", indent: float = 0
    ) -> None:
        """A paragraph, broken into lines."""
        size = size or self.size
        letters = max(8, int(72 * self.width / (_WIDE * size)))
        for line in textwrap.wrap(text.replace(" %", "\u00a0%"), letters) or [""]:
            self.y -= _LINE * size / 72
            place = (self.left / WIDTH, self.y / HEIGHT)
            self.figure.text(*place, line, fontsize=size, color=color, fontweight=weight, va="bottom")

    def space(self, inches: float) -> None:
        self.y -= inches

    def axes(self, left: float, width: float, height: float) -> Any:
        """Axes whose top is here; they do not move what follows."""
        return self.figure.add_axes(
            (left / WIDTH, (self.y - height) / HEIGHT, width / WIDTH, height / HEIGHT), facecolor="none"
        )


def _drawn(results: Sequence[Result], name: str, size: float) -> tuple[Figure, float]:
    """The page with letters of this size, and where its longest column ends, in inches from the lower edge."""
    figure = Figure(figsize=(WIDTH, HEIGHT))
    FigureCanvasPdf(figure)
    head = _Page(figure, MARGIN, HEIGHT - MARGIN + 0.1, WIDTH - 2 * MARGIN, size)
    head.write("MammoLab: result of one image" if len(results[0].pictures) == 1 else "MammoLab: result of one breast", size=15)
    head.write(_NOTICE, size=10, color=_AMBER, weight="bold")
    hashes = [each.sha256[:HASH] for each in results[0].pictures if each.sha256]
    files = f"{'file' if len(hashes) == 1 else 'files'} {', '.join(hashes)} (first {HASH} digits of SHA-256)" if hashes else ""
    head.write(" · ".join(each for each in (name, files) if each), color=QUIET)
    head.space(0.15)
    width = (head.width - GAP * (len(results) - 1)) / len(results)
    ends = []
    for number, result in enumerate(results):
        column = _Page(figure, MARGIN + number * (width + GAP), head.y, width, size)
        _column(column, result)
        ends.append(column.y)
    foot = _Page(figure, MARGIN, MARGIN - 0.1, head.width, size)
    foot.write(
        f"Made by MammoLab {__version__}. A score orders images by how suspicious the model finds them; unless a calibrated "
        "probability is given, it is no probability.",
        size=7,
        color=QUIET,
    )
    return figure, min(ends)


def _column(page: _Page, result: Result) -> None:
    """Warnings, decision, place among validation images, pictures, and how it came about."""
    prediction, card = result.prediction, result.card
    page.write(f"Model: {result.run} ({card.architecture})", weight="bold")
    page.space(0.06)
    for warning in prediction.warnings:
        page.write(f"! {warning}", color=_AMBER)
    page.space(0.1)
    what = "breast" if isinstance(prediction, BreastPrediction) else "image"
    if prediction.decision is None:
        page.write(upper_first(prediction.verdict), size=page.size + 3, weight="bold", color=_AMBER)
        if prediction.score is not None:
            page.write("It was scored anyway, as was asked for. The score below is not to be relied on.")
    else:
        words = f"The model calls this {what} {prediction.decision}."
        page.write(
            words, size=page.size + 7 if page.width > 5 else page.size + 4, weight="bold", color=COLORS[prediction.decision]
        )
        if result.reference is not None and prediction.score is not None:
            page.write(result.reference.words(prediction.score))
            page.space(0.06)
            _strip(page, prediction.score, prediction.threshold, result.reference, what)
    page.space(0.12)
    _pictures(page, result.pictures)
    page.space(0.08)
    for words in _facts(result):
        page.write(words)


def _strip(page: _Page, score: float, threshold: float, reference: Reference, what: str) -> None:
    """Scores of benign (up) and malignant (down) validation images, this score and the threshold."""
    height = 0.75
    axes = page.axes(page.left, page.width, height)
    every = np.concatenate((reference.benign, reference.malignant, [score, threshold]))
    room = max(0.02 * float(np.ptp(every)), 0.002)
    low, high = float(every.min()) - room, float(every.max()) + room
    found = reference.histograms(low, high, BINS)
    largest = max(1e-9, *(float(each.max()) for each in found))
    edges = np.linspace(low, high, BINS + 1)
    middles, step = (edges[1:] + edges[:-1]) / 2, edges[1] - edges[0]
    for label, shares, sign in (("benign", found[0], 1), ("malignant", found[1], -1)):
        axes.bar(middles, sign * shares / largest, width=0.9 * step, color=COLORS[label], label=f"{label} validation images")
    axes.axhline(0, color=QUIET, linewidth=0.6)
    axes.axvline(threshold, color=QUIET, linewidth=1, linestyle="--", label=f"threshold {threshold:.3f}")
    axes.axvline(score, color=INK, linewidth=1.6, label=f"this {what} {score:.3f}")
    axes.set_xlim(low, high)
    axes.set_ylim(-1.1, 1.1)
    axes.set_yticks([])
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(labelsize=7, colors=INK, length=2)
    columns = 4 if page.width > 5 else 2
    axes.legend(
        loc="upper left",
        bbox_to_anchor=(0, -0.22),
        ncols=columns,
        fontsize=7,
        frameon=False,
        borderaxespad=0,
        labelcolor=INK,
        handlelength=1.2,
        columnspacing=1.2,
    )
    page.space(height + (0.42 if columns == 4 else 0.58))


def _pictures(page: _Page, pictures: Sequence[Picture]) -> None:
    """Each as the model sees it, and beside that with its map: a row a picture."""
    most = MOST_PICTURE / max(1, len(pictures) ** 0.9)
    for picture in pictures:
        shown = [("As the model sees it", render(picture.pixels, side=_RENDERED, outlines=picture.outlines))]
        if picture.heat is not None:
            drawn = render(picture.pixels, picture.heat, side=_RENDERED, outline=3, outlines=picture.outlines)
            shown.append(("Where the score comes from" if page.width > 5 else "Heatmap", drawn))
        each = (page.width - 0.15) / 2
        rows, columns = picture.pixels.shape
        height = min(most, each * rows / columns)
        page.y -= _LINE * 8 / 72
        for number, (title, pixels) in enumerate(shown):
            left = page.left + number * (each + 0.15)
            title = f"{picture.view}: {title}" if picture.view else title
            title = shortened(title, max(12, int(72 * each / (_WIDE * 8))))
            page.figure.text(left / WIDTH, page.y / HEIGHT, title, fontsize=8, color=INK, va="bottom")
            width = min(each, height * columns / rows)
            axes = page.axes(left, width, height)
            axes.imshow(pixels, aspect="auto", interpolation="none")
            axes.set_axis_off()
        page.space(height + 0.05)
        if picture.heat is None and picture.no_map:
            page.write(f"No heatmap: {picture.no_map}.", color=QUIET)
        if picture.outlines:
            page.write("White line: lesion, as the data set draws it.", color=QUIET, size=7)


def _facts(result: Result) -> list[str]:
    """How the result came about, a line each."""
    prediction, card, reference = result.prediction, result.card, result.reference or NO_REFERENCE
    lines = []
    if prediction.score is not None:
        basis = getattr(prediction, "threshold_basis", "")
        target = card.target_sensitivity
        chosen = "" if target is None else f", chosen on validation for {target:.2f} sensitivity"
        lines.append(
            f"Score {prediction.score:.3f}, threshold {prediction.threshold:.3f}{f', {basis}' if basis else ''}{chosen}."
        )
        if prediction.decision is not None and not basis:
            lines.append(reference.errors(prediction.threshold))
        lines.append(
            "No calibrated probability is given."
            if prediction.calibrated is None
            else reference.probability(prediction.calibrated)
        )
    weights = f", weights {card.weights_sha256[:12]}" if card.weights_sha256 else ""
    trained = f"trained {card.created[:16].replace('T', ' ')}, " if card.created else ""
    trained += card.cost or f"best epoch {card.best_epoch or '–'}"
    lines.append(f"Model {trained}{weights}; preprocessing {card.recipe_hash[:12] or '–'}.")
    return [line for line in lines if line]
