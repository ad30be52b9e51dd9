"""A structured report (TID 1500 "Measurement Report", PS3.16): each finding's answer, by which algorithm, and where."""

from typing import TYPE_CHECKING, Any

import numpy as np

from thorax.errors import ImageError
from thorax.reporting import codes
from thorax.reporting.source import Source

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from thorax.prediction import FindingAnswer, ModelName, Prediction

_SERIES = 9602
#: Names the algorithm as the device that observed; fixed, as this is the same software everywhere.
_DEVICE = "2.25.271828182845904523536028747135266249"


def structured_report(source: Source, prediction: "Prediction") -> "Dataset":
    """Return a Comprehensive SR on the image that was answered for.

    A group a finding holds the calibrated probability (Certainty of Finding, in percent), the answer (present, absent,
    uncertain), the algorithm with its version, operating point and cut-offs, and the box where there is one, in the
    stored image's pixels.

    Raises:
        ImageError: the image's header does not allow a report.
    """
    import highdicom
    from highdicom import sr
    from pydicom.sr.codedict import codes as standard

    model = prediction.model
    observer = sr.ObserverContext(
        observer_type=standard.DCM.Device,
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=_DEVICE,
            name=model.name,
            manufacturer_name=codes.MANUFACTURER,
            model_name=model.architecture,
            serial_number=model.version,
        ),
    )
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer),
        procedure_reported=sr.CodedConcept("399208008", "SCT", "Plain chest X-ray"),
        imaging_measurements=[_group(source, model, one) for one in prediction.findings] or [_withheld(source)],
        title=standard.DCM.ImagingMeasurementReport,
        referenced_images=None,
    )
    for reason in prediction.refer_reasons:
        content[0].ContentSequence.append(
            sr.TextContentItem(
                name=standard.DCM.Comment,
                value=f"Refer to a radiologist: {reason}",
                relationship_type=sr.RelationshipTypeValues.CONTAINS,
            )
        )
    try:
        made = sr.ComprehensiveSR(
            evidence=[source.dataset],
            content=content,
            series_instance_uid=highdicom.UID(),
            series_number=_SERIES,
            sop_instance_uid=highdicom.UID(),
            instance_number=1,
            manufacturer=codes.MANUFACTURER,
            is_complete=True,
            is_verified=False,
            series_description="Thorax: findings",
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise ImageError("Its header does not allow a structured report.", "Ask for dicom-sc or JSON.") from error
    made.SoftwareVersions = codes.version_of(model)[:64]
    return made


def _withheld(source: Source) -> Any:
    """Return the group that stands where no finding is reported, as a measurement report needs one (TID 1500)."""
    from highdicom import sr

    header = source.dataset
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(identifier="Findings withheld"),
        finding_type=codes.own("WITHHELD", "Findings withheld"),
        qualitative_evaluations=[sr.QualitativeEvaluation(codes.own("ANSWER", "Answer"), codes.answer("uncertain"))],
        source_images=[sr.SourceImageForMeasurementGroup(str(header.SOPClassUID), str(header.SOPInstanceUID))],
    )


def _cutoffs(answer: "FindingAnswer") -> dict[str, float]:
    """Return the cut-offs of an answer by what they mean; empty where an earlier release gave none."""
    known = {"absent below": answer.lower, "present above": answer.upper}
    return {name: value for name, value in known.items() if value is not None}


def _group(source: Source, model: "ModelName", answer: "FindingAnswer") -> Any:
    """Return the measurement group of one finding (TID 1410 with a box, TID 1501 without)."""
    from highdicom import sr
    from pydicom.sr.codedict import codes as standard

    given: dict[str, Any] = {
        "tracking_identifier": sr.TrackingIdentifier(identifier=answer.finding),
        "finding_type": codes.finding(answer),
        "algorithm_id": sr.AlgorithmIdentification(
            name=model.name,
            version=codes.version_of(model),
            parameters=[
                f"operating point {answer.threshold:.4f}",
                *(f"{name} {value:.4f}" for name, value in _cutoffs(answer).items()),
            ],
        ),
        "measurements": [
            sr.Measurement(
                name=standard.DCM.CertaintyOfFinding,
                value=round(answer.probability * 100, 4),
                unit=standard.UCUM.Percent,
            )
        ],
        "qualitative_evaluations": [
            sr.QualitativeEvaluation(codes.own("ANSWER", "Answer"), codes.answer(answer.answer)),
        ],
    }
    header = source.dataset
    image = (str(header.SOPClassUID), str(header.SOPInstanceUID))
    if answer.box is None:
        return sr.MeasurementsAndQualitativeEvaluations(
            **given, source_images=[sr.SourceImageForMeasurementGroup(*image)]
        )
    region = sr.ImageRegion(
        graphic_type=sr.GraphicTypeValues.POLYLINE,
        graphic_data=np.asarray(source.corners(answer.box), dtype=np.float64),
        source_image=sr.SourceImageForRegion(*image),
    )
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(referenced_region=region, **given)
