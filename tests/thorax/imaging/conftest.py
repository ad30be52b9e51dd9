"""Pictures made for the tests: a phantom, and DICOM files around it."""

import io
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from thorax.datasets.phantom.render import Phantom, render
from thorax.datasets.phantom.sheet import subjects


@pytest.fixture(scope="session")
def phantom() -> Phantom:
    """A healthy phantom of 160 px, with its lungs."""
    return render(subjects(1)[0], 160)


@pytest.fixture
def chest(phantom: Phantom) -> np.ndarray:
    """A phantom: float32 (160, 128) in [0, 1]."""
    return cv2.resize(phantom.image8.astype(np.float32) / 255, (128, 160), interpolation=cv2.INTER_AREA)


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
