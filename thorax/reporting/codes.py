"""Codes that DICOM reports use for what we say: SNOMED CT and DICOM's own where there are any, ours where not."""

from typing import TYPE_CHECKING

from thorax.findings import PRIVATE, SHIPPED
from thorax.prediction import Answer, FindingAnswer, ModelName

if TYPE_CHECKING:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.sr import CodedConcept

MANUFACTURER = "Thorax"
_ANSWERS: dict[Answer, tuple[str, str, str]] = {
    "present": ("52101004", "SCT", "Present"),
    "absent": ("272519000", "SCT", "Absent"),
    "uncertain": ("82334004", "SCT", "Indeterminate"),
}


def finding(answer: FindingAnswer) -> "CodedConcept":
    """Return the code of an answer's finding: the model's, or the shipped one in answers of earlier releases."""
    code = answer.code or SHIPPED.code(answer.finding)
    return _coded((code.value, code.scheme, code.meaning))


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
