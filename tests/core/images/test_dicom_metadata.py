"""DICOM metadata: breast, view and implant from wherever vendors put them; and never who the patient is."""

from __future__ import annotations

import logging
import random
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders.dicom_factory import item, make_dataset, make_dicom, to_bytes
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from core.errors import UnreadableImage
from core.images import read
from core.images.dicom.reader import read_dicom_header
from core.images.pseudonym import pseudonym

GREY = np.arange(4096, dtype=np.uint16).reshape(64, 64)


def code(value: str, meaning: str = "x", scheme: str = "SCT") -> Dataset:
    return item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def view(value: str, *modifiers: Dataset, meaning: str = "x") -> dict[str, Any]:
    found = code(value, meaning)
    if modifiers:
        found.ViewModifierCodeSequence = list(modifiers)
    return {"ViewCodeSequence": [found]}


# The names are pydicom's for the concepts of DICOM CID 4014 and 4015.
VIEWS = {
    "CranioCaudal": "CC",
    "MedioLateralObliqueProjection": "MLO",
    "MedioLateralProjection": "ML",
    "LateroMedial": "LM",
    "LateroMedialOblique": "LMO",
    "CranioCaudalExaggeratedLaterally": "XCCL",
    "CranioCaudalExaggeratedMedially": "XCCM",
    "CaudoCranial": "FB",
    "SuperolateralToInferomedialOblique": "SIO",
    "InferomedialToSuperolateralOblique": "ISO",
    "TissueSpecimenFromBreast": "SPECIMEN",
}
MODIFIERS = {
    "Magnification": "M",
    "SpotCompression": "S",
    "ImplantDisplaced": "ID",
    "Tangential": "TAN",
    "RolledLateral": "RL",
    "RolledMedial": "RM",
    "RolledInferior": "RI",
    "RolledSuperior": "RS",
    "AxillaryTail": "AT",
    "AxillaryTissue": "AX",
    "Cleavage": "CV",
    "NippleInProfile": "NP",
    "InfraMammaryFold": "IMF",
    "AnteriorCompression": "AC",
}


@pytest.mark.parametrize("name", VIEWS)
def test_every_view_code_of_the_standard_is_known(name: str) -> None:
    concept = getattr(codes.cid4014, name)
    assert read(make_dicom(GREY, **view(concept.value))).meta.view == VIEWS[name]
    assert read(make_dicom(GREY, **view("?", meaning=concept.meaning))).meta.view in (VIEWS[name], "")  # by its words
    assert sorted(VIEWS) == sorted(codes.cid4014.dir())


@pytest.mark.parametrize("name", MODIFIERS)
def test_every_view_modifier_of_the_standard_is_known(name: str) -> None:
    concept = getattr(codes.cid4015, name)
    meta = read(make_dicom(GREY, **view("399162004", code(concept.value)))).meta
    assert (meta.view, meta.view_modifiers) == ("CC", (MODIFIERS[name],))
    assert sorted(MODIFIERS) == sorted(codes.cid4015.dir())


@pytest.mark.parametrize(
    "elements, laterality, found",
    [
        ({"ViewPosition": "LM"}, "", "LM"),
        ({"ViewPosition": "XCC"}, "", "XCC"),
        ({"ViewPosition": "FB"}, "", "FB"),
        ({"ViewPosition": "DOE"}, "", ""),
        ({"SeriesDescription": "LEFT MLO"}, "L", "MLO"),
        ({"SeriesDescription": "MLO, RIGHT"}, "R", "MLO"),
        ({"SeriesDescription": "CC-L"}, "L", "CC"),
        ({"SeriesDescription": "Rt XCCL"}, "R", "XCCL"),
        ({"SeriesDescription": "R_ML"}, "R", "ML"),
        ({"SeriesDescription": "Cranio-caudal left"}, "L", "CC"),
        ({"SeriesDescription": "Medio-lateral oblique"}, "", "MLO"),
        ({"SeriesDescription": "L CC, L MLO"}, "L", ""),
        ({"SeriesDescription": "R CC / L CC"}, "", "CC"),
        ({"SeriesDescription": "SCREENING"}, "", ""),
        ({"SeriesDescription": "LEFT AT CLINIC"}, "L", ""),
        ({"ProtocolName": "R CC Combo"}, "R", "CC"),
        ({"AcquisitionDeviceProcessingDescription": "MAMMO LMLO"}, "L", "MLO"),
        ({"BodyPartExamined": "LBREAST"}, "L", ""),
        ({"BodyPartExamined": "BREAST_R"}, "R", ""),
        ({"BodyPartExamined": "BREAST"}, "", ""),
        ({"ImageLaterality": "L", "SeriesDescription": "R CC"}, "L", "CC"),
        ({"ImageLaterality": "B", "Laterality": "R"}, "R", ""),
        (view("R-102D0"), "", "SIO"),
        (view("399162004", code("?", "Exaggerated laterally", "99VENDOR")), "", "XCCL"),
        ({**view("399368009"), "ViewPosition": "CC"}, "", "MLO"),
    ],
)
def test_breast_and_view_from_every_place(elements: dict[str, Any], laterality: str, found: str) -> None:
    meta = read(make_dicom(GREY, **elements)).meta
    assert (meta.laterality, meta.view) == (laterality, found)


