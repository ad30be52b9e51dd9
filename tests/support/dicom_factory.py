"""Chest radiographs as DICOM files: plain ones, and one with everything in its header that names a patient."""

import io
import struct
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID

EXPLICIT, IMPLICIT, BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
DEFLATED, RLE, J2K = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.90"
JPEG, JPEG_LOSSLESS, JPEG_LS = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80"
HTJ2K, JPEG_XL = "1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.110"
CR, DX, SC = "1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1", "1.2.840.10008.5.1.4.1.1.7"

#: What must never be found in anything that is kept.
SECRETS = {
    "PatientName": "Zylberquist^Oktavia",
    "PatientID": "PID-8841777",
    "PatientBirthDate": "19431217",
    "OtherPatientIDs": "ALT-5512093",
    "PatientAddress": "Quellenweg 77 Hintertupfing",
    "PatientTelephoneNumbers": "0555-9187263",
    "AccessionNumber": "ACC7719203",
    "StudyID": "STU66120",
    "StudyDate": "20190823",
    "StudyTime": "173344",
    "AcquisitionDate": "20190824",
    "ReferringPhysicianName": "Umbertolini^Cassian",
    "InstitutionName": "Klinikum Wolkenheim",
    "StationName": "XRAYBOX91",
    "DeviceSerialNumber": "SN-7766554",
    "RequestingPhysician": "Fitzgibbons^Leopold",
    "ImageComments": "Patient Zylberquist complains of cough",
    "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.777000111222",
    "SeriesInstanceUID": "1.2.826.0.1.3680043.8.498.777000111333",
    "SOPInstanceUID": "1.2.826.0.1.3680043.8.498.777000111444",
}


def radiograph_dicom(pixels: np.ndarray, **tags: Any) -> bytes:
    """Return a Digital X-Ray file of uint8 pixels (H, W), with `SECRETS` in it; `tags` win, and None leaves one out."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = UID(EXPLICIT)
    data.SOPClassUID = DX
    given: dict[str, Any] = {
        **SECRETS,
        "Modality": "DX",
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "SamplesPerPixel": 1,
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
        "PatientAge": "061Y",
        "PatientSex": "F",
        "ViewPosition": "PA",
        "PixelData": pixels.tobytes(),
        **tags,
    }
    for keyword, value in given.items():
        if value is not None:
            setattr(data, keyword, value)
    return written(data)


def film(levels: np.ndarray, bits: int = 12, **tags: Any) -> Dataset:
    """Return a Digital X-Ray of grey levels (H, W); `tags` win, and None leaves one out."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = UID(EXPLICIT)
    kind = np.int16 if levels.min() < 0 else np.uint8 if bits <= 8 else np.uint16
    given = {
        "SOPClassUID": DX,
        "SOPInstanceUID": "1.2.826.0.1.3680043.8.498.1",
        "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.2",
        "SeriesInstanceUID": "1.2.826.0.1.3680043.8.498.3",
        "Modality": "DX",
        "PresentationIntentType": "FOR PRESENTATION",
        "BodyPartExamined": "CHEST",
        "ViewPosition": "PA",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": levels.shape[-2],
        "Columns": levels.shape[-1],
        "BitsAllocated": 8 if bits <= 8 else 16,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(kind is np.int16),
        "PixelData": levels.astype(kind).tobytes(),
        **tags,
    }
    for keyword, value in given.items():
        if value is not None:
            setattr(data, keyword, value)
    data["PixelData"].VR = "OB" if data.get("BitsAllocated") == 8 else "OW"
    return data


def written(data: Dataset, syntax: str = "", meta: bool = True, marker: bool = True) -> bytes:
    """Return the file of a dataset.

    Args:
        data: a `film`.
        syntax: encode it so, and name it so; as the dataset says where it is not given.
        meta: with the meta information of part 10.
        marker: with its preamble.
    """
    stream = io.BytesIO()
    if syntax:
        data.file_meta.TransferSyntaxUID = UID(syntax)
    data.file_meta.MediaStorageSOPClassUID = data.get("SOPClassUID", DX)
    data.file_meta.MediaStorageSOPInstanceUID = data.get("SOPInstanceUID", "1.2.3")
    data.save_as(stream, enforce_file_format=True)
    whole = stream.getvalue()
    if not meta:
        return whole[144 + struct.unpack("<I", whole[140:144])[0] :]
    return whole if marker else whole[132:]
