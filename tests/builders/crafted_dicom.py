"""DICOM files whose headers contradict themselves, by hand."""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable

import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.tag import Tag

from builders.damage_seeds import dicom, encapsulated, float_dicom, picture, seeds
from builders.dicom_factory import item, make_dataset, to_bytes

Content = Callable[[], bytes]
PREFIX = "1.2.840.10008.1.2"


def raw(values: dict[str, tuple[str, bytes]]) -> bytes:
    """A sound file whose elements have these value representations and bytes, whatever the standard says of them."""
    ds = make_dataset(picture(), BitsStored=12)
    elements = {int(element.tag): _written(element) for element in ds}
    for keyword, (kind, value) in values.items():
        tag = Tag(keyword)
        wide = kind in ("SQ", "OW", "OB", "UN")
        length = struct.pack("<HI", 0, len(value)) if wide else struct.pack("<H", len(value))
        elements[int(tag)] = struct.pack("<HH", tag.group, tag.element) + kind.encode() + length + value
    return seeds()["dicom-explicit"][: 144 + _meta_length()] + b"".join(elements[tag] for tag in sorted(elements))


def _written(element: DataElement) -> bytes:
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, False
    write_data_element(stream, element)
    return bytes(stream.getvalue())


def dicom_traps() -> dict[str, Content]:
    """Contents by name."""
    found: dict[str, Content] = {}
    for keyword in ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "SamplesPerPixel", "PixelRepresentation"):
        for number in (0, 1, 3, 8, 17, 64, 255, 65_535):
            found[f"{keyword} is {number}"] = functools.partial(raw, {keyword: ("US", struct.pack("<H", number))})
        found[f"{keyword} is empty"] = functools.partial(raw, {keyword: ("US", b"")})
        found[f"{keyword} is text"] = functools.partial(raw, {keyword: ("LO", b"many")})
        found[f"{keyword} is many"] = functools.partial(raw, {keyword: ("US", struct.pack("<4H", 72, 56, 9, 1))})
    for text in ("0", "-1", "2", "1000000", "99999999999999999999", "x", "1\\2", "1.5", "1e3"):
        found[f"NumberOfFrames is {text}"] = functools.partial(raw, {"NumberOfFrames": ("IS", _even(text))})
    for text in ("0", "-5", "nan", "inf", "1e308", "x", "", "1\\2\\3", "1e-320", "-1e308"):
        window = {"WindowCenter": ("DS", _even("2048")), "WindowWidth": ("DS", _even(text))}
        found[f"WindowWidth is {text}"] = functools.partial(raw, window)
        found[f"WindowCenter is {text}"] = functools.partial(
            raw, {**window, "WindowCenter": ("DS", _even(text)), "WindowWidth": ("DS", b"10")}
        )
        for function in ("SIGMOID", "LINEAR_EXACT", "NONSENSE"):
            found[f"{function} of {text}"] = functools.partial(raw, {**window, "VOILUTFunction": ("CS", _even(function))})
        scale = {"RescaleSlope": ("DS", _even(text)), "RescaleIntercept": ("DS", b"0 ")}
        found[f"RescaleSlope is {text}"] = functools.partial(raw, scale)
        found[f"RescaleIntercept is {text}"] = functools.partial(
            raw, {**scale, "RescaleIntercept": ("DS", _even(text)), "RescaleSlope": ("DS", b"1 ")}
        )
    for text in ("", "MONOCHROME", "RGB", "PALETTE COLOR", "YBR_FULL_422", "HSV", "MONOCHROME1\\MONOCHROME2", "\xff\xfe"):
        found[f"PhotometricInterpretation is {text!a}"] = functools.partial(
            raw, {"PhotometricInterpretation": ("CS", _even(text))}
        )
    for keyword in (
        "SpecificCharacterSet",
        "PatientID",
        "ViewPosition",
        "ImageLaterality",
        "Manufacturer",
        "PresentationLUTShape",
        "PixelSpacing",
    ):
        for value in (b"\xff\xfe\xfd\xfc", b"\\" * 20, b"ISO 2022 IR 87 ", b"\x1b$B\x1b(J", b"x" * 2000):
            found[f"{keyword} is {value[:8]!a}"] = functools.partial(raw, {keyword: ("LO", value)})
    for keyword in (
        "VOILUTSequence",
        "ModalityLUTSequence",
        "ViewCodeSequence",
        "SharedFunctionalGroupsSequence",
        "PerFrameFunctionalGroupsSequence",
    ):
        for value in (b"", bytes(8), b"\xfe\xff\x00\xe0\xff\xff\xff\xff", b"\xff" * 40, b"abcd"):
            found[f"{keyword} is {value[:8]!a}"] = functools.partial(raw, {keyword: ("SQ", value)})
    for name, descriptor, data in (
        ("empty", [0, 0, 16], b""),
        ("short", [4096, 0, 16], b"\0\0"),
        ("0 bits", [4, 0, 0], bytes(8)),
        ("late", [4, 65_535, 16], bytes(8)),
        ("99 bits", [4, 0, 99], bytes(8)),
    ):
        lut = functools.partial(item, LUTDescriptor=descriptor, LUTData=data)
        found[f"{name} VOI LUT"] = lambda lut=lut: dicom(VOILUTSequence=[lut()])
        found[f"{name} modality LUT"] = lambda lut=lut: dicom(ModalityLUTSequence=[lut()])
    return {f"dicom: {name}": make for name, make in (found | _pixels() | _structure()).items()}


def _even(text: str) -> bytes:
    content = text.encode("latin-1")
    return content + b" " * (len(content) % 2)


