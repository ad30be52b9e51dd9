"""Folds keep patients together and findings balanced; ranks let folds be pooled; HOG sees edges."""

import numpy as np
import pytest
from scipy.stats import rankdata
from trainable_store import write_store

from thorax.errors import InputError
from thorax.preprocessing.store import ImageStore
from thorax.training.folds import assign_folds, ranks_within, with_fold
from thorax.training.hog import hog, logistic_scores


@pytest.fixture
def store(store_folder):
    return ImageStore.open(store_folder)


def test_no_patient_stands_in_two_folds_and_findings_are_balanced():
    random = np.random.default_rng(0)
    patients = random.integers(0, 300, 800).astype(str)
    truth = (random.random((800, 3)) < [0.3, 0.1, 0.04]).astype(float)
    truth[5, 0] = np.nan
    folds = assign_folds(patients, truth, 5, seed=1)
    assert all(len(np.unique(folds[patients == name])) == 1 for name in np.unique(patients))
    counts = np.bincount(folds)
    assert counts.min() > 0.8 * counts.max()
    for column in range(3):
        positives = np.array([np.nansum(truth[folds == fold, column]) for fold in range(5)])
        assert positives.min() > 0.5 * positives.mean()
    assert np.array_equal(folds, assign_folds(patients, truth, 5, seed=1))


def test_more_folds_than_patients_are_refused():
    with pytest.raises(InputError, match="3 patients cannot be divided into 5 folds"):
        assign_folds(np.array(["a", "b", "c"]), np.zeros((3, 1)), 5, 0)


def test_a_fold_is_held_out_and_its_patients_with_it(store):
    rows = np.arange(len(store))
    folds = assign_folds(store.rows["patient_id"].to_numpy(), store.truth(rows), 4, 0)
    held_out = []
    for fold in range(4):
        one = with_fold(store, folds, fold, seed=3)
        sets = [set(one.rows["patient_id"].iloc[one.indices(split)]) for split in ("train", "validation", "test")]
        assert not sets[0] & sets[1]
        assert not (sets[0] | sets[1]) & sets[2]
        assert len(one.indices("validation")) > 0
        held_out += list(one.indices("test"))
    assert sorted(held_out) == list(rows)


def test_shuffled_labels_are_those_of_other_images_and_the_held_out_ones_stay(store):
    rows = np.arange(len(store))
    folds = assign_folds(store.rows["patient_id"].to_numpy(), store.truth(rows), 4, 0)
    one, plain = (with_fold(store, folds, 0, seed=3, shuffled=shuffled) for shuffled in (True, False))
    test, train = plain.indices("test"), np.flatnonzero(folds != 0)
    assert np.array_equal(one.truth(test), plain.truth(test))
    assert np.array_equal(one.targets(train), one.truth(train))
    assert not np.array_equal(one.truth(train), plain.truth(train))
    assert np.array_equal(one.truth(train).sum(axis=0), plain.truth(train).sum(axis=0))


def test_ranks_are_within_each_group():
    scores = np.array([[0.1], [0.3], [0.2], [100.0], [50.0]])
    assert ranks_within(scores, [0, 0, 0, 1, 1])[:, 0] == pytest.approx([1 / 6, 5 / 6, 3 / 6, 0.75, 0.25])
    assert ranks_within(scores, [0] * 5)[:, 0] == pytest.approx((rankdata(scores[:, 0]) - 0.5) / 5)


def test_hog_of_a_vertical_edge_votes_for_horizontal_gradients_alone():
    image = np.zeros((1, 64, 64), dtype=np.float32)
    image[:, :, 24:] = 100.0
    found = hog(image).reshape(3, 3, 4, 9)
    # The gradient points across: an orientation of 0, between the last and the first of nine bins.
    assert found[..., 1:8].max() == 0
    assert found[0, 0, 1, 0] == pytest.approx(found[0, 0, 1, 8])
    assert found[0, 0, 1, 0] > 0.5
    assert found.shape[-1] * 4 * 9 == hog(image).shape[1]
    # Blocks are normalised: a stronger edge is the same edge.
    assert hog(image * 2) == pytest.approx(hog(image), abs=1e-3)


def test_logistic_regression_on_hog_finds_the_squares(tmp_path):
    from sklearn.metrics import roc_auc_score

    store = ImageStore.open(write_store(tmp_path / "store", count=240))
    scores = logistic_scores(store)
    assert roc_auc_score(store.truth(store.indices("test")), scores) > 0.75
