"""DICOM beside NIH's tables: Digital X-Ray Image for Presentation (PS3.3 A.26), in the variants that readers meet."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from thorax import __version__
from thorax.datasets.phantom.layouts.base import SYNTHETIC
from thorax.datasets.phantom.layouts.nih import FIELD_MM, NihLayout
from thorax.datasets.phantom.population import Case

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.uid import UID

#: (bits stored, photometric interpretation, contrast): the twelve variants, which the images take in turn.
VARIANTS = tuple(
    (bits, photometric, contrast)
    for contrast in ("window", "lut", "none")
    for bits in (12, 16)
    for photometric in ("MONOCHROME2", "MONOCHROME1")
)

_LUT_BITS = 12
_DATE, _TIME = "20170101", "120000"


class DicomLayout(NihLayout):
    """NIH's folders and tables, with `.dcm` images of 12 or 16 bits.

    The variants give the same picture: MONOCHROME1 is stored inverted, and a window or VOI LUT where there is one
    undoes the narrower grey scale that was stored.
    """

    suffix = ".dcm"

    def write_image(self, path: Path, case: Case, pixels: np.ndarray, image8: np.ndarray) -> None:
        """Write a DICOM file, explicit VR little endian, uncompressed."""
        dicom_dataset(case, pixels).save_as(path, enforce_file_format=True)

    def image_bytes(self) -> int:
        """Estimate the bytes of one image file: two a pixel, and the header with its look-up table."""
        return 2 * self.recipe.size**2 + 12_000


def variant(case: Case) -> tuple[int, str, str]:
    """Return bits stored, photometric interpretation and kind of contrast of a case."""
    return VARIANTS[case.index % len(VARIANTS)]


def dicom_dataset(case: Case, pixels: np.ndarray) -> "Dataset":
    """Build the DICOM object of a case.

    Args:
        case: whose; its seed gives the UIDs, so that the same case has the same ones.
        pixels: uint16 (rows, columns), 12 bit, air dark.
    """
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

    bits, photometric, contrast = variant(case)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.ImplementationClassUID = _uid("implementation", __version__)
    dataset.file_meta.ImplementationVersionName = f"THORAX_{__version__}"
    dataset.preamble = b"\0" * 128
    _patient_and_study(dataset, case)
    _series_and_equipment(dataset, case)
    _image(dataset, case)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    _pixels(dataset, pixels, bits, photometric, contrast)
    return dataset


def _patient_and_study(dataset: "Dataset", case: Case) -> None:
    person = f"{case.patient:08d}"
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName = f"SYNTHETIC^PHANTOM {person}"
    dataset.PatientID = person
    dataset.PatientBirthDate = ""
    dataset.PatientSex = case.subject.sex
    dataset.PatientAge = f"{int(case.subject.age):03d}Y"
    dataset.PatientComments = SYNTHETIC
    dataset.StudyInstanceUID = _uid("study", case)
    dataset.StudyDate, dataset.StudyTime = _DATE, _TIME
    dataset.StudyID = str(case.follow_up)
    dataset.AccessionNumber = ""
    dataset.ReferringPhysicianName = ""
    dataset.StudyDescription = "SYNTHETIC CHEST"


def _series_and_equipment(dataset: "Dataset", case: Case) -> None:
    dataset.Modality = "DX"
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.SeriesInstanceUID = _uid("series", case)
    dataset.SeriesNumber = 1
    dataset.SeriesDescription = "SYNTHETIC"
    dataset.Manufacturer = "Thorax phantom"
    dataset.ManufacturerModelName = case.subject.scanner
    dataset.SoftwareVersions = __version__
    dataset.DeviceSerialNumber = "0"


def _image(dataset: "Dataset", case: Case) -> None:
    """General Image, DX Anatomy Imaged, DX Image, DX Detector, DX Positioning, Acquisition Context, SOP Common."""
    from pydicom.uid import DigitalXRayImageStorageForPresentation

    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = _uid("image", case)
    dataset.InstanceNumber = 1
    dataset.ContentDate = dataset.AcquisitionDate = _DATE
    dataset.ContentTime = dataset.AcquisitionTime = _TIME
    dataset.ImageType = ["ORIGINAL", "PRIMARY", ""]
    dataset.ImageComments = dataset.DerivationDescription = SYNTHETIC
    dataset.BurnedInAnnotation = "YES"
    dataset.PatientOrientation = ["L", "F"]
    dataset.BodyPartExamined = "CHEST"
    dataset.ImageLaterality = "U"
    dataset.AnatomicRegionSequence = [_code("816094009", "SCT", "Chest")]
    dataset.ViewPosition = case.subject.view
    # Context groups 4009 (body parts) and 4010 (DX views) of PS3.16.
    view = {"PA": ("272479007", "postero-anterior"), "AP": ("399348003", "antero-posterior")}[case.subject.view]
    view_code = _code(view[0], "SCT", view[1])
    view_code.ViewModifierCodeSequence = []
    dataset.ViewCodeSequence = [view_code]
    dataset.PatientOrientationCodeSequence = []
    dataset.DetectorType = "DIRECT"
    dataset.DetectorConfiguration = "AREA"
    dataset.DetectorID = case.subject.scanner
    dataset.AcquisitionContextSequence = []


def _pixels(dataset: "Dataset", pixels: np.ndarray, bits: int, photometric: str, contrast: str) -> None:
    """Image Pixel and VOI LUT modules."""
    rows, columns = pixels.shape
    # With a window or a LUT the picture fills the middle half of the range, as detectors leave room on both sides.
    full = 2**bits - 1
    low, high = (0, full) if contrast == "none" else (full // 4, full // 4 + full // 2)
    stored = low + np.rint(pixels.astype(np.float64) * ((high - low) / 4095))
    if photometric == "MONOCHROME1":
        stored = full - stored
        low, high = full - high, full - low
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = photometric
    dataset.Rows, dataset.Columns = rows, columns
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, bits, bits - 1
    dataset.PixelRepresentation = 0
    spacing = f"{FIELD_MM / columns:.6f}"
    dataset.ImagerPixelSpacing = [spacing, spacing]
    dataset.PixelAspectRatio = [1, 1]
    dataset.PixelIntensityRelationship = "LOG"
    dataset.PixelIntensityRelationshipSign = 1 if photometric == "MONOCHROME1" else -1
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = 0, 1, "US"
    dataset.PresentationLUTShape = "INVERSE" if photometric == "MONOCHROME1" else "IDENTITY"
    dataset.LossyImageCompression = "00"
    if contrast == "window":
        # PS3.3 C.11.2.1.2.1: the linear function runs from centre − 0.5 − (width − 1) / 2 over width − 1 levels.
        dataset.WindowWidth = high - low + 1
        dataset.WindowCenter = (low + high) / 2 + 0.5
        dataset.WindowCenterWidthExplanation = "NORMAL"
    elif contrast == "lut":
        dataset.VOILUTSequence = [_voi_lut(low, high)]
    dataset.PixelData = stored.astype("<u2").tobytes()
    dataset["PixelData"].VR = "OW"


def _voi_lut(low: int, high: int) -> "Dataset":
    """A look-up table from the stored range to 12 bit; below and above it stays black and white."""
    from pydicom.dataset import Dataset

    item = Dataset()
    count = high - low + 1
    item.add_new("LUTDescriptor", "US", [count % 2**16, low, _LUT_BITS])
    item.LUTExplanation = "NORMAL"
    table = np.rint(np.linspace(0, 2**_LUT_BITS - 1, count)).astype("<u2")
    item.add_new("LUTData", "OW", table.tobytes())
    return item


def _code(value: str, scheme: str, meaning: str) -> "Dataset":
    from pydicom.dataset import Dataset

    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _uid(kind: str, of: Any) -> "UID":
    """A UID that the same case has in every run."""
    from pydicom.uid import generate_uid

    source = [kind, of] if isinstance(of, str) else [kind, str(of.subject.seed), str(of.patient), str(of.follow_up)]
    return generate_uid(entropy_srcs=["thorax phantom", *source])
