"""Bones as clouds of cortex: each is swept along its curve in space and projected point by point.

Sweeping a hollow cross-section and adding up what each beam meets gives bright edges where the beam grazes the cortex,
and the bright line at the lateral chest wall where ribs run along the beam, without drawing either.
"""

import numpy as np

from thorax.datasets.phantom.anatomy import Anatomy
from thorax.datasets.phantom.curves import through
from thorax.datasets.phantom.grid import Grid, step, stream

#: Attenuation of cortex beyond that of soft tissue, per unit of length, at about 120 kV.
_CORTEX = 27.0
_GOLDEN = 0.6180339887


def _sweep(grid: Grid, centre: np.ndarray, height: np.ndarray, deep: np.ndarray, ring: np.ndarray,
           cortex: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Return points (u, v, weight) of hollow tubes.

    Args:
        grid: the plane, for its magnification.
        centre: (n, t, 3) curves in space: u, v, z.
        height: (n, t) half-axis of the cross-section across the outward direction.
        deep: (n, t) half-axis along it.
        ring: (n, t, 3) outward unit vectors.
        cortex: thickness of the wall.
    """
    centre, height, deep, ring = (part.astype(np.float32) for part in (centre, height, deep, ring))
    ahead = np.gradient(centre, axis=1)
    length = np.linalg.norm(ahead, axis=2, keepdims=True)
    across = np.cross(ahead / np.maximum(length, 1e-9), ring)
    across /= np.maximum(np.linalg.norm(across, axis=2, keepdims=True), 1e-9)
    count = int(np.clip(height.max() / grid.px * 2.4, 10, 60))
    phase = 2 * np.pi * ((np.arange(count)[None, :] + (np.arange(centre.shape[1]) * _GOLDEN % 1)[:, None]) / count)
    up, out = np.cos(phase).astype(np.float32)[None], np.sin(phase).astype(np.float32)[None]
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


def long_bone(grid: Grid, knots: np.ndarray, radius: np.ndarray, cortex: float) -> np.ndarray:
    """Return the attenuation of hollow round bones along splines, float32 (size, size).

    Args:
        grid: the plane.
        knots: (n, k, 2) points (u, v).
        radius: (n, k) radius at each.
        cortex: thickness of the wall.
    """
    longest = float(np.hypot(*np.moveaxis(np.diff(knots, axis=1), 2, 0)).max())
    count = max(int(1.1 * longest * (knots.shape[1] - 1) / grid.px), 30)
    path = through(knots, count)
    thick = through(radius[..., None], count)[..., 0]
    centre = np.concatenate([path, np.zeros((*path.shape[:2], 1))], axis=2)
    facing = np.zeros_like(centre)
    facing[..., 2] = 1
    u, v, weight = _sweep(grid, centre, thick, thick, facing, cortex)
    return grid.blur(grid.splat(u, v, weight), max(0.0011, 0.5 * grid.px))
