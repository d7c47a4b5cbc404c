"""What a DICOM header says about a mammogram; never who it shows."""

from __future__ import annotations

from pydicom.dataset import Dataset

from core.images.dicom_elements import number_of, numbers_of, text_of
from core.images.dicom_identity import identity_of, without_identity
from core.images.dicom_views import implant_of, laterality_of, modifiers_of, view_of
from core.images.mammogram import ImageMeta
from core.images.pseudonym import pseudonym

_MAX_SPACING = 10.0  # mm
_INTENTS = ("FOR PRESENTATION", "FOR PROCESSING")


def read_meta(ds: Dataset) -> ImageMeta:
    """Collect the metadata of a DICOM data set; anything absent or malformed stays empty.

    Raises:
        LabError: the key for pseudonyms cannot be kept (see core.images.pseudonym).
    """
    syntax = ds.file_meta.TransferSyntaxUID if hasattr(ds, "file_meta") else ""
    identity = identity_of(ds)
    intent = text_of(ds, "PresentationIntentType").upper()
    modifiers = modifiers_of(ds)
    return ImageMeta(
        format="DICOM",
        patient=pseudonym(text_of(ds, "PatientID")),
        laterality=laterality_of(ds),
        view=view_of(ds),
        view_modifiers=modifiers,
        implant=implant_of(ds, modifiers),
        pixel_spacing=_spacing(ds),
        bits_stored=int(number_of(ds, "BitsStored") or number_of(ds, "BitsAllocated") or 8),
        manufacturer=without_identity(text_of(ds, "Manufacturer"), identity),
        model_name=without_identity(text_of(ds, "ManufacturerModelName"), identity),
        burned_in={"YES": True, "NO": False}.get(text_of(ds, "BurnedInAnnotation").upper()),
        presentation_intent=intent if intent in _INTENTS else "",
        photometric_interpretation=without_identity(text_of(ds, "PhotometricInterpretation"), identity),
        transfer_syntax=str(syntax),
        synthetic=any("SYNTHETIC" in text_of(ds, name).upper() for name in ("SeriesDescription", "ImageComments")),
    )


def _spacing(ds: Dataset) -> tuple[float, float] | None:
    for name in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        numbers = numbers_of(ds, name)
        if len(numbers) == 2 and all(0 < number < _MAX_SPACING for number in numbers):
            return (numbers[0], numbers[1])
    return None
