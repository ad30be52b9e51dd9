"""Bones as clouds of cortex: each is swept along its curve in space and projected point by point.

Sweeping a hollow cross-section and adding up what each beam meets gives bright edges where the beam grazes the cortex,
and the bright line at the lateral chest wall where ribs run along the beam, without drawing either.
"""

import numpy as np
from scipy.interpolate import PchipInterpolator

from thorax.datasets.phantom.anatomy import Anatomy
from thorax.datasets.phantom.grid import Grid, step, stream

#: Attenuation of cortex beyond that of soft tissue, per unit of length, at about 120 kV.
_CORTEX = 24.0
_GOLDEN = 0.6180339887


def _sweep(grid: Grid, centre: np.ndarray, height: np.ndarray, deep: np.ndarray, ring: np.ndarray,
           cortex: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Return points (u, v, weight) of hollow tubes.

    Args:
        grid: the plane, for its magnification.
        centre: (n, t, 3) curves in space: u, v, z.
        height, deep: (n, t) half-axes of the cross-section, across the outward direction and along it.
        ring: (n, t, 3) outward unit vectors.
        cortex: thickness of the wall.
    """
    ahead = np.gradient(centre, axis=1)
    length = np.linalg.norm(ahead, axis=2, keepdims=True)
    across = np.cross(ahead / np.maximum(length, 1e-9), ring)
    across /= np.maximum(np.linalg.norm(across, axis=2, keepdims=True), 1e-9)
    count = int(np.clip(height.max() / grid.px * 3, 10, 72))
    phase = 2 * np.pi * ((np.arange(count)[None, :] + (np.arange(centre.shape[1]) * _GOLDEN % 1)[:, None]) / count)
    up, out = np.cos(phase)[None], np.sin(phase)[None]
    u = (
        centre[:, :, None, 0]
        + (height[..., None] * up) * across[:, :, None, 0]
        + (deep[..., None] * out) * ring[:, :, None, 0]
    )
    v = (
        centre[:, :, None, 1]
        + (height[..., None] * up) * across[:, :, None, 1]
        + (deep[..., None] * out) * ring[:, :, None, 1]
    )
    around = np.hypot(height[..., None] * out, deep[..., None] * up) * (2 * np.pi / count)
    return u, v, around * cortex * length * _CORTEX


def ribs(anatomy: Anatomy, grid: Grid) -> np.ndarray:
    """Return the attenuation of the ribs, float32 (size, size).

    A rib is a loop in a plane that falls from back to front, so it projects as an ellipse: nearly level behind, steep
    in front, and ending where bone turns to cartilage. The rib nearer the source is the larger.
    """
    rng = stream(anatomy.subject.seed, "ribs")
    number = np.arange(11)
    jitter = 0.0022 * rng.standard_normal((2, 11))
    apex = anatomy.apex.mean()
    spread = (anatomy.dome.mean() - apex) / 0.535
    start = apex + spread * np.array([0.022, 0.06, 0.105, 0.157, 0.212, 0.27, 0.33, 0.391, 0.453, 0.517, 0.583])
    fall = anatomy.rib_tilt * np.array([0.085, 0.15, 0.20, 0.235, 0.255, 0.268, 0.275, 0.275, 0.265, 0.24, 0.20])
    steps = max(int(0.85 / grid.px), 60)
    total = np.zeros((grid.size, grid.size), np.float32)
    for side, sign in enumerate((-1, 1)):
        end = np.deg2rad(np.where(number < 7, 142 - 2 * number, 128 - 9 * (number - 7)) + 4 * rng.standard_normal(11))
        turn = np.linspace(0.015, 1, steps)[None, :] * end[:, None]
        begin = (start + jitter[side] + anatomy.rotation * sign * 0.1)[:, None]
        lateral = np.clip(begin[:, 0] + fall * 0.5, anatomy.apex[side] + 0.012, None)
        reach = anatomy.span(side, lateral)[1] + 0.004
        reach[9:] *= np.array([0.995, 0.97])
        deep = 0.62 * reach
        z = -deep[:, None] * np.cos(turn)
        u = reach[:, None] * np.sin(turn) ** 0.65 + 0.03 * np.exp(-((turn / 0.3) ** 2))
        v = (
            begin
            + fall[:, None] * (1 - np.cos(turn)) / 2
            - 0.03 * np.sin(np.clip(2.1 * turn, 0, np.pi)) * (1 - turn / np.pi)
        )
        back = z / 0.5 if anatomy.subject.view == "PA" else -z / 0.5
        larger = 1 - 0.02 * back
        u, v = u * larger, 0.42 + (v - 0.42) * larger
        centre = np.stack([sign * u + anatomy.midline(v) * 0.5, v, z], axis=2)
        outward = np.stack([sign * np.sin(turn), np.zeros_like(turn), -np.cos(turn)], axis=2)
        flare = 1 + 0.25 * np.exp(-(((turn - end[:, None]) / 0.2) ** 2)) - 0.15 * np.exp(-((turn / 0.3) ** 2))
        high = (
            np.array([0.009, 0.0105, 0.0115, 0.012, 0.0125, 0.013, 0.013, 0.013, 0.0125, 0.012, 0.010])[:, None] * flare
        )
        fade = step((end[:, None] - turn) / 0.12) * step(turn / 0.12) * (1 - 0.45 * step((turn - 1.75) / 0.5))
        points = _sweep(grid, centre, high, np.full_like(high, 0.0058), outward, 0.0032 * anatomy.bone)
        total += grid.splat(points[0], points[1], points[2] * fade[..., None])
    return grid.blur(total, max(0.0012, 0.55 * grid.px))


def _even(knots: np.ndarray, count: int) -> np.ndarray:
    """Return parameters in [0, 1] that step evenly along a line of knots (k, 2)."""
    length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(knots, axis=0).T))])
    return np.interp(np.linspace(0, length[-1], count), length, np.linspace(0, 1, len(knots)))


def _long_bone(grid: Grid, knots: np.ndarray, radius: np.ndarray, cortex: float) -> np.ndarray:
    """Return the attenuation of hollow round bones along splines, float32 (size, size).

    Args:
        grid: the plane.
        knots: (n, k, 2) points (u, v).
        radius: (n, k) radius at each.
        cortex: thickness of the wall.
    """
    count = max(int(0.7 / grid.px), 60)
    at, fine = (
        np.linspace(0, 1, knots.shape[1]),
        _even(knots.mean(axis=0) * [0, 1] + np.abs(knots).mean(axis=0) * [1, 0], count),
    )
    path = PchipInterpolator(at, knots, axis=1)(fine)
    centre = np.concatenate([path, np.zeros((*path.shape[:2], 1))], axis=2)
    thick = PchipInterpolator(at, radius, axis=1)(fine)
    facing = np.zeros_like(centre)
    facing[..., 2] = 1
    u, v, weight = _sweep(grid, centre, thick, thick, facing, cortex)
    return grid.blur(grid.splat(u, v, weight), max(0.0011, 0.5 * grid.px))


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
    return _long_bone(grid, np.array(knots), np.array(radii), 0.0036 * anatomy.bone)


def shoulders(anatomy: Anatomy, grid: Grid) -> np.ndarray:
    """Return the attenuation of scapulae and humeri, float32 (size, size).

    The arms are brought forward for a PA view, which takes the scapulae off the lungs; in an AP view they lie over them.
    """
    rng = stream(anatomy.subject.seed, "shoulders")
    ap = anatomy.subject.view == "AP"
    out = np.zeros((grid.size, grid.size), np.float32)
    wide = anatomy.width.mean() + 0.045 + 0.07 * (anatomy.subject.size - 0.9)
    top = anatomy.acromion
    lines, radii = [], []
    for sign in (-1, 1):
        turn = (0.05 if ap else 0.0) + 0.012 * rng.standard_normal()
        glenoid = np.array([wide + 0.012, top + 0.055])
        neck = glenoid + np.array([-0.02, 0.03])
        tip = np.array([wide - 0.055 - turn, top + 0.33 + 0.02 * rng.standard_normal()])
        inner = np.array([wide - 0.115 - 2.4 * turn, top + 0.13])
        corner = np.array([wide - 0.085 - 1.6 * turn, top + 0.045])
        flip = np.array([sign, 1])
        out += 0.09 * _plate(grid, np.array([glenoid, neck, tip, inner, corner]) * flip)
        edges = (
            (np.array([glenoid - [0.002, 0.025], glenoid, neck, 0.5 * (neck + tip) + [0.006, 0], tip]), 0.0055),
            (np.array([tip, 0.7 * tip + 0.3 * inner - [0.006, 0], 0.3 * tip + 0.7 * inner - [0.006, 0], inner, corner]), 0.003),
            (np.array([inner + [0.0, 0.0], inner + [0.04, -0.03], glenoid - [0.05, 0.03], glenoid - [0.01, 0.055],
                       glenoid + [0.035, -0.06]]), 0.007),
            (np.array([corner, 0.6 * corner + 0.4 * glenoid - [0, 0.012], glenoid - [0.035, 0.03], glenoid - [0.028, 0.005],
                       glenoid - [0.02, 0.015]]), 0.0055),
        )  # fmt: skip
        for line, thick in edges:
            lines.append(line * flip)
            radii.append(np.full(5, thick))
        head = np.array([wide + 0.052, top + 0.022])
        elbow = np.array([wide + 0.10 + anatomy.arm_gap * 0.8, 0.85])
        shaft = head + (elbow - head) * np.array([0.0, 0.045, 0.10, 0.35, 1.0])[:, None]
        lines.append(shaft * flip)
        radii.append(np.array([0.010, 0.036, 0.027, 0.017, 0.017]))
    out += _long_bone(grid, np.array(lines), np.array(radii), 0.0034 * anatomy.bone)
    return out


def _plate(grid: Grid, corners: np.ndarray) -> np.ndarray:
    """Return a convex polygon, 1 inside with a soft edge, float32 (size, size)."""
    inside = np.ones((grid.size, grid.size), np.float32)
    middle = corners.mean(axis=0)
    for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        normal = np.array([b[1] - a[1], a[0] - b[0]])
        normal = normal / np.hypot(*normal)
        if normal @ (middle - a) < 0:
            normal = -normal
        distance = (grid.u - a[0]) * np.float32(normal[0]) + (grid.v - a[1]) * np.float32(normal[1])
        inside *= step(distance / 0.012 + 0.5)
    return inside


def spine(anatomy: Anatomy, grid: Grid) -> np.ndarray:
    """Return the attenuation of the vertebral column, float32 (size, size).

    Bodies with bright endplates and darker discs, pedicles as pairs of ovals, and spinous processes as drops.
    """
    rng = stream(anatomy.subject.seed, "spine")
    rows = grid.v[:, 0]
    columns = slice(grid.column(-0.11), grid.column(0.11) + 1)
    phase = rng.random()
    # Vertebrae grow from 2.0 cm at the neck to 3.4 cm at the loins: the level is the integral of one over their height.
    height = 0.050 + 0.024 * np.clip(rows, -0.2, 1.3)
    level = (np.cumsum(np.full_like(rows, grid.px) / height) + phase).astype(np.float32)[:, None]
    within = level % 1
    across = np.abs(grid.u[:, columns] - anatomy.spine(grid.v).astype(np.float32))
    waist = 1 - 0.10 * np.sin(np.pi * np.clip((within - 0.1) / 0.9, 0, 1))
    half = (0.036 + 0.014 * np.clip(grid.v, 0, 1)) * waist
    body = np.sqrt(np.clip(1 - (across / half) ** 4, 0, None))
    disc = 1 - step(np.abs(within - 0.06) / 0.09)
    plates = np.exp(-(((within - 0.15) / 0.035) ** 2)) + np.exp(-(((within - 0.97) / 0.035) ** 2))
    edge = np.exp(-(((across - 0.93 * half) / 0.0045) ** 2))
    pedicle = np.exp(-(((across - 0.62 * half) / 0.0065) ** 2) - ((within - 0.38) / 0.13) ** 2)
    process = np.exp(-((across / 0.006) ** 2) - ((within - 0.78) / 0.14) ** 2)
    transverse = np.exp(-(((across - 1.25 * half) / (0.3 * half)) ** 2) - ((within - 0.36) / 0.12) ** 2)
    column = (
        0.30 * body * (1 - 0.35 * disc)
        + 0.11 * body * plates
        + 0.09 * edge * (1 - disc)
        + 0.14 * pedicle
        + 0.15 * process
    )
    out = np.zeros((grid.size, grid.size), np.float32)
    out[:, columns] = (column + 0.07 * transverse) * anatomy.bone
    return grid.blur(out, 0.0014)
