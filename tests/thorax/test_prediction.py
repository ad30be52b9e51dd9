"""What a person reads of an answer says what the numbers say, and no more."""

import json

import numpy as np
import pytest
from prediction_factory import answer, prediction

from thorax.prediction import FindingAnswer, Novelty, refer_reasons, summarise

KNOWN = Novelty(score=1.0, cutoff=2.0, out=False)
STRANGE = Novelty(score=3.0, cutoff=2.0, out=True)
UNSURE = answer("Edema", 0.5, answer="uncertain", uncertainty=1.0)


def test_the_summary_names_the_top_finding_what_is_there_unsure_absent_and_assessed() -> None:
    answers = [
        answer("Effusion", 0.874, threshold=0.4),
        UNSURE,
        answer("Pleural_Thickening", 0.02, answer="absent"),
    ]
    assert summarise(answers, KNOWN, synthetic=False) == (
        "Highest probability: effusion, 87% (present). Present: effusion. Uncertain: edema. "
        "Absent: pleural thickening. The model assessed effusion, edema and pleural thickening only."
    )


def test_the_summary_never_speaks_of_certainty() -> None:
    said = summarise([answer("Effusion", 1.0, threshold=0.0)], KNOWN, synthetic=True)
    assert "over 99%" in said
    assert "100%" not in said
    assert "synthetic phantoms" in said


def test_an_image_outside_the_training_data_is_said_first() -> None:
    assert summarise([UNSURE], STRANGE, synthetic=False).startswith("This image is outside the model's training data")


def test_an_answer_of_an_earlier_release_is_read_and_no_longer_contradicts_itself() -> None:
    earlier = {"finding": "Edema", "probability": 0.71, "threshold": 0.81, "uncertainty": 0.87}
    for conformal, decision, expected in (
        ("present", False, "uncertain"),
        ("absent", True, "uncertain"),
        ("present", True, "present"),
        ("uncertain", False, "uncertain"),
    ):
        one = FindingAnswer.model_validate(earlier | {"decision": decision, "conformal": conformal})
        assert (one.answer, one.conformal, one.lower) == (expected, expected, None)
    again = FindingAnswer.model_validate_json(one.model_dump_json())
    assert again == one


@pytest.mark.parametrize(
    ("novelty", "checks", "when", "entropy", "expected"),
    [
        (KNOWN, {}, ("ood", "entropy"), 0.95, ["unsure about edema"]),
        (KNOWN, {}, ("ood",), 0.95, []),
        (KNOWN, {}, ("conformal",), 2.0, ["unsure about edema"]),
        (KNOWN, {}, ("entropy",), 1.0, []),
        (STRANGE, {}, ("ood",), 0.95, ["unlike"]),
        (STRANGE, {}, ("entropy",), 1.0, []),
        (KNOWN, {"blank": "The picture is blank."}, (), 1.0, ["The picture is blank."]),
    ],
)
def test_a_reader_is_called_for_by_the_model_s_rule_and_by_what_looks_wrong(
    novelty: Novelty, checks: dict[str, str], when: tuple[str, ...], entropy: float, expected: list[str]
) -> None:
    reasons = refer_reasons([UNSURE], novelty, checks, when, entropy)
    assert len(reasons) == len(expected)
    assert all(word in reason for word, reason in zip(expected, reasons, strict=True))


def test_maps_stay_inside() -> None:
    one = prediction(maps=np.zeros((1, 3, 3)))
    assert "maps" not in json.loads(one.model_dump_json())
    assert "maps" not in type(one).model_json_schema()["properties"]
    assert one.of("Effusion").decision
    with pytest.raises(KeyError):
        one.of("Hernia")