@pytest.mark.parametrize(
    "elements, modifiers, implant",
    [
        ({}, (), None),
        ({"BreastImplantPresent": "YES"}, (), True),
        ({"BreastImplantPresent": "NO"}, (), False),
        (view("399162004", code("R-102D5"), code("399163009")), ("ID", "M"), True),
        (view("399162004", code("?", "Implant Displaced", "99VENDOR")), ("ID",), True),
        ({**view("399162004"), "ViewModifierCodeSequence": [code("399055006")]}, ("S",), None),
        ({"SeriesDescription": "RCCID"}, ("ID",), True),
        ({"SeriesDescription": "L MLO SPOT"}, ("S",), None),
        ({"ViewPosition": "RCCM"}, ("M",), None),
        ({"SeriesDescription": "LCCRL"}, ("RL",), None),
        ({"SeriesDescription": "PATIENT ID"}, (), None),
    ],
)
def test_modifiers_and_implants(elements: dict[str, Any], modifiers: tuple[str, ...], implant: bool | None) -> None:
    meta = read(make_dicom(GREY, **elements)).meta
    assert (meta.view_modifiers, meta.implant) == (modifiers, implant)


@pytest.mark.parametrize(
    "elements, spacing",
    [
        ({"ImagerPixelSpacing": [0.07, 0.08]}, (0.07, 0.08)),
        ({"PixelSpacing": [0.05, 0.05], "ImagerPixelSpacing": [0.07, 0.07]}, (0.05, 0.05)),
        ({"NominalScannedPixelSpacing": [0.043, 0.043]}, (0.043, 0.043)),
        ({"PixelSpacing": [0, 0], "ImagerPixelSpacing": [0.1, 0.1]}, (0.1, 0.1)),
        ({"PixelSpacing": [100, 100]}, None),
        ({}, None),
    ],
)
def test_spacing_is_in_mm_and_impossible_ones_are_none(elements: dict[str, Any], spacing: Any) -> None:
    assert read(make_dicom(GREY, **elements)).meta.pixel_spacing == spacing


# Every string is one that stands nowhere else: it may appear nowhere after reading.
# Names that are part of no other word: other threads log, too, and "unavailable" holds Una.
SECRETS = {
    "PatientName": "Quxley^Zoraida^Ottilie",
    "PatientID": "KX-7731-91",
    "OtherPatientIDs": "ALT-554433",
    "PatientBirthName": "Vexworth",
    "PatientMotherBirthName": "Brundlefly",
    "PatientBirthDate": "19430217",
    "PatientAddress": "Larkspur Lane 77",
    "PatientTelephoneNumbers": "0555-812933",
    "AccessionNumber": "ACC8812733",
    "StudyID": "ST99127",
    "StudyDate": "20190823",
    "SeriesDate": "20190824",
    "AcquisitionDate": "20190825",
    "ContentDate": "20190826",
    "AcquisitionDateTime": "20190827101112",
    "InstitutionName": "Klinikum Xanadu",
    "InstitutionAddress": "Kubla Boulevard 9",
    "InstitutionalDepartmentName": "Senologie Q7",
    "StationName": "STATQZ17",
    "ReferringPhysicianName": "Drummel^Hortensia",
    "PerformingPhysicianName": "Wexelblatt^Ignatz",
    "OperatorsName": "Pumpernel^Jost",
    "NameOfPhysiciansReadingStudy": "Sternwald^Ulvhild",
    "RequestingPhysician": "Ruckelshaus^Bo",
    "DeviceSerialNumber": "SN-448812",
}
WORDS = sorted(
    {part for value in SECRETS.values() for part in [value, *(value.split("^") if "^" in value else [])] if len(part) > 2}
)
# Where people and machines copy such things to, among the elements that are read and those that are not.
FREE_TEXT = (
    *("SeriesDescription", "ProtocolName", "Manufacturer", "ManufacturerModelName", "ImageComments", "StudyDescription"),
    *("AcquisitionDeviceProcessingDescription", "PerformedProcedureStepDescription", "PatientComments"),
)


def telling(where: int) -> Dataset:
    """A mammogram that says who it shows in every element, and copies one of the secrets into every free text."""
    secret = WORDS[where % len(WORDS)]
    ds = make_dataset(GREY, BitsStored=12, WindowCenter=[2048, 99999], WindowWidth=[4096, 2], **SECRETS)
    for name in FREE_TEXT:
        setattr(ds, name, f"L CC {secret}"[:60])
    ds.WindowCenterWidthExplanation = [secret[:16], secret[:16]]
    table = item(LUTDescriptor=[4096, 0, 12], LUTExplanation=secret, LUTData=list(range(4096)))
    table["LUTDescriptor"].VR = table["LUTData"].VR = "US"
    ds.VOILUTSequence = [table]
    ds.ViewCodeSequence = [code("399162004", meaning=secret)]
    ds.FrameComments = secret
    return ds


