"""What is known of a patient and a radiograph beside its pixels, as numbers that a network can read."""

from collections.abc import Iterable
from typing import Any

import numpy as np

#: What each number says. Nothing known is all zeros, which changes no answer.
COLUMNS = ("age_known", "age", "female", "male", "pa", "ap", "lateral")

_SEXES = {"F": 2, "M": 3}
_VIEWS = {"PA": 4, "AP": 5, "LATERAL": 6}


def encode(ages: Iterable[Any], sexes: Iterable[Any], views: Iterable[Any]) -> np.ndarray:
    """Return age, sex and view as numbers.

    Args:
        ages: years each; None, NaN and what lies outside 0 to 120 are not known.
        sexes: F or M each; anything else is not known.
        views: PA, AP or LATERAL each; anything else is not known.

    Returns:
        (n, 7) float32, as `COLUMNS` says; age runs from −2 at 0 years by 0.04 a year.
    """
    rows = []
    for age, sex, view in zip(ages, sexes, views, strict=True):
        row = np.zeros(len(COLUMNS), dtype=np.float32)
        years = float(age) if isinstance(age, int | float | np.number) else np.nan
        if 0 <= years <= 120:
            row[0], row[1] = 1.0, (years - 50) / 25
        if sex in _SEXES:
            row[_SEXES[sex]] = 1.0
        if view in _VIEWS:
            row[_VIEWS[view]] = 1.0
        rows.append(row)
    return np.stack(rows) if rows else np.zeros((0, len(COLUMNS)), dtype=np.float32)
