"""What monitoring needs of the network: the embedding against scikit-learn's, agreement with where it usually looks."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA

from thorax.bundle import Bundle
from thorax.bundle.watched import FILE, Watched, fit
from thorax.errors import BundleError
from thorax.imaging import read_image


def maps(rng: np.random.Generator, n: int, column: int) -> np.ndarray:
    found = rng.normal(0, 0.05, (n, 2, 8, 8))
    found[:, :, 2:5, column] += 1
    return found.astype(np.float32)


def test_the_embedding_is_whitened_principal_components() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(0, 1, (500, 40)) @ rng.normal(0, 1, (40, 40))
    usual = fit(features, maps(rng, 20, 3))
    ours, theirs = usual.embed(features), PCA(16, whiten=True).fit_transform(features)
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs), atol=1e-6)
    assert fit(features[:, :5], maps(rng, 20, 3)).embed(features[:, :5]).shape == (500, 5)
    assert fit(np.ones((30, 4)), maps(rng, 20, 3)).embed(np.ones((2, 4))).shape == (2, 0)


def test_heat_where_it_usually_lies_agrees_and_elsewhere_not() -> None:
    rng = np.random.default_rng(0)
    usual = fit(rng.normal(0, 1, (50, 8)), maps(rng, 20, 2))
    (same,), (other,) = maps(rng, 1, 2), maps(rng, 1, 6)
    assert usual.agreement(0, same[0]) > 0.9
    assert usual.agreement(0, other[0]) < 0.4
    assert usual.agreement(0, np.zeros((8, 8), np.float32)) == 0


def test_a_bundle_answers_with_what_monitoring_needs(sample_bundle: Path) -> None:
    bundle = Bundle.load(sample_bundle)
    image = next((sample_bundle / "examples").glob("*.png"), None)
    assert image is not None
    (answer,) = bundle.predict([read_image(image)])
    reference = pd.read_parquet(sample_bundle / "reference.parquet")
    assert len(answer.embedding) == len([c for c in reference if c.startswith("e_") and reference[c].notna().all()])
    heat = answer.findings[0].heat
    assert heat is not None
    assert heat.agreement is not None
    assert heat.outside is not None
    assert 0 <= heat.outside <= 1
    assert "embedding" not in answer.model_dump_json()
    assert reference["group"].nunique() < len(reference)
    assert reference["bits"].isna().all()


def test_a_damaged_file_is_named_and_a_missing_one_is_none(tmp_path: Path) -> None:
    assert Watched.load(tmp_path / FILE) is None
    (tmp_path / FILE).write_bytes(b"nothing")
    with pytest.raises(BundleError, match=r"watched\.safetensors cannot be read"):
        Watched.load(tmp_path / FILE)
