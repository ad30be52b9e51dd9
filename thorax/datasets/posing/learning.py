"""Learning the weights of `thorax.imaging.pose` and `thorax.imaging.lungs` from phantoms and drawings."""

from typing import Any

import numpy as np

from thorax.datasets.posing.chests import as_exported, chests
from thorax.datasets.posing.others import no_chest
from thorax.imaging.pose import FEATURES, features

_SIDE = 64
#: Strengths of the penalties on weights, as scikit-learn's C and alpha; chosen on phantoms of another seed.
_PENALTY, _LUNG_PENALTY = 0.01, 30.0
_SPREAD = 0.05


def learn(phantoms: int = 800, pictures: int = 8000, seed: int = 0) -> tuple[dict[str, Any], dict[str, Any]]:
    """Learn the weights; the same arguments give the same ones.

    Args:
        phantoms: how many chests are rendered.
        pictures: how many pictures of each of three kinds are made: upright chests, turned or negative ones, others.
        seed: of phantoms and of all chance.

    Returns:
        What `pose.json` and `lungs.json` hold: `weights`, `bias`, and what they were made from.
    """
    rng = np.random.default_rng(seed)
    pool, lungs = chests(phantoms, _SIDE, seed + 1)

    def pick() -> tuple[np.ndarray, np.ndarray]:
        number = rng.integers(len(pool))
        return as_exported(pool[number], lungs[number], rng)

    upright = [pick() for _ in range(pictures)]
    seen = [features(pixels) for pixels, _ in upright]
    others = [features(turned(pick()[0], int(rng.integers(1, 8)))) for _ in range(pictures)]
    others += [features(no_chest(rng, pool)) for _ in range(pictures)]
    about = {
        "made_by": "python -m commands.data.pose",
        "made_from": {"phantoms": phantoms, "pictures": 3 * pictures, "seed": seed},
    }
    pose = _separate(np.array(seen, dtype=np.float64), np.array(others, dtype=np.float64))
    whole = [(row, box_around(mask)) for row, (_, mask) in zip(seen, upright, strict=True) if mask.any()]
    box = _regress(np.array([row for row, _ in whole]), np.array([box for _, box in whole]))
    return {"features": FEATURES, **pose, **about}, {"features": FEATURES, **box, **about}


def box_around(mask: np.ndarray) -> tuple[float, float, float, float]:
    """Return (left, top, right, bottom) of a bool mask that is not empty, as fractions of its sides."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    height, width = mask.shape
    return columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height


def turned(pixels: np.ndarray, pose: int) -> np.ndarray:
    """Return one of eight poses: by 0 to 3 quarters, and the negatives of these (4 to 7)."""
    picture = np.ascontiguousarray(np.rot90(pixels, pose % 4))
    return 1 - picture if pose >= 4 else picture


def _separate(upright: np.ndarray, others: np.ndarray) -> dict[str, Any]:
    from sklearn.linear_model import LogisticRegression

    matrix = np.concatenate([upright, others])
    truth = np.repeat([1, 0], [len(upright), len(others)])
    centre, spread = matrix.mean(axis=0), matrix.std(axis=0) + _SPREAD
    model = LogisticRegression(C=_PENALTY, max_iter=500, class_weight="balanced")
    model.fit((matrix - centre) / spread, truth)
    weights = model.coef_[0] / spread
    bias = float(model.intercept_[0] - centre @ weights)
    return {"weights": [float(f"{weight:.4g}") for weight in weights], "bias": round(bias, 4)}


def _regress(rows: np.ndarray, boxes: np.ndarray) -> dict[str, Any]:
    from sklearn.linear_model import Ridge

    model = Ridge(alpha=_LUNG_PENALTY).fit(rows, boxes)
    weights = [[float(f"{weight:.3g}") for weight in row] for row in model.coef_.T]
    return {"weights": weights, "bias": [round(float(value), 4) for value in model.intercept_]}
