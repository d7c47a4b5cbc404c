"""Laterality, view and view modifiers, from every place where vendors put them.

Codes before words, the image's own elements before descriptions; a description that names several views (of a series
with all of them) names none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydicom.dataset import Dataset

from core.images.dicom.elements import items, text_of
from core.images.mammogram import Laterality

# SNOMED CT, then the older SNOMED RT code of the same concept. Views: CID 4014; the last three are modifiers by the
# standard, and some writers give them for the view. Abbreviations are ACR's.
_VIEWS = {
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
    ("127457009", "G-8310"): "SPECIMEN",
    ("399011000", "R-102D1"): "AT",
    ("399161006", "R-102D2"): "CV",
    ("442580003", "R-40AB2"): "AX",
}
# CID 4015, view modifiers.
_MODIFIERS = {
    ("399011000", "R-102D1"): "AT",
    ("399161006", "R-102D2"): "CV",
    ("399197002", "R-102D3"): "RL",
    ("399226006", "R-102D4"): "RM",
    ("414493004", "R-102CA"): "RI",
    ("415670009", "R-102C9"): "RS",
    ("399209000", "R-102D5"): "ID",
    ("399163009", "R-102D6"): "M",
    ("399055006", "R-102D7"): "S",
    ("399110001", "R-102C2"): "TAN",
    ("442580003", "R-40AB2"): "AX",
    ("442581004", "R-40AB3"): "NP",
    ("442593008", "R-40ABE"): "IMF",
    ("441752004", "P2-00161"): "AC",
}
_VIEWS_BY_CODE = {code: view for codes, view in _VIEWS.items() for code in codes}
_MODIFIERS_BY_CODE = {code: modifier for codes, modifier in _MODIFIERS.items() for code in codes}
# Meanings, without anything but letters, of codes of other schemes.
_VIEW_MEANINGS = (
    ("exaggeratedlaterally", "XCCL"),
    ("exaggeratedmedially", "XCCM"),
    ("exaggerated", "XCC"),
    ("superolateraltoinferomedial", "SIO"),
    ("inferomedialtosuperolateral", "ISO"),
    ("mediolateraloblique", "MLO"),
    ("lateromedialoblique", "LMO"),
    ("mediolateral", "ML"),
    ("lateromedial", "LM"),
    ("craniocaudal", "CC"),
    ("caudocranial", "FB"),
)
_MODIFIER_MEANINGS = (
    ("implantdisplaced", "ID"),
    ("magnif", "M"),
    ("spot", "S"),
    ("tangential", "TAN"),
    ("rolledlateral", "RL"),
    ("rolledmedial", "RM"),
    ("rolledinferior", "RI"),
    ("rolledsuperior", "RS"),
    ("axillarytail", "AT"),
    ("cleavage", "CV"),
)
_SIDE = r"(?P<{}>LEFT|RIGHT|LT|RT|L|R)"
_SUFFIX = r"(?P<suffix>[\s_.-]?(?:ID|MAG|SPOT|TAN)|[MS]|R[LMSI])?"
_VIEW = r"(?P<view>XCCL|XCCM|XCC|MLO|LMO|CC|ML|LM|SIO|ISO)"
_VIEW_TEXT = re.compile(
    rf"(?<![A-Z])(?:{_SIDE.format('before')}[\s_.-]*)?{_VIEW}{_SUFFIX}(?:[\s_.-]+{_SIDE.format('after')})?(?![A-Z])"
)
_LONG_NAMES = (
    (re.compile(r"CRANIO[\s-]?CAUDAL"), "CC"),
    (re.compile(r"MEDIO[\s-]?LATERAL[\s-]OBLIQUE"), "MLO"),
    (re.compile(r"MEDIO[\s-]?LATERAL"), "ML"),
    (re.compile(r"LATERO[\s-]?MEDIAL"), "LM"),
)
_SIDE_TEXT = re.compile(r"(?<![A-Z])(LEFT|RIGHT|LT|RT)(?![A-Z])|(?<![A-Z])([LR])[\s_-]?BREAST|BREAST[\s_-]?([LR])(?![A-Z])")
_SUFFIXES = {"MAG": "M", "SPOT": "S"}  # the others are codes already
_DESCRIPTIONS = (
    "SeriesDescription",
    "ProtocolName",
    "AcquisitionDeviceProcessingDescription",
    "PerformedProcedureStepDescription",
)
# Values of ViewPosition that are no word of a description: mammography's others, and those of projection radiography.
_POSITIONS = {"FB", "AT", "CV", "AX", "TAN", "AP", "PA", "LL", "RL", "RLD", "LLD", "RLO", "LLO"}


def laterality_of(ds: Dataset) -> Laterality:
    """L or R; "" where the file does not say, says both, or contradicts itself within one text."""
    for name in ("ImageLaterality", "FrameLaterality", "Laterality"):
        letter = text_of(ds, name).upper()[:1]
        if letter in ("L", "R"):
            return "L" if letter == "L" else "R"
    for name in ("ViewPosition", *_DESCRIPTIONS, "BodyPartExamined"):
        text = text_of(ds, name).upper()
        sides = {side[0] for match in _matches(text) for side in (match["before"], match["after"]) if side}
        sides = sides or {next(filter(None, groups))[0] for groups in _SIDE_TEXT.findall(text)}
        if len(sides) == 1:
            return "L" if "L" in sides else "R"
    return ""


def view_of(ds: Dataset) -> str:
    """CC, MLO, ML, LM, XCCL, ...; "" where the file does not say."""
    for item in items(ds, "ViewCodeSequence"):
        view = _coded(item, _VIEWS_BY_CODE, _VIEW_MEANINGS)
        exaggerated = [v for m in _modifier_items(ds) if (v := _meant(m, _VIEW_MEANINGS[:3]))]
        if view:
            return exaggerated[0] if view == "CC" and exaggerated else view
    position = text_of(ds, "ViewPosition").upper()
    for text in (position, *(text_of(ds, name).upper() for name in _DESCRIPTIONS)):
        views = {match["view"] for match in _matches(text)}
        if len(views) == 1:
            return views.pop()
    return position if position in _POSITIONS else ""


def modifiers_of(ds: Dataset) -> tuple[str, ...]:
    """Codes of the view's modifiers, each once: M magnified, S spot, ID implant displaced, RL rolled laterally, ..."""
    found = [code for item in _modifier_items(ds) if (code := _coded(item, _MODIFIERS_BY_CODE, _MODIFIER_MEANINGS))]
    for name in ("ViewPosition", *_DESCRIPTIONS):
        matches = list(_matches(text_of(ds, name).upper()))
        if len({match["view"] for match in matches}) == 1:
            suffixes = [match["suffix"].strip(" _.-") for match in matches if match["suffix"]]
            found += [_SUFFIXES.get(suffix, suffix) for suffix in suffixes]
    return tuple(dict.fromkeys(found))


def implant_of(ds: Dataset, modifiers: tuple[str, ...]) -> bool | None:
    """Whether the breast has an implant; None where the file does not say."""
    answer = {"YES": True, "NO": False}.get(text_of(ds, "BreastImplantPresent").upper())
    return True if answer is None and "ID" in modifiers else answer


def _matches(text: str) -> Iterator[re.Match[str]]:
    for pattern, view in _LONG_NAMES:
        text = pattern.sub(view, text)
    return _VIEW_TEXT.finditer(text)


def _modifier_items(ds: Dataset) -> list[Dataset]:
    holders = [*items(ds, "ViewCodeSequence"), ds]  # inside the view by the standard, beside it by some writers
    return [item for holder in holders for item in items(holder, "ViewModifierCodeSequence")]


def _coded(item: Dataset, codes: dict[str, str], meanings: tuple[tuple[str, str], ...]) -> str:
    return codes.get(text_of(item, "CodeValue")) or _meant(item, meanings)


def _meant(item: Dataset, meanings: tuple[tuple[str, str], ...]) -> str:
    meaning = re.sub(r"[^a-z]", "", text_of(item, "CodeMeaning").lower())
    return next((found for words, found in meanings if words in meaning), "")
