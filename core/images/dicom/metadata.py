"""ImageMeta from a DICOM header; never who it shows."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.uid import UID

from core.images.dicom.elements import items, number_of, numbers_of, text_of
from core.images.dicom.identity import identity_of, without_identity
from core.images.dicom.views import implant_of, laterality_of, modifiers_of, view_of
from core.images.mammogram import ImageMeta
from core.images.pseudonym import pseudonym

_MAX_SPACING = 10.0  # mm
_INTENTS = ("FOR PRESENTATION", "FOR PROCESSING")
# Storage SOP classes (below 1.2.840.10008.5.1.4.1.1) that one modality alone writes. Computed and digital radiography,
# secondary captures and multi-frame copies are not among them: mammograms have been stored as each of these.
_STORAGE = "1.2.840.10008.5.1.4.1.1."
_CLASSES = {
    **dict.fromkeys(("1.2", "1.2.1", "13.1.3", "13.1.4", "13.1.5"), "MG"),
    **dict.fromkeys(("2", "2.1", "2.2"), "CT"),
    **dict.fromkeys(("4", "4.1", "4.2", "4.3", "4.4"), "MR"),
    **dict.fromkeys(("3.1", "6.1", "6.2"), "US"),
    **dict.fromkeys(("1.3", "1.3.1"), "IO"),
    **dict.fromkeys(("12.1", "12.1.1"), "XA"),
    **dict.fromkeys(("12.2", "12.2.1"), "RF"),
    **dict.fromkeys(("128", "128.1", "130"), "PT"),
    "20": "NM",
    "481.1": "RTIMAGE",
    "481.2": "RTDOSE",
    "66.4": "SEG",
}
_RADIOGRAPHY = ("1", "1.1", "1.1.1")  # computed and digital: of other parts of the body as a rule


def read_meta(ds: Dataset) -> ImageMeta:
    """Collect the metadata of a DICOM data set; anything absent or malformed stays empty.

    Raises:
        LabError: the key for pseudonyms cannot be stored (see core.images.pseudonym).
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
        modality=_modality(ds),
        body_part=without_identity(_body_part(ds), identity),
        other_storage=_other_storage(ds),
        synthetic=any("SYNTHETIC" in text_of(ds, name).upper() for name in ("SeriesDescription", "ImageComments")),
    )


def _spacing(ds: Dataset) -> tuple[float, float] | None:
    for name in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        numbers = numbers_of(ds, name)
        if len(numbers) == 2 and all(0 < number < _MAX_SPACING for number in numbers):
            return (numbers[0], numbers[1])
    return None


def _modality(ds: Dataset) -> str:
    """DICOM's code, or that of the SOP class where the file has none; "" when neither says."""
    modality = text_of(ds, "Modality").strip().upper()
    if modality and modality.isalpha():  # a code string of letters; anything else is no modality
        return modality
    return _CLASSES.get(_storage(ds), "")


def _storage(ds: Dataset) -> str:
    """The SOP class below that of storage, such as "1.2" for mammograms; "" for any other."""
    kind = text_of(ds, "SOPClassUID")
    return kind.removeprefix(_STORAGE) if kind.startswith(_STORAGE) else ""


def _other_storage(ds: Dataset) -> str:
    storage = _storage(ds)
    other = storage in _RADIOGRAPHY or _CLASSES.get(storage, "MG") != "MG"
    return str(UID(_STORAGE + storage).name) if other else ""


def _body_part(ds: Dataset) -> str:
    part = text_of(ds, "BodyPartExamined").strip()
    if part:
        return part
    regions = items(ds, "AnatomicRegionSequence")
    return text_of(regions[0], "CodeMeaning").strip() if regions else ""
