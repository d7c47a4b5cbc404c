"""Descriptions of an inspection: what each step did, the file's metadata, the size of a pixel in millimetres."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from core.config import Recipe
from core.images.mammogram import ImageMeta, Step

if TYPE_CHECKING:
    from core.inspection.result import Inspection

Shape = tuple[int, ...]

_TITLES = {
    "original": "As read",
    "clahe": "CLAHE",
    "pectoral": "Pectoral muscle",
    "resize": "Model input",
}
_INTENT = {
    "FOR PRESENTATION": "FOR PRESENTATION",
    "FOR PROCESSING": "FOR PROCESSING (raw detector data, without the vendor's processing)",
}


def title(name: str) -> str:
    """A step's name as a heading."""
    return _TITLES.get(name, name[:1].upper() + name[1:])


def what_changed(step: Step, shape: Shape, before: Shape | None) -> str:
    """One sentence on what a step did; `shape` (height, width) after it, `before` that of the step before, if any."""
    say = _SENTENCES.get(step.name)
    return say(step.parameters, shape, before or shape) if say else parameter_words(step.parameters)


def parameter_words(parameters: dict[str, Any]) -> str:
    """Parameters in a line: `clip limit 2, tile grid 8`."""
    return ", ".join(f"{name.replace('_', ' ')} {value_words(value)}" for name, value in parameters.items())


def value_words(value: Any) -> str:
    """One value as a person reads it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(value_words(item) for item in value)
    return "–" if value is None else str(value)


def facts(meta: ImageMeta, shape: Shape, *, pseudonym: bool = False) -> list[tuple[str, str]]:
    """What a file says about itself, (name, value), nothing empty. Never a name, an identifier or a date.

    `pseudonym`: also the patient's keyed pseudonym, which links a person's images to each other.
    """
    rows = [
        ("Format", meta.format),
        ("Size", f"{_size(shape)}, {meta.bits_stored} bit"),
        ("Modality", meta.modality or ("not given" if meta.format == "DICOM" else "")),
        ("Body part", meta.body_part),
        ("Laterality", {"L": "left", "R": "right"}.get(meta.laterality, "not given")),
        ("View", " ".join([meta.view, *(f"({code})" for code in meta.view_modifiers)]).strip() or "not given"),
        ("Pixel spacing", f"{_spacing(meta.pixel_spacing)} mm" if meta.pixel_spacing else "not given"),
        ("Implant", {True: "yes", False: "no", None: ""}[meta.implant]),
        ("Manufacturer", meta.manufacturer),
        ("Model", meta.model_name),
        ("Intent", _INTENT.get(meta.presentation_intent, meta.presentation_intent)),
        ("Frame", f"{meta.frame + 1} of {meta.frames}" if meta.frames > 1 else ""),
        ("Windows", "; ".join(f"{number}: {text}" for number, text in enumerate(meta.windows, start=1))),
        ("Photometric interpretation", meta.photometric_interpretation),
        ("Transfer syntax", _syntax(meta.transfer_syntax)),
        ("Synthetic", "yes: not a real mammogram" if meta.synthetic else ""),
        ("Pseudonym", (meta.patient or "none: the file names no patient") if pseudonym else ""),
    ]
    return [(name, value) for name, value in rows if value]


def recipe_facts(recipe: Recipe) -> list[tuple[str, str]]:
    """Every value of a recipe under its title."""
    fields = Recipe.model_fields
    values = recipe.model_dump()
    if isinstance(values["size"], (list, tuple)):
        values["size"] = " × ".join(map(str, values["size"]))
    return [(fields[name].title or name, value_words(value)) for name, value in values.items()]


def geometry(inspection: Inspection) -> str:
    """What one pixel of the model's input is, in pixels of the file and, where the spacing is known, in millimetres."""
    matrix = inspection.prepared.matrix
    down, across = 1 / abs(float(matrix[1, 1])), 1 / abs(float(matrix[0, 0]))
    x0, y0, x1, y1 = inspection.prepared.breast
    height, width = inspection.prepared.pixels.shape
    of_file = f"{down:.3g}" if f"{down:.3g}" == f"{across:.3g}" else f"{down:.3g} × {across:.3g}"
    text = f"The model sees {_size((height, width))}, of which {_size((y1 - y0, x1 - x0))} are image. One of its pixels is "
    if inspection.spacing is None:
        return f"{text}{of_file} of the file's; the file does not say how many millimetres."
    row, column = inspection.spacing
    area = f"{(y1 - y0) * row:.0f} × {(x1 - x0) * column:.0f} mm"
    return f"{text}{_spacing((row, column))} mm ({of_file} of the file's); the image is {area}, height × width."


