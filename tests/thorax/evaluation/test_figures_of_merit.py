"""Every figure against scikit-learn, on the sample and on replicates, with gaps in the truth."""

import numpy as np
import pytest
from sklearn import metrics as sk
from statsmodels.stats.proportion import proportion_confint

from thorax.evaluation.calibration_error import expected_calibration_error
from thorax.evaluation.figures_of_merit import METRICS, Scores, confusion, figures, patients_behind
from thorax.evaluation.resampling import patient_weights
from thorax.evaluation.summary import summarise


@pytest.fixture
def scores() -> Scores:
    random = np.random.default_rng(0)
    truth = (random.random((500, 3)) < [0.3, 0.1, 0.02]).astype(float)
    p = np.clip(np.round(random.normal(0.3 + 0.3 * truth, 0.15), 2), 0.01, 0.99)
    truth[random.random((500, 3)) < 0.1] = np.nan
    return Scores(truth, p, p**0.5, np.array([0.4, 0.45, 0.5]), np.arange(500) // 2)


def test_the_samples_figures_are_scikit_learns(scores: Scores) -> None:
    found = figures(scores, np.ones((1, 500), dtype=np.uint8))
    for column in range(3):
        rows = ~np.isnan(scores.truth[:, column])
        y, p, raw = scores.truth[rows, column], scores.probabilities[rows, column], scores.raw[rows, column]
        called = p >= scores.thresholds[column]
        expected = {
            "auroc": sk.roc_auc_score(y, p),
            "auprc": sk.average_precision_score(y, p),
            "sensitivity": sk.recall_score(y, called),
            "specificity": sk.recall_score(y, called, pos_label=0),
            "precision": sk.precision_score(y, called),
            "npv": sk.precision_score(y, called, pos_label=0),
            "f1": sk.f1_score(y, called),
            "balanced_accuracy": sk.balanced_accuracy_score(y, called),
            "accuracy": sk.accuracy_score(y, called),
            "ece": expected_calibration_error(p, y),
            "ece_raw": expected_calibration_error(raw, y),
            "brier": sk.brier_score_loss(y, p),
            "brier_raw": sk.brier_score_loss(y, raw),
            "nll": sk.log_loss(y, p),
            "nll_raw": sk.log_loss(y, raw),
        }
        assert set(expected) == set(METRICS)
        for name, value in expected.items():
            assert found[name][0, column] == pytest.approx(value), name


def test_a_replicate_is_the_figure_of_the_drawn_images(scores: Scores) -> None:
    weights = patient_weights(scores.patients, 8, 1)
    found = figures(scores, weights)
    for row in (0, 7):
        drawn = np.repeat(np.arange(500), weights[row])
        again = figures(scores.take(drawn), np.ones((1, len(drawn)), dtype=np.uint8))
        for name in set(METRICS) - {"ece", "ece_raw"}:  # replicates keep the sample's bins
            np.testing.assert_allclose(found[name][row], again[name][0], rtol=1e-5, err_msg=name)


def test_micro_figures_throw_all_cases_together(scores: Scores) -> None:
    known = ~np.isnan(scores.truth)
    found = figures(scores, np.ones((1, 500), dtype=np.uint8))
    assert found["f1_micro"][0, 0] == pytest.approx(sk.f1_score(scores.truth[known], scores.decisions[known]))
    assert found["precision_micro"][0, 0] == pytest.approx(
        sk.precision_score(scores.truth[known], scores.decisions[known])
    )


def test_means_by_support_and_pooled_ranks_are_scikit_learns() -> None:
    random = np.random.default_rng(4)
    truth = (random.random((300, 3)) < [0.4, 0.2, 0.1]).astype(float)
    p = np.round(np.clip(random.normal(0.3 + 0.3 * truth, 0.2), 0.01, 0.99), 2)
    scores = Scores(truth, p, p, np.full(3, 0.4), np.arange(300))
    found = summarise(scores, patient_weights(scores.patients, 5, 0), ["a", "b", "c"], 0.95, 15)
    called = scores.decisions
    for name, theirs in (("precision", sk.precision_score), ("sensitivity", sk.recall_score), ("f1", sk.f1_score)):
        assert found["weighted"][name]["value"] == pytest.approx(theirs(truth, called, average="weighted"))
    assert found["micro"]["auroc"]["value"] == pytest.approx(sk.roc_auc_score(truth, p, average="micro"))
    assert found["micro"]["auprc"]["value"] == pytest.approx(sk.average_precision_score(truth, p, average="micro"))


def test_all_found_of_a_few_patients_is_no_certainty() -> None:
    # Eight images of four patients, all found: the bootstrap sees no spread, Wilson's interval of 4 of 4 does.
    truth, p = np.repeat([[1.0], [0.0]], 8, axis=0), np.repeat([[0.9], [0.1]], 8, axis=0)
    scores = Scores(truth, p, p, np.array([0.5]), np.arange(16) // 2)
    assert {name: int(of[0]) for name, of in patients_behind(scores).items()} == {
        "sensitivity": 4,
        "specificity": 4,
        "precision": 4,
        "npv": 4,
    }
    found = summarise(scores, patient_weights(scores.patients, 50, 0), ["a"], 0.95, 4)["a"]["sensitivity"]
    low, high = proportion_confint(4, 4, method="wilson")
    assert (found["value"], found["low"], found["high"]) == (1.0, pytest.approx(low), pytest.approx(high))


def test_the_confusion_matrix_is_scikit_learns(scores: Scores) -> None:
    rows = ~np.isnan(scores.truth[:, 1])
    tn, fp, fn, tp = sk.confusion_matrix(scores.truth[rows, 1], scores.decisions[rows, 1]).ravel()
    assert confusion(scores)[1] == {"tp": tp, "fp": fp, "fn": fn, "tn": tn}


def test_the_mean_is_macro_and_leaves_out_what_cannot_be_told(scores: Scores) -> None:
    truth = scores.truth.copy()
    truth[:, 2] = np.where(np.isnan(truth[:, 2]), np.nan, 0.0)  # a finding without a positive
    bare = Scores(truth, scores.probabilities, scores.raw, scores.thresholds, scores.patients)
    found = summarise(bare, patient_weights(bare.patients, 50, 0), ["a", "b", "c"], 0.95, 15)
    assert found["c"]["auroc"] == {"value": None, "low": None, "high": None}
    assert found["c"]["sensitivity"]["value"] is None
    assert found["c"]["specificity"]["value"] is not None
    assert found["mean"]["auroc"]["value"] == pytest.approx(
        (found["a"]["auroc"]["value"] + found["b"]["auroc"]["value"]) / 2
    )
    assert found["mean"]["auroc"]["low"] < found["mean"]["auroc"]["value"] < found["mean"]["auroc"]["high"]


@pytest.mark.parametrize("positives", [0, 1])
def test_hardly_a_positive_is_no_crash(positives: int) -> None:
    truth = np.zeros((30, 1))
    truth[:positives] = 1
    one = Scores(truth, np.linspace(0.1, 0.9, 30)[:, None], np.full((30, 1), 0.5), np.array([0.5]), np.arange(30))
    found = summarise(one, patient_weights(one.patients, 20, 0), ["a"], 0.95, 15)
    assert (found["a"]["auroc"]["value"] is None) == (positives == 0)
    assert found["a"]["positives"] == positives


def test_overconfident_errors_are_counted_before_and_after() -> None:
    truth = np.array([[0.0], [0.0], [1.0], [0.0]])
    p, raw = np.array([[0.2], [0.95], [0.95], [0.1]]), np.array([[0.92], [0.99], [0.99], [0.91]])
    one = Scores(truth, p, raw, np.array([0.5]), np.arange(4))
    found = summarise(one, patient_weights(one.patients, 5, 0), ["a"], 0.95, 2)
    assert (found["a"]["overconfident"], found["a"]["overconfident_raw"]) == (1, 3)
