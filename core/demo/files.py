"""Writers of synthetic images as DICOM or PNG. Every file says that it shows no patient."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian, JPEGLSLossless, generate_uid

from core.demo.plan import Storage
from core.demo.render import GREY_MAX
from core.files.atomic import replacing

NOTICE = "SYNTHETIC - not a patient"


@dataclass(frozen=True)
class Shot:
    """What a header says about one image."""

    patient: str
    side: str
    view: str
    scanner: str
    age: int
    thickness: float
    spacing: float
    seed: int

    @property
    def stem(self) -> str:
        return f"{self.patient}_{self.side}_{self.view}"


def write(folder: Path, shot: Shot, grey: NDArray[np.uint16], storage: Storage) -> Path:
    """Write `grey` (12-bit, MONOCHROME2 sense) the way `storage` asks; returns the file's path. Atomic."""
    stored = (GREY_MAX - grey).astype(np.uint16) if storage.inverted else grey
    if storage.kind == "dicom":
        path = folder / f"{shot.stem}.dcm"
        content = _dicom(shot, stored, storage)
    else:
        path = folder / f"{shot.stem}.png"
        content = _png(stored, eight_bit=storage.kind == "png8")
    with replacing(path) as stream:
        stream.write(content)
    return path


def _png(stored: NDArray[np.uint16], *, eight_bit: bool) -> bytes:
    # 16-bit PNG uses the full range, as viewers expect: 12 bits moved up by 4.
    image = Image.fromarray((stored >> 4).astype(np.uint8) if eight_bit else (stored << 4).astype(np.uint16))
    note = PngInfo()
    note.add_text("Comment", NOTICE)
    note.add_text("Software", "MammoLab demo generator")
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", pnginfo=note, compress_level=2)
    return buffer.getvalue()


def _dicom(shot: Shot, stored: NDArray[np.uint16], storage: Storage) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = _uid(shot, "image", shot.stem)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    _describe_exam(dataset, shot)
    _describe_image(dataset, shot, stored, storage)
    dataset.PixelData = stored.astype("<u2").tobytes()
    dataset["PixelData"].VR = "OW"
    if storage.compressed:
        # JPEG-LS and not JPEG 2000: openjpeg's encoder (pylibjpeg-openjpeg 2.6.0) crashes when several threads use it.
        dataset.compress(JPEGLSLossless, encoding_plugin="pyjpegls", generate_instance_uid=False)
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def _uid(shot: Shot, *parts: str) -> str:
    return generate_uid(entropy_srcs=["MammoLab demo", str(shot.seed), shot.patient, *parts])


def _describe_exam(dataset: FileDataset, shot: Shot) -> None:
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID = _uid(shot, "study")
    dataset.SeriesInstanceUID = _uid(shot, "series")
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = "20260101"
    dataset.StudyTime = dataset.AcquisitionTime = dataset.ContentTime = "120000"
    dataset.AccessionNumber = ""
    dataset.Modality = "MG"
    dataset.Manufacturer = f"MammoLab Synthetic {shot.scanner}"
    dataset.ManufacturerModelName = f"Invented {shot.scanner}1"
    dataset.DeviceSerialNumber = "0000"
    dataset.SoftwareVersions = "demo"
    dataset.InstitutionName = "MammoLab (synthetic)"
    dataset.ReferringPhysicianName = ""
    dataset.StudyDescription = "SYNTHETIC screening mammography"
    dataset.SeriesDescription = NOTICE
    dataset.PatientName = "SYNTHETIC^NOT A PATIENT"
    dataset.PatientID = shot.patient
    dataset.PatientBirthDate = ""
    dataset.PatientSex = "F"
    dataset.PatientAge = f"{shot.age:03d}Y"
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = "Synthetic image: there is no patient"
    dataset.StudyID = "1"
    dataset.SeriesNumber = 1
    dataset.InstanceNumber = 1 + 2 * (shot.side == "L") + (shot.view == "MLO")


def _describe_image(dataset: FileDataset, shot: Shot, stored: NDArray[np.uint16], storage: Storage) -> None:
    dataset.ImageType = ["DERIVED", "PRIMARY"]
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.BodyPartExamined = "BREAST"
    dataset.ImageLaterality = shot.side
    dataset.ViewPosition = shot.view
    # Right breasts are shown with the chest wall on the right: columns run towards the back (P), else the front (A).
    down = "F" if shot.view == "MLO" else ("R" if shot.side == "L" else "L")
    dataset.PatientOrientation = ["A" if shot.side == "L" else "P", down]
    dataset.BodyPartThickness = f"{shot.thickness:.0f}"
    dataset.KVP = "29"
    dataset.BurnedInAnnotation = "YES"
    dataset.LossyImageCompression = "00"
    spacing = [f"{shot.spacing:.4f}"] * 2
    dataset.ImagerPixelSpacing = spacing
    dataset.PixelSpacing = spacing
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME1" if storage.inverted else "MONOCHROME2"
    dataset.PresentationLUTShape = "INVERSE" if storage.inverted else "IDENTITY"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = "0", "1", "US"
    dataset.WindowCenter, dataset.WindowWidth = "2048", "4096"
    dataset.WindowCenterWidthExplanation = "full range"
