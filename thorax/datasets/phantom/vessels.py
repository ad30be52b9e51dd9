"""The pulmonary vessels: a branching tree from each hilum, projected."""

import numpy as np

from thorax.datasets.phantom.anatomy import Anatomy
from thorax.datasets.phantom.grid import Grid, stream

_GENERATIONS = 6
#: Attenuation of blood beyond that of the air it displaces, per unit of length.
_BLOOD = 15.0


#: Angle in degrees, length and radius of the first vessels: to the upper lobe, the interlobar, a vein from below.
_TRUNKS = (
    (-62.0, 0.05, 0.0105),
    (62.0, 0.105, 0.0150),
    (25.0, 0.04, 0.0100),
    (-20.0, 0.03, 0.0100),
    (85.0, 0.06, 0.009),
)


def _trunk(
    hilum: np.ndarray, sign: int, angle: float, length: float, radius: float, step: float
) -> tuple[np.ndarray, ...]:
    """Return points of one tapering first vessel: u, v, radius and length of the piece, each float (n,)."""
    t = np.linspace(0, 1, max(int(length / step), 8))
    heading = np.deg2rad(angle) - 0.35 * (t - 0.5)
    ds = np.full_like(t, length / t.size)
    u = hilum[0] + sign * np.cumsum(np.cos(heading) * ds)
    return u, hilum[1] + np.cumsum(np.sin(heading) * ds), radius * (1 - 0.5 * t), ds


def _tree(anatomy: Anatomy, side: int, rng: np.random.Generator, step: float) -> tuple[np.ndarray, ...]:
    """Return points of one lung's tree: u, v, radius and length of the piece, each float (n,)."""
    sign = (-1, 1)[side]
    mains = 22
    # From nearly straight up, over the side, to nearly straight down; more of the lung lies below the hilum.
    fan = np.linspace(-78, 88, mains) + 7 * rng.standard_normal(mains)
    heading = np.deg2rad(fan)
    hilum = anatomy.hila[side]
    # They leave two trunks: a short one to the upper lobe, and the interlobar artery that descends beside the heart.
    upper = fan < -15
    share = np.clip(np.where(upper, -fan / 70, (fan + 15) / 85), 0, 1.1) * rng.uniform(0.6, 1.25, mains)
    along = share * np.where(upper, 0.055, 0.11)
    trunk = np.where(upper, -1.08, 1.12)
    leave = np.stack([sign * along * np.cos(trunk), along * np.sin(trunk)], 1)
    at = hilum + leave + 0.004 * rng.standard_normal((mains, 2))
    heading = 0.62 * heading + 0.38 * trunk
    scale = (anatomy.dome[side] - anatomy.apex[side]) / 0.53
    radius = 0.0056 * (1 + 0.2 * rng.standard_normal(mains)) * np.where(fan < 0, anatomy.upper_flow, 1.05)
    length = 0.088 * scale * np.where(fan < -40, 0.85, 1.0) * (1 + 0.2 * rng.standard_normal(mains))
    parts = [_trunk(hilum, sign, angle, long, thick, step) for angle, long, thick in _TRUNKS]
    outward = (0.45 * (np.deg2rad(fan) - heading))[:, None]
    for _ in range(_GENERATIONS):
        count = max(int(length.max() / step), 4)
        t = np.linspace(0, 1, count, dtype=np.float32)[None, :]
        bend = 0.35 * rng.standard_normal((len(heading), 1))
        turn = (heading[:, None] + outward * t + bend * (t - 0.3)).astype(np.float32)
        # Vessels also run towards or away from the viewer, where a piece of the same length looks shorter and denser.
        lean = np.clip(np.abs(rng.normal(0, 0.45, (len(heading), 1))), 0, 1.25)
        ds = (length[:, None] / count).astype(np.float32)
        flat = (np.cos(lean) * ds).astype(np.float32)
        u = at[:, :1].astype(np.float32) + sign * np.cumsum(np.cos(turn) * flat, 1)
        v = at[:, 1:].astype(np.float32) + np.cumsum(np.sin(turn) * flat, 1)
        thick = radius[:, None].astype(np.float32) * (1 - np.float32(0.18) * t)
        parts.append((u.ravel(), v.ravel(), thick.ravel(), np.broadcast_to(ds, u.shape).ravel()))
        tip = np.stack([u[:, -1], v[:, -1]], 1)
        away = np.arctan2(tip[:, 1] - hilum[1], sign * (tip[:, 0] - hilum[0]))
        last = turn[:, -1] + 0.25 * np.angle(np.exp(1j * (away - turn[:, -1])))
        part = np.deg2rad(rng.uniform(12, 34, (2, len(heading)))) * np.array([[1], [-1]])
        flip = np.where(rng.random(len(heading)) < 0.5, 1, -1)
        heading = np.concatenate([last + flip * part[0] * 0.6, last + flip * part[1] * 1.25])
        radius = np.concatenate(
            [radius * rng.uniform(0.78, 0.92, len(radius)), radius * rng.uniform(0.52, 0.76, len(radius))]
        )
        length = np.concatenate(
            [length * rng.uniform(0.7, 0.95, len(length)), length * rng.uniform(0.5, 0.85, len(length))]
        )
        at = np.concatenate([tip, tip])
        keep = radius > 0.0005
        outward = np.zeros((int(keep.sum()), 1))
        heading, radius, length, at = heading[keep], radius[keep], length[keep], at[keep]
    return tuple(np.concatenate(column).astype(np.float32) for column in zip(*parts, strict=True))


def vessels(anatomy: Anatomy, grid: Grid, aerated: np.ndarray) -> np.ndarray:
    """Return the attenuation of the pulmonary vessels, float32 (size, size).

    A cylinder's projection is close to a Gaussian; pieces of like calibre are added up as points and blurred together.

    Args:
        anatomy: the subject's.
        grid: the plane.
        aerated: float32 (size, size), the share of the body's depth in which lung surrounds the vessels, 0 to 1.
    """
    out = np.zeros((grid.size, grid.size), np.float32)
    parts = [_tree(anatomy, side, stream(anatomy.subject.seed, f"vessels{side}"), grid.px * 1.3) for side in (0, 1)]
    u, v, radius, ds = (np.concatenate(column) for column in zip(*parts, strict=True))
    # A radius drawn five standard deviations low is below nothing: no vessel.
    radius = np.maximum(radius, 0) * anatomy.vessel_gain**0.5
    fade = np.clip((radius / 0.0035) ** 1.5, 0, 1)
    weight = np.pi * radius**2 * ds * _BLOOD * grid.sample(aerated, u, v) * (1 - anatomy.pruning * (1 - fade))
    seen = weight > 0
    u, v, radius, weight = u[seen], v[seen], radius[seen], weight[seen]
    sigma = np.maximum(0.55 * radius, 0.4 * grid.px)
    calibre = np.log2(sigma / sigma.min() + 1e-6).round()
    for one in np.unique(calibre):
        chosen = calibre == one
        out += grid.blur(grid.splat(u[chosen], v[chosen], weight[chosen]), float(sigma[chosen].mean()))
    for side, sign in enumerate((-1, 1)):
        at = anatomy.hila[side]
        bulk = np.exp(-(((grid.u - at[0] + sign * 0.006) / 0.017) ** 2) - ((grid.v - at[1] - 0.006) / 0.03) ** 2)
        out += np.float32(0.022 * _BLOOD) * bulk * np.clip(aerated * 2, 0, 1)
    return out
