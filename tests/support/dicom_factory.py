"""A chest radiograph as a DICOM file, with everything in its header that names a patient."""

import io
from typing import Any

import numpy as np

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
    import pydicom
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    data = pydicom.Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
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
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.get("SOPInstanceUID", "1.2.3")
    stream = io.BytesIO()
    data.save_as(stream, enforce_file_format=True)
    return stream.getvalue()
