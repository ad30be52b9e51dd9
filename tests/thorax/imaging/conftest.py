"""Pictures made for the tests: a chest drawn with ellipses, and DICOM files around it."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def chest() -> np.ndarray:
    """A crude chest: float32 (160, 128) in [0, 1]; bright body, dark lungs and air, a brighter right shoulder."""
    y, x = np.mgrid[0:160, 0:128].astype(np.float32)
    picture = np.where(((x - 64) / 58) ** 2 + ((y - 95) / 100) ** 2 < 1, 0.65, 0.02).astype(np.float32)
    for centre in (38, 90):
        picture[((x - centre) / 18) ** 2 + ((y - 75) / 45) ** 2 < 1] = 0.25
    picture[125:, 15:113] = 0.85
    picture[30:40, 15:25] = 0.95
    return picture + np.random.default_rng(0).normal(0, 0.01, picture.shape).astype(np.float32).clip(-0.02, 0.02)


@pytest.fixture
def encode() -> Callable[..., bytes]:
    """Encode an array or a Pillow image: `encode(pixels, "PNG")`."""

    def run(pixels: Any, kind: str = "PNG", **options: Any) -> bytes:
        image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
        stream = io.BytesIO()
        image.save(stream, kind, **options)
        return stream.getvalue()

    return run


@pytest.fixture
def dicom() -> Callable[..., bytes]:
    """Write a DICOM radiograph: `dicom(levels, Modality="CT", …)`; a value of None leaves the tag out."""

    def run(levels: np.ndarray, syntax: str = "1.2.840.10008.1.2.1", bits: int = 12, **tags: Any) -> bytes:
        from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
        from pydicom.uid import UID

        meta = FileMetaDataset()
        meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.1")
        meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.1")
        meta.MediaStorageSOPInstanceUID = UID("1.2.3.4")
        dataset: Dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        values: dict[str, Any] = {
            "SOPClassUID": meta.MediaStorageSOPClassUID,
            "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
            "PatientName": "Doe^Jane",
            "PatientID": "SECRET-1",
            "PatientBirthDate": "19500101",
            "InstitutionName": "Mercy",
            "Modality": "DX",
            "BodyPartExamined": "CHEST",
            "ViewPosition": "PA",
            "PatientAge": "057Y",
            "PatientSex": "F",
            "PhotometricInterpretation": "MONOCHROME2",
            "SamplesPerPixel": 1,
            "Rows": levels.shape[-2],
            "Columns": levels.shape[-1],
            "BitsAllocated": 16,
            "BitsStored": bits,
            "HighBit": bits - 1,
            "PixelRepresentation": 0,
            "ImagerPixelSpacing": [0.2, 0.25],
            "PixelData": levels.astype(np.uint16).tobytes(),
        }
        for name, value in (values | tags).items():
            if value is not None:
                setattr(dataset, name, value)
        if syntax != meta.TransferSyntaxUID:
            dataset.compress(UID(syntax))
        stream = io.BytesIO()
        dataset.save_as(stream, enforce_file_format=True)
        return stream.getvalue()

    return run
