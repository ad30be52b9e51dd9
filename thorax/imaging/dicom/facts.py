"""Whether a DICOM file shows a chest, and the facts of it that identify nobody: view, age, sex, spacing, device.

What was assumed is said without the text of a tag: people type anything into any of them, and answers are kept.
"""

from typing import TYPE_CHECKING, NamedTuple

from thorax.errors import ImageError
from thorax.imaging.dicom import words
from thorax.imaging.dicom.parsing import number, numbers, text
from thorax.settings.reading import Dicom

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

#: What a modality is that is no radiograph, as a person says it.
_OTHERS = {
    "CT": "computed tomography",
    "MR": "magnetic resonance",
    "US": "ultrasound",
    "NM": "nuclear medicine",
    "PT": "positron emission tomography",
    "MG": "mammography",
    "PX": "panoramic dental X-ray",
    "IO": "intra-oral dental X-ray",
    "ECG": "an electrocardiogram",
    "SR": "a structured report",
    "PR": "a presentation state",
    "KO": "a selection of key objects",
    "SEG": "a segmentation",
    "DOC": "a document",
    "RTIMAGE": "a radiotherapy image",
    "XC": "a photograph",
    "SM": "slide microscopy",
    "ES": "endoscopy",
    "OP": "ophthalmic photography",
    "BMD": "bone densitometry",
    "RTDOSE": "a radiotherapy dose",
    "RTSTRUCT": "a radiotherapy structure set",
    "RTPLAN": "a radiotherapy plan",
    "REG": "a registration",
}
#: Modalities that are taken unless the settings say otherwise.
_RADIOGRAPHS = Dicom().modalities
#: SOP classes of radiographs (CR, DX, XA, RF) and of captured screens, for files that name no known modality.
_CLASSES = tuple(
    f"1.2.840.10008.5.1.4.1.1.{part}"
    for part in ("1", "1.1", "1.1.1", "7", "7.1", "7.2", "7.3", "7.4", "12.1", "12.1.1", "12.2", "12.2.1")
)
#: Where else a file may say what it shows: what concerns the image first.
_DESCRIPTIONS = (
    ("SeriesDescription", "series description"),
    ("ProtocolName", "protocol name"),
    ("AcquisitionProtocolName", "acquisition protocol"),
    ("AcquisitionDeviceProcessingDescription", "processing description"),
    ("PerformedProcedureStepDescription", "procedure step description"),
    ("RequestedProcedureDescription", "requested procedure"),
    ("StudyDescription", "study description"),
)
#: Of these, the ones that concern one image, so that they can tell its view.
_OF_IMAGE = 4
_CODES = ("AnatomicRegionSequence", "ViewCodeSequence", "ProcedureCodeSequence")
#: Codes of views (PS3.16 CID 4010, and what earlier editions used).
_VIEW_CODES = {
    "272479007": "PA", "R-10214": "PA", "399348003": "AP", "R-10206": "AP", "272460009": "AP",
    "399173006": "LATERAL", "R-10236": "LATERAL", "399198007": "LATERAL", "R-10232": "LATERAL",
    "399067008": "LATERAL", "R-10202": "LATERAL",
}  # fmt: skip
_DATES = ("StudyDate", "AcquisitionDate", "SeriesDate", "ContentDate", "AcquisitionDateTime")
_ACQUISITION = {
    "modality": "Modality",
    "manufacturer": "Manufacturer",
    "device": "ManufacturerModelName",
    "detector": "DetectorType",
}
_LONGEST = 64
#: Pixels whose sides differ by less than this share are square.
_SQUARE = 0.02


class Shown(NamedTuple):
    """What the tags say of the body part.

    Attributes:
        chest: True where they name it; None where the picture has to decide.
        refused: why the image is refused unless its picture is a chest after all; "" where it is not.
        assumption: a sentence; "" where nothing was assumed.
    """

    chest: bool | None
    refused: str
    assumption: str


