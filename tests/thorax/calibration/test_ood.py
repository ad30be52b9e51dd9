"""Out-of-distribution scores against scikit-learn and SciPy."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from thorax.calibration.distance import KINDS, fit_distance
from thorax.calibration.ood import OutOfDistribution, fit_ood, thumbnails
from thorax.errors import InputError


@pytest.fixture
def features() -> np.ndarray:
    random = np.random.default_rng(0)
    return random.normal(size=(500, 12)) @ random.normal(size=(12, 12)) + 3


def test_mahalanobis_agrees_with_scikit_learn_and_scipy(features: np.ndarray) -> None:
    theirs = LedoitWolf().fit(features)
    expected = cdist(features[:50] + 1, theirs.location_[None], "mahalanobis", VI=theirs.precision_)[:, 0]
    np.testing.assert_allclose(fit_distance(features, "mahalanobis").score(features[:50] + 1), expected, rtol=1e-4)


def test_neighbours_agree_with_scikit_learn(features: np.ndarray) -> None:
    centred = features - features.mean(0)
    sphere = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    distances, _ = NearestNeighbors(n_neighbors=10).fit(sphere).kneighbors(sphere[:40])
    np.testing.assert_allclose(fit_distance(features, "knn").score(features[:40]), distances[:, -1], atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_strange_scores_higher(features: np.ndarray, kind: str) -> None:
    random = np.random.default_rng(1)
    strange = random.normal(size=(200, 12)) * features.std() + features.mean(0)
    fitted = fit_distance(features[:300], kind)
    scores = np.concatenate([fitted.score(features[300:]), fitted.score(strange)])
    assert roc_auc_score(np.repeat([0, 1], 200), scores) > 0.9


@pytest.fixture
def radiographs() -> np.ndarray:
    """300 images alike: dark above, a bright spot, noise."""
    random = np.random.default_rng(5)
    ramp = np.linspace(40, 160, 50)[:, None] + np.zeros((50, 50))
    spot = 60 * np.exp(-(((np.mgrid[:50, :50] - np.array([20, 30])[:, None, None]) / 8) ** 2).sum(axis=0))
    return (ramp + spot + random.normal(0, 12, (300, 50, 50))).clip(0, 255).astype(np.uint8)


@pytest.fixture
def fitted(features: np.ndarray, radiographs: np.ndarray) -> OutOfDistribution:
    small = thumbnails(radiographs)
    return fit_ood(features[:150], features[150:250], "mahalanobis", 0.98, small[:150], small[150:250])


def test_thumbnails_are_the_means_of_blocks_by_opencv() -> None:
    image = np.random.default_rng(0).integers(0, 255, (1, 64, 64), dtype=np.uint8)
    means = cv2.resize(image[0].astype(np.float64), (8, 8), interpolation=cv2.INTER_AREA).ravel()
    np.testing.assert_allclose(thumbnails(image)[0], (means - means.mean()) / means.std(), rtol=1e-6)
    assert not thumbnails(np.full((1, 50, 50), 7)).any()
    assert thumbnails(np.zeros((0, 50, 50))).shape == (0, 64)


def test_brightness_and_contrast_do_not_matter_and_the_scale_of_pixels_neither(radiographs: np.ndarray) -> None:
    np.testing.assert_allclose(thumbnails(radiographs), thumbnails(radiographs / 255 * 0.5 + 0.2), atol=1e-9)


def test_negatives_and_turned_images_are_strange_though_their_features_are_not(
    fitted: OutOfDistribution, features: np.ndarray, radiographs: np.ndarray
) -> None:
    usual, held = radiographs[250:], features[250:300]
    assert (fitted.score(held, usual) > 1).mean() <= 0.15
    for strange in (255 - usual, np.rot90(usual, 1, (1, 2)), np.rot90(usual, 2, (1, 2))):
        assert (fitted.score(held, strange) > 1).all()


def test_the_cutoff_is_one_with_and_without_images(
    fitted: OutOfDistribution, features: np.ndarray, radiographs: np.ndarray
) -> None:
    for images in (None, radiographs[150:250]):
        scores = fitted.score(features[150:250], images)
        assert (scores > 1).mean() == pytest.approx(0.02)
        assert np.median(scores) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_it_survives_its_file(kind: str, features: np.ndarray, radiographs: np.ndarray, tmp_path: Path) -> None:
    small = thumbnails(radiographs)
    for parts in ((), (small[:150], small[150:250])):
        fitted = fit_ood(features[:150], features[150:250], kind, 0.98, *parts)
        fitted.save(tmp_path / "ood.safetensors")
        again = OutOfDistribution.load(tmp_path / "ood.safetensors", kind)
        ours, theirs = (one.score(features[:9], radiographs[:9]) for one in (fitted, again))
        np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-3)


def test_a_network_that_breaks_down_is_strange_not_silent(fitted: OutOfDistribution, features: np.ndarray) -> None:
    assert fitted.score(np.full((1, 12), np.nan))[0] > fitted.score(features).max()


def test_more_features_than_images_is_no_trouble() -> None:
    random = np.random.default_rng(2)
    fitted = fit_ood(random.normal(size=(20, 200)), random.normal(size=(9, 200)))
    assert np.isfinite(fitted.score(random.normal(size=(5, 200)))).all()
    assert np.isfinite(fit_ood(np.ones((5, 4)), np.ones((3, 4))).score(np.ones((2, 4)))).all()


def test_what_does_not_fit_is_refused(fitted: OutOfDistribution, features: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="12 features"):
        fitted.score(np.zeros((3, 7)))
    with pytest.raises(InputError, match="2 images and 3 features"):
        fitted.score(features[:3], np.zeros((2, 50, 50)))
    with pytest.raises(InputError, match="at least 8"):
        fitted.score(features[:3], np.zeros((3, 4, 4)))
    with pytest.raises(InputError, match="cannot teach"):
        fit_ood(features[:1], features)
    fitted.save(tmp_path / "whole.safetensors")
    with pytest.raises(InputError, match="'knn'"):
        OutOfDistribution.load(tmp_path / "whole.safetensors", "knn")
    (tmp_path / "ood.safetensors").write_bytes(b"half a file")
    with pytest.raises(InputError, match="cut short"):
        OutOfDistribution.load(tmp_path / "ood.safetensors", "knn")
    with pytest.raises(InputError, match="does not exist"):
        OutOfDistribution.load(tmp_path / "nothing", "knn")