def told(text: str) -> list[str]:
    return [word for word in WORDS if word.lower() in text.lower()]


@pytest.fixture
def everything(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Any:
    """What reading some bytes says: pixels apart, the result or the error with its causes, logs, terminal, warnings."""
    caplog.set_level(logging.DEBUG)

    def say(content: bytes) -> str:
        caplog.clear()
        parts: list[str] = []
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for window in (1, 3):
                try:
                    mammogram = read(content, window=window)
                    parts += [repr(mammogram.meta), repr(mammogram.steps), repr(mammogram.warnings)]
                except UnreadableImage as error:
                    cause: BaseException | None = error
                    while cause is not None:
                        parts.append(f"{type(cause)} {cause}")
                        cause = cause.__cause__
        parts += [str(one.message) for one in caught] + [record.getMessage() for record in caplog.records]
        return "\n".join([*parts, *capfd.readouterr()])

    return say


@pytest.mark.parametrize("where", range(len(WORDS)))
def test_nothing_that_names_the_patient_leaves_the_reader(where: int, everything: Any) -> None:
    words = everything(to_bytes(telling(where)))
    assert pseudonym(SECRETS["PatientID"]) in words and "CC" in words
    assert told(words) == []


def test_nothing_that_names_the_patient_leaves_a_damaged_file(everything: Any) -> None:
    content = to_bytes(telling(1))
    chance = random.Random(11)
    named: list[tuple[int, list[str]]] = []
    for number in range(60):
        broken = bytearray(content)
        if number % 3:
            for _ in range(chance.choice([1, 4, 30])):
                broken[chance.randrange(132, 3000)] = chance.choice([0, 255, 0x20, 0x5C, chance.randrange(256)])
        else:
            del broken[chance.randrange(200, len(broken)) :]
        # Damage may cut a secret out of its element; what is left is then nobody's name to the reader.
        whole = bytes(broken)
        if all(value.encode() in whole for value in SECRETS.values()):
            found = told(everything(whole))
            named += [(number, found)] if found else []
    assert named == []


@pytest.mark.parametrize("name", ["Rows", "NumberOfFrames", "WindowCenter", "RescaleSlope", "BitsStored", "PixelPaddingValue"])
def test_a_name_that_slipped_into_a_number_is_not_quoted(name: str, everything: Any) -> None:
    ds = telling(0)
    ds.add_new(name, "LO", "Quxley^Zoraida")
    for value in (to_bytes(ds), to_bytes(ds).replace(b"MONOCHROME2", b"QUXLEY     ", 1)):
        assert told(everything(value)) == []


def test_a_manufacturer_survives_a_patient_with_a_short_name() -> None:
    elements = {"PatientName": "Men^Log", "Manufacturer": "SIEMENS", "ManufacturerModelName": "Hologic"}
    meta = read(make_dicom(GREY, **elements)).meta
    assert (meta.manufacturer, meta.model_name) == ("SIEMENS", "Hologic")
    assert read(make_dicom(GREY, PatientName="Men^Log", Manufacturer="unit of Men")).meta.manufacturer == ""


def test_the_header_alone_says_the_same_as_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "image.dcm"
    said = {"PatientAge": "750M", "PatientOrientation": ["A", "FR"], "SeriesDescription": "ROI mask images"}
    path.write_bytes(make_dicom(GREY, ViewPosition="MLO", ImageLaterality="R", ImagerPixelSpacing=[0.1, 0.1], **said))
    with path.open("rb") as stream:
        header = read_dicom_header(stream)
    meta = header.meta
    assert header.size == GREY.shape[::-1] and header.bits_allocated == 8 * GREY.dtype.itemsize
    assert (header.age, header.orientation, header.description) == (62.5, ("A", "FR"), "ROI mask images")
    whole = read(path).meta
    assert (meta.view, meta.laterality, meta.pixel_spacing, meta.patient) == ("MLO", "R", (0.1, 0.1), whole.patient)


@pytest.mark.parametrize(
    "text",
    ["1943-12-17 hard", "17.12.1943", "12/17/1943", "17-12-43", "born 1943", "QUXVILLE soft", "seen at Quxville, 2025_01_02"],
)
def test_a_window_explained_with_a_date_or_a_place_keeps_its_numbers_only(text: str) -> None:
    content = make_dicom(
        GREY,
        PatientBirthDate="19431217",
        StudyDate="20250102",
        InstitutionName="Quxville Hospital",
        WindowCenter=1000,
        WindowWidth=500,
        WindowCenterWidthExplanation=text,
    )
    assert read(content).meta.windows == ("LINEAR 1000/500",)


@pytest.mark.parametrize("text", ["HARD", "Hospital standard", "NORMAL 194", "contrast 12"])
def test_a_harmless_explanation_is_kept(text: str) -> None:
    content = make_dicom(
        GREY,
        PatientBirthDate="19431217",
        InstitutionName="Quxville Hospital",
        WindowCenter=1000,
        WindowWidth=500,
        WindowCenterWidthExplanation=text,
    )
    assert read(content).meta.windows == (f"LINEAR 1000/500 ({text})",)
