"""How often NIH's findings occur, alone and together, and the latent correlations that reproduce it.

The figures are counts over the 112,120 images of NIH ChestX-ray14's label table `Data_Entry_2017_v2020.csv` (Wang et
al. 2017, CVPR; https://nihcc.app.box.com/v/ChestXray-NIHCC). No image and no row of the table is kept here.
"""

from functools import lru_cache

import numpy as np
from scipy.special import ndtr, ndtri, owens_t

from thorax.findings import NIH14

IMAGES = 112_120

#: Images that carry both findings (lower triangle, order of `NIH14`); the diagonal is each finding's own count.
_PAIRS = (
    (11559,),
    (370, 2776),
    (3275, 1063, 13317),
    (3264, 587, 4000, 19894),
    (739, 102, 1254, 1159, 5782),
    (590, 108, 912, 1546, 906, 6331),
    (262, 41, 269, 605, 71, 70, 1431),
    (774, 49, 996, 946, 431, 341, 41, 5302),
    (1223, 169, 1287, 1221, 610, 428, 123, 223, 4667),
    (221, 127, 593, 981, 129, 131, 340, 33, 162, 2303),
    (424, 44, 359, 449, 215, 115, 23, 747, 103, 30, 2516),
    (220, 52, 188, 345, 117, 166, 11, 80, 79, 9, 36, 1686),
    (496, 111, 849, 750, 452, 411, 48, 289, 251, 64, 151, 176, 3385),
    (40, 7, 21, 33, 25, 10, 3, 9, 4, 3, 4, 8, 8, 227),
)

#: Images taken AP, of men, and both; then the same within each finding, in the order of `NIH14`.
AP, MEN, AP_MEN = 44_810, 63_340, 26_197
_AP = (5831, 1213, 6728, 10541, 2215, 2154, 801, 1895, 3146, 2027, 1017, 278, 967, 35)
_MEN = (6906, 1307, 7435, 11427, 3529, 3685, 838, 2717, 2666, 1204, 1610, 915, 2042, 96)

#: Mean normal score (rank to normal deviate) of the age within each finding, within AP and within men.
_AGE = (0.213, 0.034, 0.178, -0.037, 0.109, 0.149, -0.126, -0.016, -0.012, -0.097, 0.222, 0.357, 0.221, 1.062)
_AGE_AP, _AGE_MEN = -0.0446, 0.0196

#: Quantiles of the age in years.
AGE_SHARES = (0, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975, 0.99, 1)
AGE_YEARS = (0, 8, 13, 18, 23, 31, 38, 44, 49, 53, 57, 61, 67, 72, 75, 79, 95)

#: Patients who have 1, 2, ... 8 images. The 9% with more (up to 184) are left out: they would fill a small dataset.
IMAGES_OF_PATIENTS = (17503, 4113, 2100, 1330, 938, 787, 608, 494)

#: Latent correlation of the same finding in consecutive images of a patient (mean over findings, patients with up to
#: eight images: 0.61; of the view: 0.59), and the mean time between them in years.
WITHIN_PATIENT = 0.6
YEARS_BETWEEN = 0.3

#: Order of the latent variables below.
LATENT = ("age", "male", "AP", *NIH14)


def joint_counts() -> np.ndarray:
    """Return the int64 (14, 14) counts of images with both findings, in the order of `NIH14`."""
    counts = np.zeros((len(NIH14), len(NIH14)), dtype=np.int64)
    for row, values in enumerate(_PAIRS):
        counts[row, : row + 1] = counts[: row + 1, row] = values
    return counts


def published_rates() -> dict[str, float]:
    """Return each finding's share of the published images."""
    return {name: float(count) / IMAGES for name, count in zip(NIH14, np.diag(joint_counts()), strict=True)}


def both_above(first: np.ndarray, second: np.ndarray, correlation: np.ndarray) -> np.ndarray:
    """Return P(X > first, Y > second) of standard normal deviates with a correlation (Owen 1956, through his T)."""
    first, second = np.negative(first), np.negative(second)  # by symmetry P(X < -first, Y < -second)
    first = np.where(first == 0, 1e-12, first)
    second = np.where(second == 0, 1e-12, second)
    spread = np.sqrt(1 - correlation**2)
    one = owens_t(first, (second / first - correlation) / spread)
    two = owens_t(second, (first / second - correlation) / spread)
    return (ndtr(first) + ndtr(second)) / 2 - one - two - np.where(first * second > 0, 0.0, 0.5)


def tetrachoric(first: np.ndarray, second: np.ndarray, both: np.ndarray) -> np.ndarray:
    """Return the correlations of the normal deviates whose excesses have these rates (Pearson 1900), by bisection.

    Args:
        first: rates of the one event, above 0 and below 1; any shape.
        second: rates of the other.
        both: rates of the two together.
    """
    low, high = np.full(np.shape(both), -0.999), np.full(np.shape(both), 0.999)
    for _ in range(40):
        middle = (low + high) / 2
        small = both_above(-ndtri(first), -ndtri(second), middle) < both
        low, high = np.where(small, middle, low), np.where(small, high, middle)
    return (low + high) / 2


@lru_cache(maxsize=1)
def latent_correlation() -> np.ndarray:
    """Return the float64 (17, 17) correlation matrix of `LATENT` that reproduces the published counts.

    An image has a finding where its latent deviate exceeds a threshold; the pairwise correlations are tetrachoric,
    those with age biserial. The matrix is brought to the nearest one without negative eigenvalues by clipping them.
    """
    events = np.array([MEN, AP, *np.diag(joint_counts())]) / IMAGES
    both = np.zeros((16, 16))
    both[2:, 2:] = joint_counts()
    both[0, 1] = both[1, 0] = AP_MEN
    both[0, 2:] = both[2:, 0] = _MEN
    both[1, 2:] = both[2:, 1] = _AP
    rows, columns = np.triu_indices(16, 1)
    matrix = np.eye(17)
    pairs = tetrachoric(events[rows], events[columns], both[rows, columns] / IMAGES)
    matrix[rows + 1, columns + 1] = matrix[columns + 1, rows + 1] = pairs
    density = np.exp(-(ndtri(events) ** 2) / 2) / np.sqrt(2 * np.pi)
    matrix[0, 1:] = matrix[1:, 0] = np.array([_AGE_MEN, _AGE_AP, *_AGE]) * events / density
    values, vectors = np.linalg.eigh(matrix)
    matrix = (vectors * np.maximum(values, 1e-4)) @ vectors.T
    scale = np.sqrt(np.diag(matrix))
    return matrix / np.outer(scale, scale)
