"""Which calibrator a finding gets, and when it falls back."""

import numpy as np
import pytest

from thorax.calibration.calibrators import sigmoid
from thorax.calibration.choice import choose, patient_folds
from thorax.calibration.fitting import negative_log_likelihood


def test_no_patient_is_on_both_sides_of_a_fold() -> None:
    patients = np.array(["a", "b", "a", "c", "b", "d", "e"])
    folds = patient_folds(patients, 3)
    assert all(len(set(folds[patients == name])) == 1 for name in patients)
    assert set(folds) == {0, 1, 2}


def test_more_folds_than_patients_are_refused_quietly() -> None:
    assert patient_folds(np.array(["a", "a", "b"]), 5).max() == 1


def test_a_distorted_network_is_mended(sample) -> None:
    logits, truth, patients = sample()
    held, held_truth, _ = sample(seed=9)
    chosen = choose(logits, truth, patients)[0]
    before = negative_log_likelihood(sigmoid(held), held_truth).mean()
    after = negative_log_likelihood(chosen.calibrator.probabilities(held[:, 0]), held_truth[:, 0]).mean()
    assert chosen.calibrator.method in ("platt", "beta")
    assert after < before - 0.05


def test_a_network_that_needs_nothing_is_left_about_as_it_is(sample) -> None:
    logits, truth, patients = sample(slope=1.0, intercept=0.0, n=6000)
    p = choose(logits, truth, patients)[0].calibrator.probabilities(logits[:, 0])
    assert np.abs(p - sigmoid(logits[:, 0])).max() < 0.05


@pytest.mark.parametrize("positives", [0, 1, 3])
def test_a_finding_with_hardly_a_positive_falls_back_and_says_so(sample, positives: int) -> None:
    logits, truth, patients = sample()
    rare = np.zeros(len(truth))
    rare[:positives] = 1
    both = choose(np.column_stack([logits, logits]), np.column_stack([truth, rare]), patients)
    chosen = both[1]
    assert chosen.positives == positives
    assert f"only {positives} positive" in chosen.note
    assert "shared" in chosen.note
    # The line was fitted to the other finding: about slope 2.
    assert chosen.calibrator.slope == pytest.approx(2.0, abs=0.3)
    p = chosen.calibrator.probabilities(logits[:, 0])
    assert 0 < p.mean() < 0.01


def test_a_constant_score_gives_the_prevalence(sample) -> None:
    logits, truth, patients = sample()
    chosen = choose(np.zeros_like(logits), truth, patients)[0]
    assert chosen.calibrator.probabilities(np.zeros(1))[0] == pytest.approx(truth.mean(), abs=0.01)
    assert "same score" in chosen.note


def test_scores_that_run_against_the_truth_are_not_turned_round(sample) -> None:
    logits, truth, patients = sample(slope=-1.5)
    chosen = choose(logits, truth, patients, method="platt")[0]
    assert chosen.calibrator.slope > 0
    assert "do not rise" in chosen.note


def test_unknown_truth_counts_for_nothing(sample) -> None:
    logits, truth, patients = sample(n=1000)
    gaps = truth.copy()
    gaps[500:] = np.nan
    with_gaps = choose(logits, gaps, patients, method="platt")[0]
    without = choose(logits[:500], truth[:500], patients[:500], method="platt")[0]
    assert with_gaps.calibrator.slope == pytest.approx(without.calibrator.slope)
    assert choose(logits, np.full_like(truth, np.nan), patients)[0].note.startswith("no truth is known")


def test_a_single_patient_cannot_be_cross_validated_and_it_is_said(sample) -> None:
    logits, truth, _ = sample(n=200)
    chosen = choose(logits, truth, np.full(200, "one"))[0]
    assert "one patient" in chosen.note
    assert chosen.calibrator.method == "platt"


def test_ties_do_not_matter(sample) -> None:
    logits, truth, patients = sample()
    chosen = choose(np.round(logits), truth, patients)[0]
    assert np.isfinite(chosen.calibrator.probabilities(logits[:, 0])).all()
