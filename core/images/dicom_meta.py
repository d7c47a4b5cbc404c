"""What a DICOM header says about a mammogram, from every place where vendors put it; never who it shows.

Names, identifiers and dates are not even parsed: `dicom.py` reads only the elements listed there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from core.images.mammogram import ImageMeta, Laterality
from core.images.pseudonym import pseudonym

# View codes: SNOMED CT, then the older SNOMED RT code of the same concept (CID 4014).
_VIEW_CODES = {
    ("399162004", "R-10242"): "CC",
    ("399368009", "R-10226"): "MLO",
    ("399260004", "R-10224"): "ML",
    ("399352003", "R-10228"): "LM",
    ("399099002", "R-10230"): "LMO",
    ("399192008", "R-1024A"): "XCCL",
    ("399101009", "R-1024B"): "XCCM",
    ("399196006", "R-10244"): "FB",
    ("399188001", "R-102D0"): "SIO",
    ("441555000", "R-40AAA"): "ISO",
    ("399011000", "R-1024D"): "AT",
    ("399161006", "R-102D5"): "CV",
    ("127457009", "G-8310"): "SPECIMEN",
}
_VIEWS_BY_CODE = {code: view for codes, view in _VIEW_CODES.items() for code in codes}
_VIEW_MEANINGS = (
    ("exaggeratedlaterally", "XCCL"),
    ("exaggeratedmedially", "XCCM"),
    ("superolateral", "SIO"),
    ("inferomedial", "ISO"),
    ("mediolateraloblique", "MLO"),
    ("lateromedialoblique", "LMO"),
    ("mediolateral", "ML"),
    ("lateromedial", "LM"),
    ("craniocaudal", "CC"),
    ("caudocranial", "FB"),
)
_VIEW_WORD = r"(XCCL|XCCM|XCC|MLO|LMO|CC|ML|LM|SIO|ISO|FB|AT|CV)"
_VIEW_TEXT = re.compile(rf"(?:^|[^A-Z])(?:([LR])[\s_.-]?)?{_VIEW_WORD}(?:ID|MAG)?(?:$|[^A-Z])")
_FREE_TEXT = ("ViewPosition", "SeriesDescription", "ProtocolName", "AcquisitionDeviceProcessingDescription")


def read_meta(ds: Dataset) -> ImageMeta:
    """Collect the metadata of a DICOM data set; anything absent or malformed stays empty.

    Raises:
        LabError: the key for pseudonyms cannot be kept (see core.images.pseudonym).
    """
    syntax = getattr(ds, "file_meta", {}).get("TransferSyntaxUID", "")
    return ImageMeta(
        format="DICOM",
        patient=pseudonym(_text(ds, "PatientID")),
        laterality=_laterality(ds),
        view=_view(ds),
        pixel_spacing=_spacing(ds),
        bits_stored=_integer(ds, "BitsStored") or _integer(ds, "BitsAllocated") or 8,
        manufacturer=_text(ds, "Manufacturer"),
        model_name=_text(ds, "ManufacturerModelName"),
        presentation_intent=_text(ds, "PresentationIntentType").upper(),
        photometric_interpretation=_text(ds, "PhotometricInterpretation"),
        transfer_syntax=str(syntax),
        synthetic=any("SYNTHETIC" in _text(ds, name).upper() for name in ("SeriesDescription", "ImageComments")),
    )


def _laterality(ds: Dataset) -> Laterality:
    candidates = [_text(ds, "ImageLaterality"), _text(ds, "Laterality")]
    candidates += [_text(item, "FrameLaterality") for item in _functional_group_items(ds, "FrameAnatomySequence")]
    candidates += [match.group(1) or "" for match in _text_matches(ds)]
    for text in candidates:
        letter = text.strip().upper()[:1]
        if letter in ("L", "R"):
            return "L" if letter == "L" else "R"
    return ""


def _view(ds: Dataset) -> str:
    for item in _items(ds, "ViewCodeSequence"):
        code = _text(item, "CodeValue")
        meaning = re.sub(r"[^a-z]", "", _text(item, "CodeMeaning").lower())
        view = _VIEWS_BY_CODE.get(code) or next((view for words, view in _VIEW_MEANINGS if words in meaning), "")
        if view:
            return view
    for match in _text_matches(ds):
        return match.group(2)
    position = _text(ds, "ViewPosition").upper()
    return position if re.fullmatch(r"[A-Z]{1,5}", position) else ""


def _text_matches(ds: Dataset) -> Iterator[re.Match[str]]:
    for name in _FREE_TEXT:
        match = _VIEW_TEXT.search(_text(ds, name).upper())
        if match:
            yield match


def _spacing(ds: Dataset) -> tuple[float, float] | None:
    places = [(ds, "PixelSpacing"), (ds, "ImagerPixelSpacing"), (ds, "NominalScannedPixelSpacing")]
    places += [(item, "PixelSpacing") for item in _functional_group_items(ds, "PixelMeasuresSequence")]
    for holder, name in places:
        try:
            row, column = (float(value) for value in holder.get(name) or ())
        except (TypeError, ValueError):
            continue
        if 0 < row < 10 and 0 < column < 10:
            return (row, column)
    return None


def _functional_group_items(ds: Dataset, name: str) -> Iterator[Dataset]:
    for group in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for item in _items(ds, group)[:1]:
            yield from _items(item, name)


def _items(ds: Dataset, name: str) -> list[Dataset]:
    try:
        value = ds.get(name)
    except (ValueError, TypeError, AttributeError, KeyError, NotImplementedError, OSError):
        return []  # a sequence that cannot be parsed says nothing
    return list(value) if isinstance(value, Sequence) else []


def _text(ds: Dataset, name: str) -> str:
    """An element as one line of text; "" when it is absent or cannot be parsed."""
    try:
        value: Any = ds.get(name)
    except (ValueError, TypeError, AttributeError, KeyError, NotImplementedError, OSError):
        return ""
    if value is None:
        return ""
    if not isinstance(value, (str, bytes, int, float)):
        try:
            value = next(iter(value), "")  # several values: the first one counts
        except TypeError:
            return ""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    return " ".join(str(value).replace("\0", " ").split())[:200]


def _integer(ds: Dataset, name: str) -> int:
    try:
        return int(_text(ds, name) or 0)
    except ValueError:
        return 0
