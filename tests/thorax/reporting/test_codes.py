"""Every code of a structured report is one that pydicom's dictionary (DICOM PS3.16) knows, or a whole SNOMED CT one."""

import pytest
from prediction_factory import answer
from pydicom.sr import _concepts_dict

from thorax.findings import KNOWN
from thorax.reporting import codes

#: Of lungs, and so in no context group that pydicom's dictionary was made from.
NOT_LISTED = {"Atelectasis", "Cardiomegaly", "Consolidation", "Emphysema", "Fibrosis", "Hernia", "Mass", "Pneumonia"}
_D = [[(i + j) % 5 if j < 5 else (i + j) % 5 + 5 for j in range(10)] if i < 5 else
      [(i - j) % 5 + 5 if j < 5 else (i - j) % 5 for j in range(10)] for i in range(10)]  # fmt: skip
_P = [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]]
while len(_P) < 8:
    _P.append([_P[-1][_P[1][i]] for i in range(10)])


def meanings(value: str, scheme: str) -> set[str]:
    """Under which words pydicom's dictionary knows a code."""
    entries = _concepts_dict.concepts[scheme].values()
    return {known[value][0] for known in entries if value in known}


def whole(value: str) -> bool:
    """Whether a SNOMED CT identifier is of a concept and its check digit fits (Verhoeff 1969)."""
    check = 0
    for place, digit in enumerate(reversed(value)):
        check = _D[check][_P[place % 8][int(digit)]]
    return check == 0 and value[-3:-1] == "00"


@pytest.mark.parametrize("name", KNOWN)
def test_a_finding_s_code_is_in_the_dictionary_or_a_whole_concept_or_ours(name: str) -> None:
    code = codes.finding(answer(name, 0.5))
    if code.scheme_designator == codes.PRIVATE:
        assert len(code.value) <= 16
    elif name in NOT_LISTED:
        assert (code.scheme_designator, whole(code.value)) == ("SCT", True)
        assert not meanings(code.value, "SCT")
    else:
        assert code.meaning in meanings(code.value, code.scheme_designator)


@pytest.mark.parametrize("said", ["present", "absent", "uncertain"])
def test_an_answer_s_code_is_in_the_dictionary(said: str) -> None:
    code = codes.answer(said)
    assert code.meaning in meanings(code.value, code.scheme_designator)


def test_highdicom_takes_every_code_of_the_dictionary_by_the_same_words() -> None:
    from highdicom.sr import CodedConcept
    from pydicom.sr.codedict import codes as dictionary

    assert codes.finding(answer("Pneumothorax", 0.5)) == CodedConcept.from_code(dictionary.SCT.Pneumothorax)
    assert codes.finding(answer("Edema", 0.5)) == CodedConcept.from_code(dictionary.SCT.PulmonaryEdema)
    assert codes.finding(answer("Effusion", 0.5)) == CodedConcept.from_code(dictionary.SCT.PleuralEffusion)
    assert codes.finding(answer("Nodule", 0.5)) == CodedConcept.from_code(dictionary.SCT.Nodule)
    assert codes.finding(answer("Infiltration", 0.5)) == CodedConcept.from_code(dictionary.DCM.Infiltrate)


def test_a_wrong_digit_does_not_pass_for_a_concept() -> None:
    assert whole("46621007")
    assert not whole("46621008")
    assert not whole("46612007")
