"""Effect sizes against SciPy and against cases worked by hand."""

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon

from thorax.monitoring import effects


def test_psi_of_a_hand_worked_case() -> None:
    """Shares .25/.75 against .5/.5: (−.25)·ln(.5) + (.25)·ln(1.5)."""
    found = effects.psi(np.array([250_000, 750_000]), np.array([500_000, 500_000]))
    assert found == pytest.approx(-0.25 * np.log(0.5) + 0.25 * np.log(1.5), rel=1e-4)
    assert effects.psi(np.array([0, 10]), np.array([10, 0])) < np.inf


def test_jensen_shannon_equals_scipys() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = rng.integers(1, 1000, (2, 5, 8))
    expected = [jensenshannon(effects.shares(a), effects.shares(b), base=2) for a, b in zip(ours, theirs, strict=True)]
    np.testing.assert_allclose(effects.jensen_shannon(ours, theirs), expected, atol=1e-12)


def test_wasserstein_comes_near_scipys_on_forty_bins() -> None:
    from thorax.monitoring.bins import watch
    from thorax.monitoring.summary import counts

    rng = np.random.default_rng(0)
    import pandas as pd

    reference = pd.DataFrame({"p_Edema": rng.normal(0, 2, 4000)})
    for shift in (0.3, 1.0):
        current = pd.DataFrame({"p_Edema": rng.normal(shift, 2, 4000)})
        (column,) = watch(reference)
        ours, theirs = (counts([column], column.codes(f["p_Edema"])[:, None])[0][:-1] for f in (current, reference))
        expected = stats.wasserstein_distance(current["p_Edema"], reference["p_Edema"]) / reference["p_Edema"].std()
        assert effects.wasserstein(ours, theirs, column.widths) == pytest.approx(expected, rel=0.08)


def test_nothing_differs_from_itself() -> None:
    counts = np.array([3.0, 0.0, 9.0])
    assert effects.psi(counts, counts) == 0
    assert effects.jensen_shannon(counts, counts) == 0
    assert effects.wasserstein(counts, counts, np.ones(2)) == 0
