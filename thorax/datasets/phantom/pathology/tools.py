"""What the findings share: where in a lung, which shape, and how tissue replaces air."""

from collections.abc import Sequence

import numpy as np
from scipy.interpolate import CubicSpline

from thorax.datasets.phantom.anatomy import Anatomy
from thorax.datasets.phantom.grid import Grid, stream
from thorax.datasets.phantom.physics import WATER
from thorax.datasets.phantom.scene import Scene

SIGN = (-1, 1)


def side_of(anatomy: Anatomy, finding: str) -> int:
    """Return the lung, 0 right or 1 left, that a finding of this subject takes."""
    return int(stream(anatomy.subject.seed, f"{finding} side").integers(2))


def place(anatomy: Anatomy, side: int, across: float, down: float) -> tuple[float, float]:
    """Return the point (u, v) at shares of a lung: across from mediastinum to wall, down from apex to diaphragm."""
    bottom = float(anatomy.dome[side])
    v = anatomy.apex[side] + down * (bottom - anatomy.apex[side])
    inner, outer, _ = anatomy.span(side, np.array([v]))
    middle = 0.075 if side == 0 else 0.085
    return SIGN[side] * float(max(inner[0], middle) + across * (outer[0] - max(inner[0], middle))), float(v)


def lobulated(grid: Grid, at: tuple[float, float], radii: tuple[float, float], rng: np.random.Generator,
              bumps: float, harmonics: Sequence[int] = (2, 3, 4, 5), turn: float = 0.0) -> np.ndarray:  # fmt: skip
    """Return the distance from a point over that of an irregular closed outline: 1 on it, float32 (size, size).

    Args:
        grid: the plane.
        at: centre (u, v).
        radii: mean half-axes.
        rng: the stream that shapes the outline.
        bumps: deviation of the outline, as a share of the radius.
        harmonics: bumps around the outline.
        turn: angle of the first axis, radians.
    """
    du, dv = grid.u - np.float32(at[0]), grid.v - np.float32(at[1])
    across = (du * np.float32(np.cos(turn)) + dv * np.float32(np.sin(turn))) / np.float32(radii[0])
    along = (dv * np.float32(np.cos(turn)) - du * np.float32(np.sin(turn))) / np.float32(radii[1])
    around = np.linspace(-np.pi, np.pi, 181)
    outline = np.ones_like(around)
    for k in harmonics:
        outline += bumps * 2.4 / k * rng.normal() * np.cos(k * around + rng.uniform(0, 2 * np.pi))
    reach = np.interp(np.arctan2(along, across), around, np.clip(outline, 0.45, 1.6)).astype(np.float32)
    return np.hypot(across, along) / reach


def fill(scene: Scene, share: np.ndarray, fade: float = 0.8) -> None:
    """Replace a share of the lung's air by fluid, in place; vessels in it lose their outline.

    Args:
        scene: whose density and vessels change.
        share: float32 (size, size) in [0, 1].
        fade: how much of a vessel disappears where the lung is filled.
    """
    scene.density += share * (1 - scene.density)
    scene.vessels *= 1 - np.float32(fade) * share


def solid(scene: Scene, thickness: np.ndarray) -> None:
    """Put soft tissue of this thickness (units) in the place of lung, in place."""
    inside = np.minimum(thickness, scene.lung + np.float32(0.02))
    scene.added += np.float32(WATER) * inside * (1 - scene.density) * (scene.lung > 0)


def stroke(grid: Grid, knots: np.ndarray, radius: float, attenuation: float, blur: float = 0.0) -> np.ndarray:
    """Return the attenuation of a solid thread along a spline, float32 (size, size).

    Args:
        grid: the plane.
        knots: (k, 2) points (u, v).
        radius: half the thread's width, units.
        attenuation: at the thread's middle.
        blur: additional blur, units.
    """
    length = np.hypot(*np.diff(knots, axis=0).T).sum()
    count = max(int(length / grid.px * 1.5), 12)
    at = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(knots, axis=0).T))])
    path = CubicSpline(at, knots)(np.linspace(0, at[-1], count))
    ds = np.hypot(*np.diff(path, axis=0, append=path[-1:]).T)
    sigma = max(0.8 * radius, 0.35 * grid.px)
    mass = ds * attenuation * radius * 2.0
    return grid.blur(grid.splat(path[:, 0], path[:, 1], mass), float(np.hypot(sigma, blur)))
