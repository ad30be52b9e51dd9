"""What a DICOM file says of its patient, its study and itself, and where a box of ours lies in its pixels."""

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from thorax.errors import ImageError
from thorax.prediction import Box

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

#: The patient and study modules (PS3.3 C.7.1.1, C.7.2.1), as far as objects of the same study must repeat them.
_SHARED = (
    "SpecificCharacterSet",
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
#: What a reference to the image needs.
_ITSELF = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "Modality", "Rows", "Columns", "PatientOrientation")
_NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID", "Rows", "Columns")
_EMPTY = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID")


@dataclass(frozen=True)
class Source:
    """The header of the image that was answered for; nothing of it but what `_SHARED` and `_ITSELF` name."""

    dataset: "Dataset"

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows of the stored pixels."""
        return int(self.dataset.Columns), int(self.dataset.Rows)

    def corners(self, box: Box) -> list[tuple[float, float]]:
        """Return a box's corners as a closed line in the stored pixels, (column, row), undoing `imaging.dicom.upright`.

        Args:
            box: fractions of the upright image.
        """
        columns, rows = self.size
        swapped, up_down, left_right = _turns(self.dataset)
        points = []
        for x, y in (
            (box.x, box.y),
            (box.x + box.w, box.y),
            (box.x + box.w, box.y + box.h),
            (box.x, box.y + box.h),
            (box.x, box.y),
        ):
            across, down = (1 - x if left_right else x), (1 - y if up_down else y)
            if swapped:
                across, down = down, across
            points.append((min(max(across, 0.0), 1.0) * columns, min(max(down, 0.0), 1.0) * rows))
        return points


def _turns(dataset: "Dataset") -> tuple[bool, bool, bool]:
    """Whether `upright` swapped the axes, and then turned top and bottom, and left and right."""
    orientation = dataset.get("PatientOrientation")
    if not orientation or len(orientation) != 2:
        return False, False, False
    along, down = (str(part).strip().upper()[:1] for part in orientation)
    swapped = along in ("H", "F") and down not in ("H", "F")
    if swapped:
        along, down = down, along
    return swapped, down == "H", along == "R"


def source_of(data: bytes) -> Source:
    """Read the header of a DICOM file.

    Args:
        data: the whole file, which `read_image_bytes` takes.

    Raises:
        ImageError: it does not say which study, series and instance it is.
    """
    import pydicom

    from thorax.imaging.dicom import parse

    found = pydicom.Dataset()
    try:
        given = parse(data, pixels=False)
        for keyword in (*_SHARED, *_ITSELF):
            if keyword in given:
                found[keyword] = given[keyword]
        # Every value is read here, where a damaged one can still be refused.
        missing = [keyword for keyword in _NEEDED if not str(found.get(keyword) or "").strip()]
        for keyword in found.dir():
            str(found[keyword].value)
        int(found.Rows), int(found.Columns)
    except Exception as error:
        raise ImageError("Its header is damaged, so no report can refer to it.") from error
    if missing:
        raise ImageError(f"It lacks {', '.join(missing)}, so no report can refer to it.")
    for keyword in _EMPTY:
        if keyword not in found:
            setattr(found, keyword, "")
    return Source(found)


def to_bytes(dataset: "Dataset") -> bytes:
    """Return an object as a DICOM file (PS3.10)."""
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()
