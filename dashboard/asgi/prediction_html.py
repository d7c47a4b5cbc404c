"""The result of the Test image tab for one image, as HTML: the decision in words, its place among known images, pictures.

Plain HTML, so that pictures have alternative texts, no file of an image is written for the browser, and opacity changes in the
browser alone (frontend/verdict.js).
"""

from __future__ import annotations

import base64
import html
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.images.encode import encode_jpeg
from core.metrics.placing import Reference
from core.model.card import ModelCard
from core.prediction import Prediction
from core.wording import upper_first

BINS = 36  # bars of the strip, a class
BAR = 26  # px, the highest one
SIDE = 768  # px; small inputs are enlarged to about this, so that the outline is thin
OUTLINED = 0.3  # of the map's own peak: where the outline runs
_FULL = '<svg viewBox="0 0 16 16" aria-hidden="true"><path d="M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4"/></svg>'
_SWIPE = (
    '<i class="split" aria-hidden="true"></i><input type="range" name="split" min="0" max="100" aria-label="Before and after">'
)
_drawn = itertools.count()
OPACITY = 0.7  # of the map, at first
_WIDTH = 600  # of the strip, in its own units

WAIT = '<div class="verdict" role="status"><p class="hint">Scoring …</p></div>'
HINT = (
    '<div class="verdict"><div class="hint"><p>Upload mammograms or choose an example. Then you will see here:</p><ol>'
    "<li>what the model decides, and warnings, if any,</li>"
    "<li>where the score lies among those of validation images,</li>"
    "<li>what the model sees, and where in the image the score comes from.</li></ol></div></div>"
)


def decided(prediction: Prediction, reference: Reference | None, *, name: str, no_map: str) -> str:
    """Warnings, then the decision in words and the place among validation images; `no_map`: why there is no heatmap.

    The score of an image that gets no verdict is marked as such, and not placed.
    """
    assert prediction.score is not None
    lines = [_name(name), notes([*prediction.warnings, *([f"No heatmap: {no_map}."] if no_map else [])])]
    if prediction.decision is None:
        lines.append(f'<div class="error"><b>Scored anyway.</b> {html.escape(prediction.verdict)}</div>')
    else:
        lines.append(f'<p class="decision {prediction.decision}">The model calls this image <b>{prediction.decision}</b>.</p>')
        if reference is not None:
            lines.append(f'<p class="place">{html.escape(reference.words(prediction.score))}</p>')
            lines.append(strip(prediction.score, prediction.threshold, reference))
    return f'<div class="verdict" role="status">{"".join(lines)}</div>'


def details(prediction: Prediction, card: ModelCard, reference: Reference) -> str:
    """The score, the threshold and its errors on validation, the calibrated probability: what stands below the pictures."""
    target = card.target_sensitivity
    chosen = "" if target is None else f" (chosen for {target:.2f} sensitivity on validation)"
    if prediction.calibrated is None:
        means = "" if prediction.decision is None else " A score is not a probability."
    else:
        means = f" <b>{html.escape(reference.probability(prediction.calibrated))}</b>"
    if prediction.decision is not None and not prediction.threshold_basis:  # those counted are of all views
        means = f" {html.escape(reference.errors(prediction.threshold))}{means}"
    return (
        f'<div class="verdict"><p class="small">Score <span class="score">{prediction.score:.3f}</span>, '
        f"the model's threshold {html.escape(prediction.threshold_words)}{chosen}.{means}{_cost(card)}</p></div>"
    )


def _cost(card: ModelCard) -> str:
    return f" {html.escape(upper_first(card.cost))}." if card.cost else ""


def refused(prediction: Prediction, *, name: str = "") -> str:
    """Why there is no verdict, where it would be; then what else there is to know."""
    reason = f'<div class="error"><b>{html.escape(prediction.verdict)}</b></div>'
    return f'<div class="verdict" role="status">{_name(name)}{reason}{notes(prediction.warnings)}</div>'


def failed(text: str) -> str:
    """An error where the verdict would be."""
    return f'<div class="verdict" role="alert"><div class="error">{html.escape(text)}</div></div>'


def columns(contents: Sequence[str], titles: Sequence[str] = ()) -> str:
    """Several results beside each other, each under its title, if there are titles."""
    heads = [f"<h3>{html.escape(title)}</h3>" for title in titles] or [""] * len(contents)
    parts = (f"<section>{head}{content}</section>" for head, content in zip(heads, contents, strict=True))
    return f'<div class="sides">{"".join(parts)}</div>'


def _name(name: str) -> str:
    return f'<div class="small">{html.escape(name)}</div>' if name else ""


def notes(texts: Sequence[str]) -> str:
    """Warnings as a list; "" for none."""
    return '<ul class="notes">' + "".join(f"<li>{html.escape(text)}</li>" for text in texts) + "</ul>" if texts else ""


