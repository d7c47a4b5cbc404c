"""Functional groups of enhanced multi-frame files (PS3.3 C.7.6.16), lifted to the top for one frame.

Tomosynthesis keeps rescale, windows, spacing and laterality inside functional groups, shared by all frames or one item
a frame; the item of a frame goes before the shared one, and both before the top of the file.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydicom.dataset import Dataset

from core.images.dicom.elements import items

# Functional group macro -> elements that the rest of the reader expects at the top.
_MACROS = {
    "PixelValueTransformationSequence": ("RescaleIntercept", "RescaleSlope", "ModalityLUTSequence"),
    "FrameVOILUTSequence": (
        *("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTFunction", "VOILUTSequence"),
    ),
    "PixelMeasuresSequence": ("PixelSpacing",),
    "FrameAnatomySequence": ("FrameLaterality",),
}


def of_frame(ds: Dataset, index: int) -> Dataset:
    """The data set with the functional groups of one frame (from 0) at its top; itself when it has none."""
    found: dict[str, Dataset] = {}
    for groups in _groups(ds, index):
        for macro in _MACROS:
            for item in items(groups, macro)[:1]:
                found[macro] = item
    if not found:
        return ds
    merged = Dataset(ds)
    merged.file_meta = ds.file_meta
    merged.set_original_encoding(*ds.original_encoding)
    for macro, item in found.items():
        if not any(name in item for name in _MACROS[macro]):
            continue
        # A macro is one statement: a frame's window does not keep the function of the file's.
        for name in _MACROS[macro]:
            if name in merged:
                del merged[name]
            if name in item:
                merged[name] = item[name]
    return merged


def _groups(ds: Dataset, index: int) -> Iterator[Dataset]:
    yield from items(ds, "SharedFunctionalGroupsSequence")[:1]
    yield from items(ds, "PerFrameFunctionalGroupsSequence")[index : index + 1]