def _pixels() -> dict[str, Content]:
    nan, largest = float("nan"), 3.4e38
    planes = {
        "NaN": np.full((9, 9), nan),
        "one infinity": np.where(np.eye(9) > 0, np.inf, 0),
        "largest": np.where(np.eye(9) > 0, largest, -largest),
        "smallest": np.where(np.eye(9) > 0, 1e-44, 0),
        "flat": np.full((9, 9), -7.0),
    }
    found: dict[str, Content] = {}
    for name, plane in planes.items():
        found[f"float, {name}"] = lambda plane=plane: float_dicom(plane.astype(np.float32))
        found[f"double, {name}"] = lambda plane=plane: float_dicom(plane.astype(np.float64))
    found["double, the largest"] = lambda: float_dicom(np.where(np.eye(9) > 0, 1.7e308, -1.7e308))
    frames = {
        "two zeros": b"",
        "zeros": bytes(100),
        "SOI": b"\xff\xd8",
        "J2K start": b"\xff\x4f\xff\x51",
        "noise": np.random.default_rng(5).bytes(3_000),
    }
    frames |= {name: seeds()[name] for name in ("jpeg", "jpeg-progressive", "jpeg-lossless", "jpeg-cmyk", "png8")}
    for syntax in (
        "4.50",
        "4.51",
        "4.57",
        "4.70",
        "4.80",
        "4.81",
        "4.90",
        "4.91",
        "4.201",
        "4.202",
        "4.203",
        "5",
        "4.100",
        "4.102",
        "1.98",
        "4.92",
    ):
        for name, frame in frames.items():
            found[f"syntax {syntax}, frame of {name}"] = functools.partial(encapsulated, f"{PREFIX}.{syntax}", frame)
    huge = (
        b"\xff\x4f\xff\x51\x00\x29\x00\x00"
        + struct.pack(">8I", 2**31, 2**31, 0, 0, 2**31, 2**31, 0, 0)
        + b"\x00\x01\x0f\x01\x01"
        + bytes(60)
    )
    found["JPEG 2000 of 2 billion columns"] = lambda: encapsulated(f"{PREFIX}.4.90", huge)
    found["JPEG 2000 of 2 billion rows in a small header"] = lambda: encapsulated(f"{PREFIX}.4.90", huge, Rows=1, Columns=1)
    for segments in (0, 1, 15, 16, 2**32 - 1):
        head = struct.pack("<16I", segments, *([64] * 15))
        found[f"RLE of {segments} segments"] = lambda head=head: encapsulated(f"{PREFIX}.5", head + b"\x81\x00" * 400)
    found["RLE with offsets beyond the end"] = lambda: encapsulated(
        f"{PREFIX}.5", struct.pack("<16I", 2, *([2**31] * 15)) + bytes(40)
    )
    return found


def _structure() -> dict[str, Content]:
    def nested(depth: int) -> bytes:
        ds = Dataset()
        for _ in range(depth):
            ds = item(ViewCodeSequence=[ds])
        return dicom(ViewCodeSequence=[ds])

    def endless(depth: int) -> bytes:
        """Sequences of undefined length in one another, never closed."""
        start = b"\x54\x00\x20\x02SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
        return seeds()["dicom-explicit"][: 132 + 12 + _meta_length()] + start * depth

    def without(*names: str) -> bytes:
        ds = make_dataset(picture(), BitsStored=12)
        for name in names:
            del ds[name]
        return to_bytes(ds)

    def syntax(uid: str) -> bytes:
        return seeds()["dicom-explicit"].replace(b"1.2.840.10008.1.2.1\0", uid.encode().ljust(20, b"\0"))

    found: dict[str, Content] = {
        f"without {name}": functools.partial(without, name)
        for name in (
            "Rows",
            "Columns",
            "BitsAllocated",
            "BitsStored",
            "PixelRepresentation",
            "SamplesPerPixel",
            "PhotometricInterpretation",
            "PixelData",
        )
    }
    found |= {f"nested {depth} deep": functools.partial(nested, depth) for depth in (10, 150)}
    found |= {f"unclosed, {depth} deep": functools.partial(endless, depth) for depth in (10, 5_000)}
    found |= {
        f"syntax {uid}": functools.partial(syntax, uid)
        for uid in ("", "1.2.3", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2", "x", "1.2.840.10008.1.2.5")
    }
    found["short pixels"] = lambda: raw({"PixelData": ("OW", bytes(100))})
    found["no pixels"] = lambda: raw({"PixelData": ("OW", b"")})
    found["long pixels"] = lambda: raw({"PixelData": ("OW", bytes(20_000))})
    found["pixels twice"] = lambda: _both_kinds()
    found["deflated noise"] = lambda: (
        seeds()["dicom-deflated"][: 144 + _meta_length("dicom-deflated")] + np.random.default_rng(6).bytes(2_000)
    )
    found["header longer than the file"] = lambda: (
        seeds()["dicom-explicit"][:140] + b"\xff\xff\xff\x7f" + seeds()["dicom-explicit"][144:]
    )
    found["preamble of a TIFF"] = lambda: seeds()["tiff8"][:128] + seeds()["dicom-explicit"][128:]
    return found


def _meta_length(name: str = "dicom-explicit") -> int:
    return int.from_bytes(seeds()[name][140:144], "little")


def _both_kinds() -> bytes:
    ds = make_dataset(picture(), BitsStored=12)
    ds.FloatPixelData = picture().astype(np.float32).tobytes()
    return to_bytes(ds)