# ---------------------------------------------------------------- the place among known images


def strip(score: float, threshold: float, reference: Reference) -> str:
    """The scores of benign (up) and malignant (down) validation images as bars, with this image and the threshold."""
    every = np.concatenate((reference.benign, reference.malignant, [score, threshold]))
    low, high = float(every.min()), float(every.max())
    room = max(0.02 * (high - low), 0.002)
    low, high = low - room, high + room
    found = reference.histograms(low, high, BINS)
    largest = max(1e-9, *(each.max() for each in found))
    middle, step = BAR + 2, _WIDTH / BINS
    bars = []
    for name, shares, sign in (("benign", found[0], -1), ("malignant", found[1], 1)):
        for place, share in enumerate(shares):
            height = BAR * share / largest
            if height > 0:
                top = middle - 1 - height if sign < 0 else middle + 1
                size = f'width="{step - 1:.1f}" height="{height:.1f}"'
                bars.append(f'<rect class="{name}" x="{place * step + 0.5:.1f}" y="{top:.1f}" {size}/>')
    here, edge = ((value - low) / (high - low) for value in (score, threshold))
    bottom = 2 * middle
    lines = "".join(
        f'<line class="{name}" x1="{_WIDTH * at:.1f}" x2="{_WIDTH * at:.1f}" y1="0" y2="{bottom}"/>'
        for name, at in (("edge", edge), ("here", here))
    )
    words = f"{reference.words(score)} The model's threshold is {threshold:.3f}, the score of this image {score:.3f}."
    return (
        f'<div class="strip" role="img" aria-label="{html.escape(words)}">{_label("this image", here)}'
        f'<svg viewBox="0 0 {_WIDTH} {bottom}" preserveAspectRatio="none" style="height:{bottom}px" aria-hidden="true">'
        f'<line class="axis" x1="0" x2="{_WIDTH}" y1="{middle}" y2="{middle}"/>{"".join(bars)}{lines}</svg>'
        f'{_label("threshold", edge)}</div><p class="small key" aria-hidden="true"><span><i class="benign"></i> benign '
        'validation images (above the line)</span> <span><i class="malignant"></i> malignant (below)</span></p>'
    )


def _label(words: str, place: float) -> str:
    """Centred at `place`, a share of the width, but within the strip."""
    name = words.replace(" ", "-")
    return f'<div class="label {name}"><span style="left:{place:.1%};transform:translateX(-{place:.1%})">{words}</span></div>'


# ---------------------------------------------------------------- pictures


def pictures(
    pixels: NDArray[np.uint8] | None,
    values: NDArray[np.float32] | None,
    *,
    name: str,
    outlines: Sequence[Sequence[tuple[float, float]]] = (),
) -> str:
    """What the model sees, uint8 (H, W), and its map, float32 (H, W) in [0, 1], over it; "" without an image.

    `outlines` of lesions, points (x, y) in `pixels`, are drawn on both, and can be switched off.
    """
    if pixels is None:
        return ""
    seen, film = _films(pixels, values, name, outlines)
    plain = _figure("What the model sees", seen)
    if film is None:
        return f'<div class="pictures one">{plain}</div>{_controls(with_map=False, with_lesions=bool(outlines))}'
    both = plain + _figure("Where the score comes from", film)
    return f'<div class="pictures">{both}</div>{_controls(with_map=True, with_lesions=bool(outlines))}'


def pictures_of_models(shown: Sequence[ModelPicture]) -> str:
    """An image by several models, a picture each with the map over it: the slider and "Hold to hide" show what is below."""
    figures = []
    for each in shown:
        if each.pixels is None:
            figures.append(f"<figure><figcaption>{html.escape(each.title)}: no picture</figcaption></figure>")
            continue
        seen, film = _films(each.pixels, each.values, each.name, each.outlines)
        figures.append(_figure(html.escape(each.title), film or seen))
    with_map = any(each.values is not None for each in shown)
    controls = _controls(with_map=with_map, with_lesions=any(each.outlines for each in shown))
    return f'<div class="pictures">{"".join(figures)}</div>{controls}'


@dataclass(frozen=True)
class ModelPicture:
    """What `pictures` takes, and the title over it."""

    title: str
    pixels: NDArray[np.uint8] | None
    values: NDArray[np.float32] | None
    name: str
    outlines: Sequence[Sequence[tuple[float, float]]] = ()


def _films(
    pixels: NDArray[np.uint8], values: NDArray[np.float32] | None, name: str, outlines: Sequence[Sequence[tuple[float, float]]]
) -> tuple[str, str | None]:
    """The image alone, and with its map over it, None without one; both with lines round lesions."""
    height, width = pixels.shape
    factor = max(1, round(SIDE / max(height, width)))
    source = _data(_enlarged(pixels, factor))
    title = html.escape(name)
    lines = _lines(outlines, width, height)
    seen = f'<img src="{source}" alt="{title} as the model sees it, {width} × {height} pixels">{lines}'
    if values is None:
        return seen, None
    where = html.escape(_whereabouts(values))
    tinted = _data(_outlined(pixels, values, factor))
    return seen, f'<img src="{source}" alt="{title}; {where}"><img class="map" alt="" src="{tinted}">{lines}{_SWIPE}'