def require_modality(dataset: "Dataset", accept: Dicom) -> list[str]:
    """Refuse what is no radiograph; return what was assumed.

    Raises:
        ImageError: another modality, or raw detector data.
    """
    from pydicom.uid import UID

    said, assumptions = text(dataset, "Modality"), []
    sop_class = text(dataset, "SOPClassUID")
    if said not in accept.modalities:
        known = said in (*_OTHERS, *_RADIOGRAPHS) or (sop_class and sop_class not in _CLASSES)
        if known or (said and not sop_class):
            name = f" ({_OTHERS[said]})" if said in _OTHERS else ""
            found = f"is of modality {said}{name}" if said else f"is {UID(sop_class).name}"
            raise ImageError(
                f"It {found}; Thorax reads radiographs ({', '.join(accept.modalities)}).",
                "Send the chest radiograph; preprocess.dicom.modalities says which modalities are taken.",
            )
        unknown = "Its modality is unknown" if said else "It names no modality"
        assumptions.append(f"{unknown}; it was taken for a radiograph.")
    if accept.for_processing == "refuse" and text(dataset, "PresentationIntentType") == "FOR PROCESSING":
        raise ImageError("It holds raw detector data (FOR PROCESSING).", "Export the image made for presentation.")
    return assumptions


def shown(dataset: "Dataset", accept: Dicom) -> Shown:
    """Say whether the tags name a chest: body part first, then codes, then descriptions."""
    taken, more = frozenset(accept.body_parts), accept.body_parts
    label = " ".join(text(dataset, "BodyPartExamined", whole=True).replace("\\", " ").split())
    parts = words.body_parts(label, more, label=True)
    if parts & taken:
        return Shown(True, "", "")
    described, where = frozenset[str](), ""
    for meaning in [*_meanings(dataset), *((text(dataset, keyword), name) for keyword, name in _DESCRIPTIONS)]:
        found = words.body_parts(meaning[0], more)
        if found & taken:
            described, where = found, meaning[1]
            break
        if found and not described:
            described, where = found, meaning[1]
    if parts:  # another part
        refused = f"It shows the body part {label}, not a chest."
        if described & taken:
            named = ", ".join(sorted(parts))
            return Shown(None, refused, f"BodyPartExamined names {named}; the {where} and the picture say chest.")
        return Shown(False, refused, "")
    empty = "No known body part is named" if label else "BodyPartExamined is empty"
    if described & taken:
        return Shown(True, "", f"{empty}; the {where} names the chest.")
    if described:
        refused = f"Its {where} names another body part ({', '.join(sorted(described))}), not a chest."
        return Shown(None, refused, f"{empty}, and the {where} names another; the picture looks like a chest.")
    return Shown(None, "", f"{empty}; the picture was taken for a chest.")


def view(dataset: "Dataset") -> tuple[str | None, str]:
    """Return PA, AP or LATERAL, or None, and what was assumed ("" where ViewPosition says it)."""
    said = text(dataset, "ViewPosition")
    found = words.view(said)
    if found:
        return (None, "Its view is neither PA, AP nor lateral.") if found == "other" else (found, "")
    for item in _items(dataset, "ViewCodeSequence"):
        coded = _VIEW_CODES.get(text(item, "CodeValue")) or words.view(text(item, "CodeMeaning"))
        if coded and coded != "other":
            return coded, ""
    for keyword, name in _DESCRIPTIONS[:_OF_IMAGE]:
        found = words.view(text(dataset, keyword))
        if found and found != "other":
            return found, f"ViewPosition does not say the view; the {name} says {found}."
    if _along(dataset) in ("A", "P"):
        return "LATERAL", "ViewPosition does not say the view; the patient orientation is that of a lateral view."
    return None, ""


def frontal(dataset: "Dataset") -> bool | None:
    """Whether the tags say that the view is frontal; None where they do not say."""
    found = view(dataset)[0]
    if found:
        return found != "LATERAL"
    return True if _along(dataset) in ("L", "R") else None


def age(dataset: "Dataset") -> float | None:
    """Return years, from the age or from the dates of birth and study, neither of which leaves this function."""
    years = words.age(text(dataset, "PatientAge"))
    if years is not None:
        return years
    born = text(dataset, "PatientBirthDate")
    between = (words.age_between(born, text(dataset, keyword)) for keyword in _DATES)
    return next((found for found in between if found is not None), None)


