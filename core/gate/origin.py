"""Reasons against a verdict that need no model: what the file says it is, and what its pixels plainly are."""

from __future__ import annotations

import re
from collections.abc import Sequence

from core.config import Recipe
from core.images.mammogram import ImageMeta
from core.preprocessing.breast import APART, JOINED

# Modalities that name no machine: exports, secondary captures and digitised films are stored as "other".
UNKNOWN_ORIGIN = ("", "OT", "SC")
# Words for the breast in headers, as they are written in practice: BREAST, L BREAST, MAMMA, Brust, seno, mama, sein, borst.
_BREAST = re.compile(r"BREAST|MAMM|MAMA|BRUST|\bSENO|\bSEIN|BORST|BRÖST|\bBRYST|AXILLA", re.IGNORECASE)

# What exports write where nobody said which part of the body it is.
_NO_PART = re.compile(r"UNKNOWN|OTHER|UNSPECIFIED|UNDEFINED|NOT SPECIFIED|NONE|N/?A|\W*", re.IGNORECASE)
# Storage classes that early digital and plate-based mammograms came in: doubted, not refused.
_RADIOGRAPHY = ("Computed Radiography", "Digital X-Ray")


def refusal_of_origin(meta: ImageMeta, *, breast_found: bool, recipe: Recipe, warnings: Sequence[str] = ()) -> str:
    """Why this image is no mammogram that a model could judge, "" when nothing speaks against it.

    `warnings` are the preparation's: they say why it found no breast, or that it found several.
    """
    if meta.modality not in (*UNKNOWN_ORIGIN, "MG"):
        return f"its header says that the modality is {meta.modality}, and only mammograms (MG) are judged"
    if meta.other_storage and not meta.other_storage.startswith(_RADIOGRAPHY):
        return f"its header contradicts itself: {_contradiction(meta)}"
    if not _NO_PART.fullmatch(meta.body_part) and not _BREAST.search(meta.body_part):
        return f"its header says that it shows another part of the body ({meta.body_part[:40]})"
    if meta.coloured:
        return "it is a colour image, and mammograms are grey"
    if meta.grey_levels == 2:
        return "it is a binary mask: it has two grey levels"
    # A recipe that needs no breast is one for images that need not hold a whole one.
    if not (recipe.crop or recipe.remove_background):
        return ""
    if not breast_found:
        why = next((warning for warning in warnings if "no breast" in warning), "no breast was found in it")
        return why.partition(":")[0]
    return next((warning for warning in warnings if warning in (APART, JOINED)), "")


def doubts_of_origin(meta: ImageMeta) -> tuple[str, ...]:
    """What a reader of the verdict should know although it is given: a DICOM file that does not clearly say what it shows.

    Such files are not refused for it: research copies and digitised films often come without a modality, or as secondary
    captures, and PNG or JPEG never say. The appearance of the image decides then.
    """
    if meta.format == "DICOM" and meta.modality == "MG" and meta.other_storage:
        return (f"{_contradiction(meta)}: check that it is a mammogram",)
    if meta.format != "DICOM" or meta.modality not in UNKNOWN_ORIGIN:
        return ()
    statement = f"says only {meta.modality} (other)" if meta.modality else "does not say which modality it is"
    return (f"the file {statement}: only its appearance suggests that it is a mammogram",)


def _contradiction(meta: ImageMeta) -> str:
    """What a header says whose modality and SOP class do not go together."""
    return f"the file says {meta.modality or 'nothing of its modality'} but its storage class is {meta.other_storage}"
