"""What a person reads of an answer says what the numbers say, and no more."""

import json

import numpy as np
import pytest
from prediction_factory import answer, prediction

from thorax.prediction import Novelty, refer_reasons, summarise

KNOWN = Novelty(score=1.0, cutoff=2.0, out=False)
STRANGE = Novelty(score=3.0, cutoff=2.0, out=True)
UNSURE = answer("Edema", 0.5, conformal="uncertain", uncertainty=1.0)


def test_the_summary_names_the_top_finding_what_is_there_unsure_absent_and_assessed() -> None:
    answers = [
        answer("Effusion", 0.874, threshold=0.4),
        UNSURE,
        answer("Pleural_Thickening", 0.02, conformal="absent"),
    ]
    said = summarise(answers, KNOWN, synthetic=False)
    assert "most probable finding is effusion, at 87%, above its operating point of 40%" in said
    assert "answers that effusion is present" in said
    assert "cannot decide on edema" in said
    assert "answers that pleural thickening is absent" in said
    assert "assessed effusion, edema and pleural thickening and nothing else" in said
    assert "phantom" not in said


def test_the_summary_never_speaks_of_certainty() -> None:
    said = summarise([answer("Effusion", 1.0, threshold=0.0)], KNOWN, synthetic=True)
    assert "over 99%" in said
    assert "under 1%" in said
    assert "100%" not in said
    assert "synthetic phantoms" in said


def test_a_borderline_answer_is_said() -> None:
    edge = answer("Edema", 0.4, conformal="present")
    sure = answer("Effusion", 0.9, conformal="present")
    assert (edge.borderline, sure.borderline) == (True, False)
    assert "On edema the answer and the operating point differ" in summarise((edge, sure), KNOWN, synthetic=False)
    assert "differ" not in summarise((sure,), KNOWN, synthetic=False)


def test_a_strange_image_is_said_first() -> None:
    assert summarise([UNSURE], STRANGE, synthetic=False).startswith("This image is unlike those")


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
