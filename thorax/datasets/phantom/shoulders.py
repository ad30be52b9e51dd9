"""The shoulder girdle: clavicles, scapulae and humeri."""

import numpy as np

from thorax.datasets.phantom.anatomy import Anatomy
from thorax.datasets.phantom.bones import long_bone
from thorax.datasets.phantom.grid import Grid, step, stream


def clavicles(anatomy: Anatomy, grid: Grid) -> np.ndarray:
    """Return the attenuation of both clavicles, float32 (size, size); higher and flatter in AP views."""
    rng = stream(anatomy.subject.seed, "clavicles")
    ap = anatomy.subject.view == "AP"
    apex = float(anatomy.apex.mean())
    knots, radii = [], []
    for sign in (-1, 1):
        lift = 0.012 * rng.standard_normal()
        inner = apex + (0.05 if ap else 0.085) + 0.3 * lift
        rise = max(inner - anatomy.acromion - 0.008 + 0.5 * lift, 0.02)
        shape = np.array(
            [
                (0.026, 0.01),
                (0.05, 0),
                (0.09, -0.06),
                (0.15, -0.26),
                (0.22, -0.6),
                (0.30, -0.88),
                (0.36, -0.99),
                (0.41, -1.0),
            ]
        )
        centre = anatomy.midline(np.array(inner)) + anatomy.rotation
        knots.append(
            np.stack([centre + sign * shape[:, 0] * (1 + 0.05 * rng.standard_normal()), inner + shape[:, 1] * rise], 1)
        )
        radii.append(np.array([0.008, 0.0165, 0.0135, 0.0115, 0.011, 0.0115, 0.0125, 0.006]))
    return long_bone(grid, np.array(knots), np.array(radii), 0.0036 * anatomy.bone)


def by(du: float, dv: float) -> np.ndarray:
    """Return a displacement."""
    return np.array([du, dv])


def shoulders(anatomy: Anatomy, grid: Grid) -> np.ndarray:
    """Return the attenuation of scapulae and humeri, float32 (size, size).

    The arms are brought forward for a PA view, which takes the scapulae off the lungs; in an AP view they overlap.
    """
    rng = stream(anatomy.subject.seed, "shoulders")
    out = np.zeros((grid.size, grid.size), np.float32)
    wide = anatomy.width.mean() + 0.045 + 0.07 * (anatomy.subject.size - 0.9)
    corner = np.array([wide, anatomy.acromion])
    lines, radii, arms = [], [], []
    for sign in (-1, 1):
        flip = np.array([sign, 1])
        turn = (0.05 if anatomy.subject.view == "AP" else 0.0) + 0.012 * rng.standard_normal()
        # Of the blade: the socket, the lower tip, the middle and the top of its inner border, relative to the corner.
        socket = np.array([0.0, 0.062])
        tip = np.array([-0.075 - turn, 0.33 + 0.02 * rng.standard_normal()])
        inner = np.array([-0.125 - 1.7 * turn, 0.14])
        upper = np.array([-0.105 - 1.3 * turn, 0.035])
        beak = np.array([-0.03, 0.045])
        out += 0.09 * _plate(grid, (np.array([socket, tip, inner, upper, beak]) + corner) * flip)
        border = (socket + by(-0.004, -0.02), socket, socket + by(-0.012, 0.03), 0.5 * (socket + tip), tip)
        back = (tip, 0.7 * tip + 0.3 * inner, 0.3 * tip + 0.7 * inner + by(-0.004, 0), inner, upper)
        ridge = (inner + by(0.01, -0.01), inner + by(0.045, -0.04), by(-0.03, 0.025), by(0.02, 0), by(0.05, -0.008))
        top = (upper, 0.6 * upper + 0.4 * beak, beak, beak + by(0.012, 0.006), beak + by(0.02, 0.016))
        for line, thick in ((border, 0.0055), (back, 0.003), (ridge, 0.0085), (top, 0.0075)):
            lines.append((np.array(line) + corner) * flip)
            radii.append(thick * np.array([0.6, 1.0, 1.0, 1.0, 0.5]))
        head = corner + np.array([0.052, 0.03])
        elbow = np.array([wide + 0.10 + anatomy.arm_gap * 0.8, 0.85])
        arms.append((head + (elbow - head) * np.array([0.0, 0.03, 0.07, 0.13, 0.3, 0.55, 0.8, 1.0])[:, None]) * flip)
    out += long_bone(grid, np.array(lines), np.array(radii), 0.0026 * anatomy.bone)
    humerus = np.tile([0.006, 0.031, 0.036, 0.025, 0.018, 0.017, 0.017, 0.02], (2, 1))
    return out + long_bone(grid, np.array(arms), humerus, 0.0034 * anatomy.bone)


def _plate(grid: Grid, corners: np.ndarray) -> np.ndarray:
    """Return a convex polygon, 1 inside with a soft edge, float32 (size, size)."""
    out = np.zeros((grid.size, grid.size), np.float32)
    low, high = corners.min(axis=0) - 0.01, corners.max(axis=0) + 0.01
    rows, columns = grid.window(low[0], high[0], low[1], high[1])
    inside = np.ones(out[rows, columns].shape, np.float32)
    middle = corners.mean(axis=0)
    for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        normal = np.array([b[1] - a[1], a[0] - b[0]])
        normal = normal / np.hypot(*normal)
        if normal @ (middle - a) < 0:
            normal = -normal
        distance = (grid.u[:, columns] - a[0]) * np.float32(normal[0]) + (grid.v[rows] - a[1]) * np.float32(normal[1])
        inside *= step(distance / 0.012 + 0.5)
    out[rows, columns] = inside
    return out
