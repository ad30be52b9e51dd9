"""Smooth curves through a few points, as one matrix product: the basis of a spline depends on the count alone."""

from functools import lru_cache

import numpy as np
from scipy.interpolate import CubicHermiteSpline, CubicSpline


@lru_cache(maxsize=256)
def _open_basis(knots: int, count: int) -> np.ndarray:
    at, eye = np.arange(knots), np.eye(knots)
    return CubicHermiteSpline(at, eye, np.gradient(eye, axis=0))(np.linspace(0, knots - 1, count))


@lru_cache(maxsize=32)
def _closed_basis(knots: int, count: int) -> np.ndarray:
    eye = np.eye(knots)
    return CubicSpline(np.arange(knots + 1), np.vstack([eye, eye[:1]]), bc_type="periodic")(
        np.linspace(0, knots, count)
    )


def through(points: np.ndarray, count: int) -> np.ndarray:
    """Return `count` points of a Catmull-Rom curve through points; it stays close to them and does not swing.

    Args:
        points: (..., k, d), the curves' knots.
        count: points along each curve; as many between any two knots.

    Returns:
        (..., count, d).
    """
    return _open_basis(points.shape[-2], count) @ points


def around(points: np.ndarray, count: int) -> np.ndarray:
    """Return `count` points of the closed smooth curve through points (k, d), the first and the last the same."""
    return _closed_basis(len(points), count) @ points
