"""The pulmonary vessels: a branching tree from each hilum, projected."""

import numpy as np

from thorax.datasets.phantom.anatomy import Anatomy
from thorax.datasets.phantom.grid import Grid, stream

_GENERATIONS = 7
#: Attenuation of blood beyond that of the air it displaces, per unit of length.
_BLOOD = 11.0
_CLASSES = np.array([0.0006, 0.0012, 0.002, 0.0032, 0.005, 0.008, 0.012])


def _tree(anatomy: Anatomy, side: int, rng: np.random.Generator, step: float) -> tuple[np.ndarray, ...]:
    """Return points of one lung's tree: u, v, radius and length of the piece, each float (n,)."""
    sign = (-1, 1)[side]
    mains = 15
    # From nearly straight up, over the side, to nearly straight down; more of the lung lies below the hilum than above.
    fan = np.linspace(-78, 88, mains) + 7 * rng.standard_normal(mains)
    heading = np.deg2rad(fan)
    hilum = anatomy.hila[side]
    at = np.tile(hilum, (mains, 1)) + np.stack([sign * 0.012 * np.cos(heading), 0.035 * np.sin(heading)], 1)
    scale = (anatomy.dome[side] - anatomy.apex[side]) / 0.53
    radius = 0.0066 * (1 + 0.2 * rng.standard_normal(mains)) * np.where(fan < 0, anatomy.upper_flow, 1.05)
    length = 0.088 * scale * np.where(fan < -40, 0.85, 1.0) * (1 + 0.2 * rng.standard_normal(mains))
    parts: list[tuple[np.ndarray, ...]] = []
    for _ in range(_GENERATIONS):
        count = max(int(length.max() / step), 6)
        t = np.linspace(0, 1, count)[None, :]
        bend = 0.35 * rng.standard_normal((len(heading), 1))
        turn = heading[:, None] + bend * (t - 0.3)
        # Vessels also run towards or away from the viewer, where a piece of the same length looks shorter and denser.
        lean = np.clip(np.abs(rng.normal(0, 0.45, (len(heading), 1))), 0, 1.25)
        ds = length[:, None] / count
        u = at[:, :1] + sign * np.cumsum(np.cos(turn) * np.cos(lean) * ds, 1)
        v = at[:, 1:] + np.cumsum(np.sin(turn) * np.cos(lean) * ds, 1)
        thick = radius[:, None] * (1 - 0.18 * t)
        parts.append((u.ravel(), v.ravel(), thick.ravel(), np.broadcast_to(ds, u.shape).ravel()))
        tip = np.stack([u[:, -1], v[:, -1]], 1)
        away = np.arctan2(tip[:, 1] - hilum[1], sign * (tip[:, 0] - hilum[0]))
        last = turn[:, -1] + 0.25 * np.angle(np.exp(1j * (away - turn[:, -1])))
        part = np.deg2rad(rng.uniform(12, 34, (2, len(heading)))) * np.array([[1], [-1]])
        flip = np.where(rng.random(len(heading)) < 0.5, 1, -1)
        heading = np.concatenate([last + flip * part[0] * 0.6, last + flip * part[1] * 1.25])
        radius = np.concatenate(
            [radius * rng.uniform(0.76, 0.9, len(radius)), radius * rng.uniform(0.5, 0.72, len(radius))]
        )
        length = np.concatenate(
            [length * rng.uniform(0.7, 0.95, len(length)), length * rng.uniform(0.5, 0.85, len(length))]
        )
        at = np.concatenate([tip, tip])
        keep = radius > 0.0005
        heading, radius, length, at = heading[keep], radius[keep], length[keep], at[keep]
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def vessels(anatomy: Anatomy, grid: Grid, aerated: np.ndarray) -> np.ndarray:
    """Return the attenuation of the pulmonary vessels, float32 (size, size).

    A cylinder's projection is close to a Gaussian; pieces of like calibre are added up as points and blurred together.

    Args:
        anatomy: the subject's.
        grid: the plane.
        aerated: float32 (size, size), the share of the body's depth in which lung surrounds the vessels, 0 to 1.
    """
    out = np.zeros((grid.size, grid.size), np.float32)
    parts = [_tree(anatomy, side, stream(anatomy.subject.seed, f"vessels{side}"), grid.px * 0.9) for side in (0, 1)]
    u, v, radius, ds = (np.concatenate(column) for column in zip(*parts, strict=True))
    radius = radius * anatomy.vessel_gain**0.5
    fade = np.clip((radius / 0.0035) ** 1.5, 0, 1)
    weight = np.pi * radius**2 * ds * _BLOOD * grid.sample(aerated, u, v) * (1 - anatomy.pruning * (1 - fade))
    calibre = np.digitize(radius, _CLASSES)
    for index in range(len(_CLASSES) + 1):
        chosen = calibre == index
        if chosen.any():
            typical = float(radius[chosen].mean())
            layer = grid.splat(u[chosen], v[chosen], weight[chosen])
            out += grid.blur(layer, max(0.55 * typical, 0.35 * grid.px))
    for side in (0, 1):
        for du, dv, wide, high, depth in ((0.004, 0.0, 0.020, 0.034, 0.034), (0.012, 0.05, 0.013, 0.045, 0.026)):
            at = anatomy.hila[side] + np.array([(-1, 1)[side] * du, dv])
            bulk = np.exp(-(((grid.u - at[0]) / wide) ** 2) - ((grid.v - at[1]) / high) ** 2)
            out += np.float32(depth * _BLOOD) * bulk * np.clip(aerated * 2, 0, 1) * 0.55
    return out
