"""A Secondary Capture (PS3.3 A.8.1): the overlay of one finding, in a picture that every viewer shows."""

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from thorax.errors import ImageError
from thorax.prediction import percent
from thorax.reporting import codes
from thorax.reporting.source import Source

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from thorax.bundle import Bundle
    from thorax.imaging import Radiograph
    from thorax.prediction import ModelName, Prediction

#: px of the picture's longer side.
SIDE = 1024
_SERIES = 9601


def secondary_capture(
    source: Source | None, prediction: "Prediction", bundle: "Bundle", radiograph: "Radiograph", finding: str
) -> "Dataset":
    """Return a Secondary Capture of one finding's heat over the radiograph.

    Args:
        source: the image's header, whose study the picture joins; None starts a study of its own, of nobody.
        prediction: the answer, with maps.
        bundle: the one that answered.
        radiograph: what it answered for.
        finding: whose heat to draw.

    Raises:
        InputError: the answer has no map of this finding.
        ImageError: the image's header does not allow a picture beside it.
    """
    from pydicom.dataset import Dataset

    from thorax.bundle.drawing import draw

    drawn = draw(bundle, radiograph, prediction, (finding,), side=SIDE)[finding]
    pixels = np.asarray(Image.open(io.BytesIO(drawn)).convert("RGB"))
    header = source.dataset if source else Dataset()
    try:
        made = _capture(header, pixels, prediction.model)
    except (AttributeError, TypeError, ValueError) as error:
        raise ImageError("Its header does not allow a Secondary Capture.", "Ask for JSON.") from error
    answer, model = prediction.of(finding), prediction.model
    made.ImageType = ["DERIVED", "SECONDARY"]
    made.BurnedInAnnotation = "NO"  # the colour bar's scale is all that is written in it
    made.SeriesDescription = f"Thorax: {answer.label}"[:64]
    made.DerivationDescription = (
        f"Heat of {answer.label} over the radiograph, by {model.name} {codes.version_of(model)}. Calibrated "
        f"probability {percent(answer.probability)}, answer: {answer.answer}. Research software; not a medical "
        "device."
    )[:1024]
    made.ImageComments = prediction.summary[:10240]
    if source is not None:
        made.SourceImageSequence = [_reference(header)]
    return made


def _capture(header: "Dataset", pixels: np.ndarray, model: "ModelName") -> Any:
    """Return the object itself, with the patient and the study of a header."""
    import highdicom
    from pydicom.sr.codedict import codes as standard

    return highdicom.sc.SCImage(
        pixel_array=pixels,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        study_instance_uid=header.get("StudyInstanceUID") or highdicom.UID(),
        series_instance_uid=highdicom.UID(),
        series_number=_SERIES,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer=codes.MANUFACTURER,
        patient_id=header.get("PatientID", ""),
        patient_name=header.get("PatientName", ""),
        patient_birth_date=header.get("PatientBirthDate") or None,
        patient_sex=header.get("PatientSex") if header.get("PatientSex") in ("F", "M", "O") else None,
        accession_number=header.get("AccessionNumber", ""),
        study_id=header.get("StudyID", ""),
        study_date=header.get("StudyDate") or None,
        study_time=header.get("StudyTime") or None,
        referring_physician_name=header.get("ReferringPhysicianName") or None,
        patient_orientation=("L", "F"),  # upright, as it was read
        contributing_equipment=[
            highdicom.ContributingEquipment(
                manufacturer=codes.MANUFACTURER,
                purpose_of_reference=standard.DCM.ProcessingEquipment,
                manufacturer_model_name=model.name,
                software_versions=codes.version_of(model)[:64],
            )
        ],
    )


def _reference(header: "Dataset") -> "Dataset":
    from pydicom.dataset import Dataset

    one = Dataset()
    one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
    return one