def _size(shape: Shape) -> str:
    return f"{shape[1]} × {shape[0]} px"


def _spacing(spacing: tuple[float, float]) -> str:
    row, column = (f"{value:.3g}" for value in spacing)
    return row if row == column else f"{row} × {column}"


def _syntax(uid: str) -> str:
    if not uid:
        return ""
    from pydicom.uid import UID

    name = UID(uid).name
    return uid if name == uid else f"{name} ({uid})"


def _original(parameters: dict[str, Any], shape: Shape, before: Shape) -> str:
    return f"The image as the file says it should be shown, {_size(shape)}."


def _polarity(parameters: dict[str, Any], shape: Shape, before: Shape) -> str:
    why = {"invert": "as the recipe says", "keep": "as the recipe says"}.get(str(parameters.get("mode")), "")
    if parameters.get("inverted"):
        return f"Turned {why}: air is black now." if why else "Turned: it was stored inverted, with white air."
    return f"Kept {why}." if why else "Kept: air is taken to be black already."


def _background(parameters: dict[str, Any], shape: Shape, before: Shape) -> str:
    share = parameters.get("breast")
    return "Everything outside the breast is black" + (f"; the breast is {share}." if share else ".")


def _pectoral(parameters: dict[str, Any], shape: Shape, before: Shape) -> str:
    if parameters.get("found"):
        return f"The pectoral muscle is black: {parameters['area']}."
    return f"Nothing was removed: {parameters['reason']}."


def _crop(parameters: dict[str, Any], shape: Shape, before: Shape) -> str:
    share = shape[0] * shape[1] / (before[0] * before[1])
    return f"Cut to the breast: {_size(shape)}, {share:.0%} of the area is left."


def _orientation(parameters: dict[str, Any], shape: Shape, before: Shape) -> str:
    mirrored = parameters.get("mirrored")
    return "Mirrored: the chest wall was on the right." if mirrored else "Kept: the chest wall is on the left already."


def _window(parameters: dict[str, Any], shape: Shape, before: Shape) -> str:
    low, high = (value_words(parameters.get(name)) for name in ("low", "high"))
    lower, upper = (value_words(value) for value in parameters.get("percentiles", ("–", "–")))
    gamma = f" Gamma {value_words(parameters['gamma'])}." if "gamma" in parameters else ""
    return f"Grey level {low} is black, {high} is white: percentiles {lower} and {upper} of the breast.{gamma}"


def _clahe(parameters: dict[str, Any], shape: Shape, before: Shape) -> str:
    limit, grid = (value_words(parameters.get(name)) for name in ("clip_limit", "tile_grid"))
    return f"Local contrast raised in {grid} × {grid} tiles, clip limit {limit}."


def _resize(parameters: dict[str, Any], shape: Shape, before: Shape) -> str:
    return f"From {_size(before)} to {_size(shape)}, aspect ratio kept, the rest black. This is what the model sees."


_SENTENCES: dict[str, Callable[[dict[str, Any], Shape, Shape], str]] = {
    "original": _original,
    "polarity": _polarity,
    "background": _background,
    "pectoral": _pectoral,
    "crop": _crop,
    "orientation": _orientation,
    "window": _window,
    "clahe": _clahe,
    "resize": _resize,
}