def sex(dataset: "Dataset") -> str | None:
    """Return F or M, or None."""
    return words.sex(text(dataset, "PatientSex"))


def spacing(dataset: "Dataset") -> tuple[float, float] | None:
    """Distance of pixel centres in mm, row then column: at the patient where calibrated, else at the detector."""
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        found = numbers(dataset, keyword)
        if len(found) == 2 and min(found) > 0:
            return found[0], found[1]
    return None


def shape(dataset: "Dataset") -> str:
    """Return a sentence where pixels are not square, which are read as stored; "" where they are, or it is not told."""
    ratio = spacing(dataset) or tuple(numbers(dataset, "PixelAspectRatio"))
    if len(ratio) != 2 or min(ratio) <= 0 or abs(ratio[0] / ratio[1] - 1) < _SQUARE:
        return ""
    return f"Its pixels are not square (height to width {ratio[0] / ratio[1]:.2f}); they were read as stored."


def acquisition(dataset: "Dataset") -> dict[str, str]:
    """Return modality, maker, model and detector, as far as they are given, and whether the patient lay or stood."""
    found = {name: text(dataset, keyword)[:_LONGEST] for name, keyword in _ACQUISITION.items()}
    said = " ".join(text(dataset, keyword) for keyword in ("ViewPosition", *(k for k, _ in _DESCRIPTIONS[:_OF_IMAGE])))
    plain = words.plain(said).split()
    if any(word.startswith(("supine", "liegend", "bett", "couch", "decub", "recumb", "portable")) for word in plain):
        found["position"] = "lying"
    elif any(word.startswith(("erect", "upright", "stehend", "standing", "debout")) for word in plain):
        found["position"] = "standing"
    if found["modality"] not in _RADIOGRAPHS:
        del found["modality"]  # free text, which may be anything
    return {name: value for name, value in found.items() if value}


def rank(dataset: "Dataset") -> tuple[int, ...]:
    """Return how well an image of a study serves as its frontal for presentation; the lowest is the best.

    For presentation before for processing, frontal before unknown before lateral, the picture itself before what a
    dual-energy exposure or a processing made of it, PA before AP, then the larger one.
    """
    kinds = " ".join(str(kind).upper() for kind in dataset.get("ImageType") or ())
    texts = f"{kinds} {text(dataset, 'SeriesDescription')}"
    made = any(word in texts for word in ("SOFT", "BONE", "SUBTRACT", "ENERGY", "DERIVED", "CAD", "ENHANCE"))
    is_frontal = frontal(dataset)
    return (
        int(text(dataset, "PresentationIntentType") == "FOR PROCESSING"),
        {True: 0, None: 1, False: 2}[is_frontal],
        int(made),
        {"PA": 0, "AP": 1}.get(view(dataset)[0] or "", 2),
        -int(number(dataset, "Rows", 0) * number(dataset, "Columns", 0)),
    )


def _items(dataset: "Dataset", keyword: str) -> "list[Dataset]":
    try:
        return list(dataset.get(keyword) or ())
    except Exception:  # a sequence that pydicom cannot read
        return []


def _meanings(dataset: "Dataset") -> list[tuple[str, str]]:
    names = dict(zip(_CODES, ("coded anatomic region", "coded view", "coded procedure"), strict=True))
    return [(text(item, "CodeMeaning"), names[keyword]) for keyword in _CODES for item in _items(dataset, keyword)]


def _along(dataset: "Dataset") -> str:
    return orientation(dataset)[0]


def orientation(dataset: "Dataset") -> tuple[str, str]:
    """Return whither rows and columns run, the main direction of each (PS3.3 C.7.6.1.1.1); "" where not given."""
    try:
        found = [str(part).strip().upper()[:1] for part in dataset.get("PatientOrientation") or ()]
    except Exception:  # a value that pydicom cannot convert
        found = []
    return (found[0], found[1]) if len(found) == 2 else ("", "")