def _controls(*, with_map: bool, with_lesions: bool) -> str:
    """What changes how pictures look; "" where nothing does."""
    from core.gradcam import colours_of

    switch = '<label><input type="checkbox" name="lesions" checked> Lesion outlines (of the data set)</label>'
    parts = [switch] if with_lesions else []
    if with_map:
        stops = ",".join("rgb({},{},{})".format(*colour) for colour in colours_of("inferno")[::32])
        parts = [
            '<label><input type="checkbox" name="map" checked> Heatmap</label>',
            f'<label>Opacity <input type="range" name="opacity" min="0" max="1" step="0.05" value="{OPACITY}"></label>',
            '<label><input type="checkbox" name="swipe"> Before/after slider</label>',
            '<button type="button" class="hold">Hold to hide</button>',
            *parts,
            f'<span class="bar"><span>none</span><i style="background:linear-gradient(to right,{stops})"></i>'
            f"<span>this image's peak; line: {100 * OUTLINED:.0f} % of it</span></span>",
        ]
    return f'<div class="look">{"".join(parts)}</div>' if parts else ""


def _lines(outlines: Sequence[Sequence[tuple[float, float]]], width: int, height: int) -> str:
    """Closed lines over a picture of this size; "" for none."""
    if not outlines:
        return ""
    points = [" ".join(f"{x:.2f},{y:.2f}" for x, y in each) for each in outlines]
    drawn = "".join(f'<polygon class="{kind}" points="{each}"/>' for kind in ("halo", "line") for each in points)
    return f'<svg class="lesions" viewBox="0 0 {width} {height}" aria-hidden="true">{drawn}</svg>'


def _figure(title: str, film: str) -> str:
    button = f'<button type="button" class="full" aria-label="{title}: full screen">{_FULL}</button>'
    return f'<figure><figcaption>{title}</figcaption><div class="film">{film}{button}</div></figure>'


def _whereabouts(values: NDArray[np.float32]) -> str:
    """Where a map is strongest, in words, for whoever does not see it."""
    if not np.isfinite(values).all() or not values.max() > 0:
        return "the heatmap is empty"
    y, x = np.unravel_index(int(np.argmax(values)), values.shape)
    rows, columns = ("upper", "middle", "lower"), ("left", "centre", "right")
    return f"the heatmap is strongest in the {rows[int(3 * y // values.shape[0])]} {columns[int(3 * x // values.shape[1])]}"


def _outlined(pixels: NDArray[np.uint8], values: NDArray[np.float32], factor: int) -> NDArray[np.uint8]:
    """The image under the whole map, RGB, with a line around what has at least OUTLINED of its peak.

    Shown at some opacity over the image it equals `core.gradcam.overlay` at that opacity.
    """
    import cv2

    from core.gradcam import overlay

    tinted = _enlarged(overlay(pixels, values, 1.0), factor)
    large = _enlarged(values, factor)
    if values.max() > 0:
        found, _ = cv2.findContours(
            (large >= OUTLINED * values.max()).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        for colour, thickness in (((0, 0, 0), 4), ((255, 255, 255), 2)):  # seen on white tissue, too
            cv2.drawContours(tinted, found, -1, colour, thickness, cv2.LINE_AA)
    return tinted


def _enlarged(image: NDArray[Any], factor: int) -> NDArray[Any]:
    import cv2

    if factor == 1:
        return np.ascontiguousarray(image)
    size = image.shape[1] * factor, image.shape[0] * factor
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR))


def _data(image: NDArray[np.uint8]) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(encode_jpeg(image, 92)).decode('ascii')}"


# ---------------------------------------------------------------- examples


def examples(items: Sequence[tuple[bytes, str]]) -> str:
    """Small images (JPEG) with captions as buttons, none of which is chosen."""
    if not items:
        return ""
    buttons = []
    for place, (jpeg, caption) in enumerate(items):
        label = html.escape(caption)
        source = base64.b64encode(jpeg).decode("ascii")
        buttons.append(
            f'<button type="button" data-index="{place}" aria-pressed="false" '
            f'aria-label="Example {place + 1}, {label}">'
            f'<img alt="" src="data:image/jpeg;base64,{source}"><span>{label}</span></button>'
        )
    # The browser redraws, and thereby resets which was pressed, only what differs.
    return f'<div class="examples" role="group" aria-label="Examples" data-drawn="{next(_drawn)}">{"".join(buttons)}</div>'
