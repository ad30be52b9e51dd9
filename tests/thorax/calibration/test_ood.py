"""Out-of-distribution scores against scikit-learn and SciPy."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from thorax.calibration.ood import KINDS, OutOfDistribution, fit_ood
from thorax.errors import InputError


@pytest.fixture
def features() -> np.ndarray:
    random = np.random.default_rng(0)
    return random.normal(size=(500, 12)) @ random.normal(size=(12, 12)) + 3


def test_mahalanobis_agrees_with_scikit_learn_and_scipy(features: np.ndarray) -> None:
    theirs = LedoitWolf().fit(features)
    expected = cdist(features[:50] + 1, theirs.location_[None], "mahalanobis", VI=theirs.precision_)[:, 0]
    np.testing.assert_allclose(fit_ood(features, "mahalanobis").score(features[:50] + 1), expected, rtol=1e-4)


def test_neighbours_agree_with_scikit_learn(features: np.ndarray) -> None:
    centred = features - features.mean(0)
    sphere = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    distances, _ = NearestNeighbors(n_neighbors=10).fit(sphere).kneighbors(sphere[:40])
    np.testing.assert_allclose(fit_ood(features, "knn").score(features[:40]), distances[:, -1], atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_strange_scores_higher(features: np.ndarray, kind: str) -> None:
    random = np.random.default_rng(1)
    strange = random.normal(size=(200, 12)) * features.std() + features.mean(0)
    fitted = fit_ood(features[:300], kind)
    scores = np.concatenate([fitted.score(features[300:]), fitted.score(strange)])
    assert roc_auc_score(np.repeat([0, 1], 200), scores) > 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_it_survives_its_file(features: np.ndarray, kind: str, tmp_path: Path) -> None:
    fitted = fit_ood(features, kind)
    fitted.save(tmp_path / "ood.safetensors")
    again = OutOfDistribution.load(tmp_path / "ood.safetensors", kind)
    np.testing.assert_allclose(again.score(features[:5]), fitted.score(features[:5]), rtol=1e-4, atol=1e-5)


def test_a_network_that_breaks_down_is_strange_not_silent(features: np.ndarray) -> None:
    broken = np.full((1, 12), np.nan)
    fitted = fit_ood(features)
    assert fitted.score(broken)[0] > fitted.score(features).max()


def test_more_features_than_images_is_no_trouble() -> None:
    random = np.random.default_rng(2)
    fitted = fit_ood(random.normal(size=(20, 200)))
    assert np.isfinite(fitted.score(random.normal(size=(5, 200)))).all()
    assert np.isfinite(fit_ood(np.ones((5, 4))).score(np.ones((2, 4)))).all()


def test_features_of_another_network_are_refused(features: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="12 features"):
        fit_ood(features).score(np.zeros((3, 7)))
    with pytest.raises(InputError, match="cannot teach"):
        fit_ood(features[:1])
    (tmp_path / "ood.safetensors").write_bytes(b"half a file")
    with pytest.raises(InputError, match="cut short"):
        OutOfDistribution.load(tmp_path / "ood.safetensors", "knn")
    with pytest.raises(InputError, match="does not exist"):
        OutOfDistribution.load(tmp_path / "nothing", "knn")
