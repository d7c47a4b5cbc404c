"""Mammogram, ImageMeta and Step: what every reader produces."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]
Laterality = Literal["L", "R", ""]


@dataclass(frozen=True)
class Step:
    """One thing that was done to an image, with its parameters."""

    name: str
    parameters: dict[str, Any] = field(default_factory=dict)
    milliseconds: float = 0.0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImageMeta:
    """What is known about a mammogram. Never a name, an identifier or a date.

    `patient` is a keyed pseudonym (see core.images.pseudonym) or "" when the file names no patient.
    `pixel_spacing` is (row, column) in mm (DICOM PixelSpacing, or ImagerPixelSpacing at the detector).
    `view_modifiers` are codes of DICOM CID 4015: M magnified, S spot compression, ID implant displaced, ...
    `implant` is None where the file does not say.
    `frame` is the frame taken, from 0, of `frames`.
    `windows` describes, in order, the VOI LUTs and windows that `read(window=1, 2, ...)` chooses from.
    `burned_in` is DICOM's Burned In Annotation (0028,0301), None where the file does not say.
    `presentation_intent` is "FOR PRESENTATION", "FOR PROCESSING" or "" (DICOM PresentationIntentType).
    `modality` is DICOM's (0008,0060), such as "MG"; where the file does not say, that of its SOP class as far as it has one;
    else "". `body_part` is what the file says was examined, as it is written there, "" where it does not say.
    `other_storage` is the name of the DICOM SOP class where that is one of other images than mammograms ("CT Image Storage"),
    "" where it is not or the file does not say.
    `coloured` says whether the file's pixels have colour; `grey_levels` is how many the picture really uses, 256 at most (see
    core.images.grey_level_count): a mask has two.
    """

    format: str = ""
    patient: str = ""
    laterality: Laterality = ""
    view: str = ""
    view_modifiers: tuple[str, ...] = ()
    implant: bool | None = None
    pixel_spacing: tuple[float, float] | None = None
    bits_stored: int = 8
    manufacturer: str = ""
    model_name: str = ""
    presentation_intent: str = ""
    burned_in: bool | None = None
    photometric_interpretation: str = ""
    transfer_syntax: str = ""
    synthetic: bool = False
    frames: int = 1
    frame: int = 0
    windows: tuple[str, ...] = ()
    modality: str = ""
    body_part: str = ""
    other_storage: str = ""
    coloured: bool = False
    grey_levels: int = 256


@dataclass(frozen=True)
class Mammogram:
    """A mammogram as the file says it should be shown.

    `pixels` is float32 (height, width) in [0, 1]: 0 is air, 1 is the densest (MONOCHROME2 sense).
    `steps` are what the reader did, in order.
    """

    pixels: Pixels
    meta: ImageMeta
    steps: tuple[Step, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the reader was unsure about."""
        return tuple(warning for step in self.steps for warning in step.warnings)
