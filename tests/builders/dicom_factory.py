"""DICOM mammograms for tests, written from scratch with pydicom."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

MAMMOGRAPHY = "1.2.840.10008.5.1.4.1.1.1.2"


def make_dataset(pixels: np.ndarray[Any, Any], *, syntax: str = ExplicitVRLittleEndian, **elements: Any) -> FileDataset:
    """A mammography data set around integer pixels (H, W), (frames, H, W) or (H, W, 3); `elements` override or add."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MAMMOGRAPHY
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["test"])
    meta.TransferSyntaxUID = syntax
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    ds.Modality = "MG"
    ds.PatientName, ds.PatientID, ds.PatientBirthDate = "Doe^Jane", "ID-4711", "19600229"
    colour = pixels.ndim == 3 and pixels.shape[2] == 3
    ds.SamplesPerPixel = 3 if colour else 1
    if colour:
        ds.PlanarConfiguration = 0
    ds.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    frames = pixels.ndim == 3 and not colour
    ds.Rows, ds.Columns = pixels.shape[1:3] if frames else pixels.shape[:2]
    if frames:
        ds.NumberOfFrames = pixels.shape[0]
    ds.BitsAllocated = 8 * pixels.dtype.itemsize
    ds.BitsStored = elements.pop("BitsStored", ds.BitsAllocated)
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = int(np.issubdtype(pixels.dtype, np.signedinteger))
    for name, value in elements.items():
        setattr(ds, name, value)
    ds.PixelData = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    ds["PixelData"].VR = "OW" if ds.BitsAllocated > 8 else "OB"
    return ds


def to_bytes(ds: Dataset, **options: Any) -> bytes:
    """The data set as a DICOM file."""
    stream = io.BytesIO()
    ds.save_as(stream, **{"enforce_file_format": True, **options})
    return stream.getvalue()


def make_dicom(pixels: np.ndarray[Any, Any], **elements: Any) -> bytes:
    """`make_dataset` as bytes."""
    return to_bytes(make_dataset(pixels, **elements))


def item(**elements: Any) -> Dataset:
    """A sequence item."""
    ds = Dataset()
    for name, value in elements.items():
        setattr(ds, name, value)
    return ds
