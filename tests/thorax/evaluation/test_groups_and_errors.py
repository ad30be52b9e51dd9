"""Subgroups and their gate, findings taken for each other, and whether promises were kept."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import recall_score, roc_auc_score

from thorax.calibration import Calibration, FindingCalibration
from thorax.calibration.ood import fit_ood
from thorax.evaluation.cooccurrence import cooccurrence, mistaken_for
from thorax.evaluation.figures_of_merit import Scores
from thorax.evaluation.resampling import patient_weights
from thorax.evaluation.subgroups import groups_of, subgroups
from thorax.evaluation.trust import conformal_by_group, conformal_figures, dropout_figures

OPTIONS = {"min_group": 20, "confidence": 0.95, "bins": 5, "max_gap": 0.15}


@pytest.fixture
def unfair() -> tuple[Scores, np.ndarray]:
    """A model that sees nothing in women."""
    random = np.random.default_rng(0)
    truth = (random.random((400, 1)) < 0.4).astype(float)
    sex = np.repeat(["F", "M"], 200)
    p = np.where((sex == "M")[:, None], random.normal(0.3 + 0.4 * truth, 0.15), random.random((400, 1))).clip(
        0.01, 0.99
    )
    return Scores(truth, p, p, np.array([0.5]), np.arange(400)), sex


def test_groups_have_their_own_figures_and_the_gap_gate_is_seen_to_fail(unfair) -> None:
    scores, sex = unfair
    found = subgroups(scores, patient_weights(scores.patients, 200, 0), {"sex": sex}, ["Edema"], **OPTIONS)["sex"]
    men = sex == "M"
    group = found["groups"]["M"]
    assert group["images"] == 200
    assert group["mean"]["auroc"]["value"] == pytest.approx(
        roc_auc_score(scores.truth[men, 0], scores.probabilities[men, 0])
    )
    assert group["findings"]["Edema"]["sensitivity"]["value"] == pytest.approx(
        recall_score(scores.truth[men, 0], scores.decisions[men, 0])
    )
    gap = found["gaps"]["auroc"]
    assert (gap["best"], gap["worst"], gap["passed"]) == ("M", "F", False)
    assert gap["low"] > 0.15
    fair = subgroups(
        scores, patient_weights(scores.patients, 200, 0), {"x": np.tile(["a", "b"], 200)}, ["Edema"], **OPTIONS
    )
    assert fair["x"]["gaps"]["auroc"]["passed"] is True


def test_a_group_of_two_is_said_to_be_too_small(unfair) -> None:
    scores, sex = unfair
    sex = sex.astype(object)
    sex[:2] = "unknown"
    found = subgroups(scores, patient_weights(scores.patients, 20, 0), {"sex": sex.astype(str)}, ["Edema"], **OPTIONS)[
        "sex"
    ]
    assert found["groups"]["unknown"] == {"images": 2, "patients": 2, "too_small": True}
    assert list(found["groups"]) == ["F", "M", "unknown"]


def test_many_images_of_two_patients_are_too_small_a_group_too(unfair) -> None:
    scores, sex = unfair
    patients = np.where(sex == "F", np.arange(400) % 2, np.arange(400))
    few = Scores(scores.truth, scores.probabilities, scores.raw, scores.thresholds, patients)
    weights = patient_weights(patients, 20, 0)
    found = subgroups(few, weights, {"sex": sex}, ["Edema"], **OPTIONS)["sex"]
    assert found["groups"]["F"] == {"images": 200, "patients": 2, "too_small": True}
    assert found["gaps"] == {}
    answers = np.full((400, 1), "present")
    by_group = conformal_by_group(answers, scores.truth, weights, patients, {"sex": sex}, 0.95, 20)["sex"]
    assert by_group["F"] == {"images": 200, "patients": 2, "too_small": True}


def test_groups_are_compared_in_the_findings_that_both_can_tell() -> None:
    # In group b the hard finding has no positive: its mean is over the easy one alone, and that is no gap.
    random = np.random.default_rng(2)
    truth = (random.random((400, 2)) < 0.4).astype(float)
    group = np.repeat(["a", "b"], 200)
    truth[group == "b", 1] = 0
    p = np.column_stack([random.normal(0.3 + 0.4 * truth[:, 0], 0.1), random.random(400)]).clip(0.01, 0.99)
    scores = Scores(truth, p, p, np.array([0.5, 0.5]), np.arange(400))
    found = subgroups(scores, patient_weights(scores.patients, 100, 0), {"x": group}, ["easy", "hard"], **OPTIONS)["x"]
    means = [found["groups"][name]["mean"]["auroc"]["value"] for name in ("a", "b")]
    assert means[1] - means[0] > 0.15
    assert abs(found["gaps"]["auroc"]["value"]) < 0.1
    assert found["gaps"]["auroc"]["passed"] is True


def test_a_group_without_a_positive_has_no_figure_of_that_finding(unfair) -> None:
    scores, sex = unfair
    truth = np.where((sex == "F")[:, None], 0.0, scores.truth)
    scores = Scores(truth, scores.probabilities, scores.raw, scores.thresholds, scores.patients)
    found = subgroups(scores, patient_weights(scores.patients, 20, 0), {"sex": sex}, ["Edema"], **OPTIONS)["sex"]
    assert found["groups"]["F"]["mean"] == {}
    assert found["gaps"] == {}


def test_ages_fall_into_bands_and_blanks_are_unknown() -> None:
    rows = pd.DataFrame({"age": [3, 18, 39.5, 60, 90, None], "sex": ["F", None, "M", "F", "M", "F"]})
    groups = groups_of(rows)
    assert groups["age"].tolist() == ["under 18", "18 to 39", "18 to 39", "60 to 74", "75 and over", "unknown"]
    assert groups["sex"].tolist()[1] == "unknown"
    assert "view" not in groups


def test_who_is_taken_for_whom_by_hand() -> None:
    # Ten images without f; five of them have g; the false alarms for f are in four of those five and in no other.
    truth = np.zeros((10, 2))
    truth[:5, 1] = 1
    decisions = np.zeros((10, 2), dtype=bool)
    decisions[:4, 0] = True
    lift, counts = mistaken_for(decisions, truth)
    assert lift[0, 1] == pytest.approx((4 / 5) / (4 / 10))
    assert counts[0, 1] == 4
    assert np.isnan(lift[0, 0])
    assert np.isnan(lift[1, 0])


def test_a_finding_alone_and_in_company() -> None:
    random = np.random.default_rng(1)
    truth = (random.random((300, 2)) < 0.4).astype(float)
    p = random.random((300, 2))
    decisions = p > 0.5
    company = cooccurrence(decisions, p, truth, ["a", "b"])["company"]["a"]
    alone = (truth[:, 0] == 1) & (truth[:, 1] == 0)
    assert company["alone"]["positives"] == alone.sum()
    assert company["alone"]["sensitivity"] == pytest.approx(decisions[alone, 0].mean())
    rows = truth[:, 1] == 1
    assert company["beside_others"]["auroc"] == pytest.approx(roc_auc_score(truth[rows, 0], p[rows, 0]))


def test_conformal_errors_by_hand() -> None:
    answers = np.array([["present"], ["absent"], ["uncertain"], ["present"], ["absent"]])
    truth = np.array([[1.0], [1.0], [0.0], [0.0], [np.nan]])
    found = conformal_figures(answers, truth, patient_weights(np.arange(5), 50, 0), np.arange(5), ["a"], 0.95, 0.1)
    found = found["findings"]["a"]
    assert found["error"]["value"] == pytest.approx(2 / 4)
    assert found["missed"]["value"] == pytest.approx(1 / 2)
    assert found["false"]["value"] == pytest.approx(1 / 2)
    assert found["uncertain"]["value"] == pytest.approx(1 / 4)
    assert found["positives"] == 2


def test_conformal_errors_by_group_by_hand() -> None:
    answers = np.array([["present"], ["absent"], ["present"], ["absent"], ["absent"]])
    truth = np.array([[1.0], [1.0], [0.0], [0.0], [1.0]])
    groups = {"sex": np.array(["F", "F", "F", "F", "M"])}
    weights = patient_weights(np.arange(5), 400, 0)
    found = conformal_by_group(answers, truth, weights, np.arange(5), groups, 0.95, 2)["sex"]
    assert (found["F"]["missed"]["value"], found["F"]["false"]["value"]) == (0.5, 0.5)
    assert (found["F"]["missed"]["low"], found["F"]["missed"]["high"]) == (0.0, 1.0)
    assert found["M"] == {"images": 1, "patients": 1, "too_small": True}


def test_dropout_is_told_beside_the_entropy() -> None:
    random = np.random.default_rng(0)
    features, weight = random.normal(size=(300, 20)), random.normal(size=(2, 20))
    truth = (features @ weight.T + random.normal(0, 2, (300, 2)) > 0).astype(float)
    plain = Calibration(("a", "b"), (FindingCalibration(), FindingCalibration()), fit_ood(features, features))
    found = dropout_figures(plain, features, truth, (weight, np.zeros(2), 0.3))
    assert found["entropy"] < (plain.decisions(plain.probabilities(features @ weight.T)) != truth).mean()
    assert 0 < found["spread"] < 0.5
    still = dropout_figures(plain, features, truth, (weight, np.zeros(2), 0.0))
    assert still["spread"] == pytest.approx(0.0)
    assert still["entropy"] == pytest.approx(found["entropy"])
