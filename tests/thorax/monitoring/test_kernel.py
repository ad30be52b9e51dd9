"""The maximum mean discrepancy on random features, against the kernel's own double sum."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics.pairwise import rbf_kernel

from thorax.monitoring.kernel import discrepancy, fit_kernel


def frame(values: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({f"e_{at:02d}": values[:, at] for at in range(values.shape[1])})


def test_it_comes_near_the_exact_discrepancy() -> None:
    rng = np.random.default_rng(0)
    reference, window = rng.normal(0, 1, (600, 5)), rng.normal(0.6, 1.3, (500, 5))
    kernel = fit_kernel(frame(reference))
    assert kernel is not None
    ours, theirs = kernel.rows(frame(window)), kernel.rows(frame(reference))
    # The frequencies of a Gaussian kernel of width w are normal with deviation 1 / w.
    gamma = 0.5 * float((kernel.frequencies**2).mean())
    exact = rbf_kernel(ours, ours, gamma).mean() + rbf_kernel(theirs, theirs, gamma).mean()
    exact -= 2 * rbf_kernel(ours, theirs, gamma).mean()
    found = discrepancy(kernel.features(frame(window)).mean(0), kernel.features(frame(reference)).mean(0))
    assert found == pytest.approx(exact, rel=0.35)


def test_rows_without_an_embedding_are_left_out_and_none_at_all_gives_no_kernel() -> None:
    values = np.random.default_rng(0).normal(0, 1, (50, 3))
    holed = frame(values)
    holed.loc[:9, "e_01"] = np.nan
    kernel = fit_kernel(frame(values))
    assert kernel is not None
    assert kernel.features(holed).shape == (40, 128)
    assert fit_kernel(holed[[]]) is None
    assert fit_kernel(holed * np.nan) is None
