"""What a person reads of an answer says what the numbers say, and no more."""

import json

import numpy as np
import pytest
from prediction_factory import answer, prediction

from thorax.calibration.referral import ReferRule
from thorax.prediction import FindingAnswer, Novelty, summarise

KNOWN = Novelty(score=1.0, cutoff=2.0, out=False)
STRANGE = Novelty(score=3.0, cutoff=2.0, out=True)
DOUBTFUL = answer("Mass", 0.5, answer="present")
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
    ("novelty", "rule", "expected"),
    [
        (
            KNOWN,
            ReferRule(("ood", "errors"), cutoff=0.4),
            "expected to be wrong (cut-off 0.4), most likely mass and edema",
        ),
        (KNOWN, ReferRule(("ood", "errors"), cutoff=0.6), ""),
        (STRANGE, ReferRule(("ood", "errors"), cutoff=0.6), "outside the model's training data"),
        (STRANGE, ReferRule(("errors",), cutoff=0.6), ""),
        (KNOWN, ReferRule(("ood", "entropy"), entropy=0.95), "uncertain about edema"),
        (KNOWN, ReferRule(("conformal",)), "uncertain about edema"),
    ],
)
def test_an_image_is_referred_by_the_model_s_rule(novelty: Novelty, rule: ReferRule, expected: str) -> None:
    reasons = rule.reasons([UNSURE, DOUBTFUL], novelty)
    assert len(reasons) == bool(expected)
    assert all(expected in reason for reason in reasons)
    assert ReferRule.from_json(rule.to_json()) == rule


def test_maps_stay_inside() -> None:
    one = prediction(maps=np.zeros((1, 3, 3)))
    assert "maps" not in json.loads(one.model_dump_json())
    assert "maps" not in type(one).model_json_schema()["properties"]
    assert one.of("Effusion").decision
    with pytest.raises(KeyError):
        one.of("Hernia")
