"""Codes that DICOM reports use for what we say: SNOMED CT and DICOM's own where there are any, ours where not."""

from typing import TYPE_CHECKING

from thorax.prediction import Answer, ModelName, label

if TYPE_CHECKING:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.sr import CodedConcept

#: Of codes that are this project's own (PS3.16 8.2: private designators begin with 99).
PRIVATE = "99THORAX"
MANUFACTURER = "Thorax"
#: Finding → (code, scheme, meaning).
_FINDINGS = {
    "Atelectasis": ("46621007", "SCT", "Atelectasis"),
    "Cardiomegaly": ("8186001", "SCT", "Cardiomegaly"),
    "Consolidation": ("95436008", "SCT", "Pulmonary consolidation"),
    "Edema": ("19242006", "SCT", "Pulmonary edema"),
    "Effusion": ("60046008", "SCT", "Pleural effusion"),
    "Emphysema": ("87433001", "SCT", "Pulmonary emphysema"),
    "Fibrosis": ("51615001", "SCT", "Fibrosis of lung"),
    "Hernia": ("84089009", "SCT", "Hiatal hernia"),
    "Infiltration": ("112121", "DCM", "Infiltrate"),
    "Lung_Opacity": ("112001", "DCM", "Opacity"),
    "Mass": ("309529002", "SCT", "Mass of lung"),
    "Nodule": ("27925004", "SCT", "Nodule"),
    "Pneumonia": ("233604007", "SCT", "Pneumonia"),
    "Pneumothorax": ("36118008", "SCT", "Pneumothorax"),
}
_ANSWERS: dict[Answer, tuple[str, str, str]] = {
    "present": ("52101004", "SCT", "Present"),
    "absent": ("272519000", "SCT", "Absent"),
    "uncertain": ("82334004", "SCT", "Indeterminate"),
}


def finding(name: str) -> "CodedConcept":
    """Return the code of a finding."""
    return _coded(_FINDINGS.get(name, (name[:16], PRIVATE, label(name).capitalize()[:64])))


def answer(said: Answer) -> "CodedConcept":
    """Return the code of an answer: present, absent or uncertain."""
    return _coded(_ANSWERS[said])


def own(code: str, meaning: str) -> "CodedConcept":
    """Return a code of this project's own."""
    return _coded((code, PRIVATE, meaning))


def _coded(parts: tuple[str, str, str]) -> "CodedConcept":
    from highdicom.sr import CodedConcept

    return CodedConcept(*parts)


def version_of(model: ModelName) -> str:
    """Return a version as a report should name it: also which network, and that it is no medical device."""
    trained = "trained on synthetic phantoms" if model.synthetic else "research software"
    return f"{model.version} ({model.architecture}; {trained})"


def algorithm(model: ModelName) -> "AlgorithmIdentificationSequence":
    """Return which algorithm made an object (PS3.3 10.19)."""
    from highdicom import AlgorithmIdentificationSequence
    from pydicom.sr.codedict import codes

    return AlgorithmIdentificationSequence(
        name=model.name, family=codes.DCM.ArtificialIntelligence, version=version_of(model), source=MANUFACTURER
    )
