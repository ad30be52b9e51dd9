"""Which errors the report shows, and what the candidates' disagreement is worth."""

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from thorax.calibration import Calibration
from thorax.calibration.outputs import read_outputs
from thorax.evaluation.gallery import localized, worst_errors
from thorax.evaluation.paired import Answers, digests, disagreement_figures
from thorax.evaluation.run import match, measure
from thorax.preprocessing.store import ImageStore
from thorax.settings import Evaluation


@pytest.fixture
def seen(folders):
    """A test split that was measured, and its store."""
    store = ImageStore.open(folders.store)
    outputs = read_outputs(folders.train / "outputs-test.npz")
    calibration = Calibration.load(folders.calibration)
    return measure(outputs, calibration, match(outputs, store), store.boxes, Evaluation(bootstrap=10)), store


def test_the_surest_errors_of_every_finding_are_shown_surest_first_with_heat(seen) -> None:
    evaluated, store = seen
    alarms, misses = worst_errors(evaluated, store)
    truth, p, called = evaluated.scores.truth, evaluated.scores.probabilities, evaluated.scores.decisions
    for column, finding in enumerate(evaluated.facts["findings"]):
        false = (truth[:, column] == 0) & called[:, column]
        missed = (truth[:, column] == 1) & ~called[:, column]
        for pictures, worst in ((alarms, p[false, column].max()), (misses, p[missed, column].min())):
            mine = [one.detail for one in pictures if one.caption.startswith(finding)]
            assert mine[0].startswith(f"probability {worst:.2f}")
    shown = [float(one.detail.split()[1].rstrip(";")) for one in alarms]
    assert shown == sorted(shown, reverse=True)
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(alarms[0].address.partition(",")[2]))).convert("RGB"))
    colour = picture.max(axis=2).astype(int) - picture.min(axis=2)
    assert colour.max() > 40, "heat is drawn over the radiograph"


def test_median_and_worst_overlap_are_shown_and_no_picked_success(seen) -> None:
    evaluated, store = seen
    overlaps = sorted(one.agreement["iou"] for one in evaluated.located if one.finding == 0)
    mine = [one for one in localized(evaluated, store) if one.caption.startswith("Effusion")]
    assert [one.caption for one in mine] == ["Effusion: median overlap", "Effusion: worst overlap"]
    for one, iou in zip(mine, (overlaps[len(overlaps) // 2], overlaps[0]), strict=True):
        assert f"IoU {iou:.2f}" in one.detail


def test_disagreement_finds_errors_that_a_networks_own_entropy_does_not() -> None:
    # The winner is as sure of its errors as of the rest; the others, who err elsewhere, contradict it there.
    random = np.random.default_rng(0)
    truth = (random.random((600, 1)) < 0.5).astype(float)
    names = np.array([f"image {i}" for i in range(600)])

    def candidate(share: float) -> Answers:
        wrong = random.random((600, 1)) < share
        p = np.where((truth == 1) ^ wrong, 0.9, 0.1) + random.normal(0, 0.01, (600, 1))
        return Answers(digests(names), digests(names), p, truth, np.array([0.5]))

    answers = {name: candidate(0.15) for name in ("a", "b", "c")}
    found = disagreement_figures(answers, "a")
    wrong = (answers["a"].probabilities >= 0.5) != (truth == 1)
    spread = np.stack([one.probabilities for one in answers.values()]).std(axis=0)[:, 0]
    risk = np.cumsum(wrong[np.argsort(spread, kind="stable"), 0]) / np.arange(1, 601)  # AURC by its definition
    assert found["spread"] == pytest.approx(risk.mean())
    assert found["spread"] < 0.6 * found["entropy"]
    assert found["ensemble_entropy"] < 0.6 * found["entropy"]
    assert disagreement_figures({"a": answers["a"]}, "a") is None


def test_an_unknown_truth_is_left_out_of_disagreement() -> None:
    names = np.array(["x", "y", "z"])
    truth = np.array([[1.0], [np.nan], [0.0]])
    one = Answers(digests(names), digests(names), np.array([[0.9], [0.9], [0.8]]), truth, np.array([0.5]))
    other = replace(one, probabilities=np.array([[0.9], [0.1], [0.1]]))
    assert disagreement_figures({"a": one, "b": other}, "a")["spread"] == pytest.approx((0 + 1 / 2) / 2)
