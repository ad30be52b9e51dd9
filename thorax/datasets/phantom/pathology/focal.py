"""Findings with an outline: nodule, mass, hiatal hernia."""

import numpy as np

from thorax.datasets.phantom.grid import fractal, step
from thorax.datasets.phantom.pathology.tools import lobulated, place, side_of, solid
from thorax.datasets.phantom.physics import WATER
from thorax.datasets.phantom.scene import Scene


def _aerated(scene: Scene, side: int, rng: np.random.Generator, across: tuple[float, float],
             down: tuple[float, float]) -> tuple[float, float]:  # fmt: skip
    """Return a point of a lung, at random, where air rather than the heart lies along the beam."""
    points = [place(scene.anatomy, side, rng.uniform(*across), rng.uniform(*down)) for _ in range(8)]
    air = [float(scene.grid.sample(scene.lung, np.array(u), np.array(v))) for u, v in points]
    return next((point for point, depth in zip(points, air, strict=True) if depth > 0.22), points[int(np.argmax(air))])


def _growth(scene: Scene, at: tuple[float, float], radius: float, strength: float, rng: np.random.Generator,
            bumps: float, spikes: float) -> np.ndarray:  # fmt: skip
    """Put a lobulated, possibly spiculated body of tissue into the lung; return where it is, bool (size, size)."""
    stretch = float(rng.uniform(0.82, 1.0))
    rho = lobulated(scene.grid, at, (radius, radius * stretch), rng, bumps, (2, 3, 4, 6), float(rng.uniform(0, np.pi)))
    body = np.sqrt(np.clip(1 - rho**2.2, 0, None))
    grain = 1 + 0.12 * fractal(rng, scene.grid.size, 32, 256, 0.7)
    solid(scene, np.float32(1.7 * radius * strength) * body * grain)
    if spikes > 0:
        fine = lobulated(scene.grid, at, (radius * 1.25, radius * 1.25 * stretch), rng, 1.6, (9, 13, 17, 21))
        solid(scene, np.float32(0.5 * radius * strength * spikes) * np.clip(1.15 - fine, 0, 1) ** 1.5)
    return rho < 1


def nodule(scene: Scene, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Add a rounded opacity of at most 3 cm, well or poorly defined, in one lung.

    Source: Hansell et al. 2008, Radiology 246:697 (Fleischner glossary), "nodule".
    """
    side = side_of(scene.anatomy, "Nodule")
    at = _aerated(scene, side, rng, (0.12, 0.85), (0.35, 0.98))
    radius = rng.uniform(0.029, 0.04) * (0.85 + 0.25 * severity)
    return _growth(scene, at, radius, 0.25 + 1.75 * severity, rng, 0.08, 0.3 * float(rng.random() < 0.3))


def mass(scene: Scene, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Add an opacity of more than 3 cm, lobulated or spiculated.

    Source: Hansell et al. 2008, Radiology 246:697 (Fleischner glossary), "mass".
    """
    side = side_of(scene.anatomy, "Mass")
    at = _aerated(scene, side, rng, (0.1, 0.75), (0.18, 0.9))
    radius = rng.uniform(0.048, 0.078) * (0.85 + 0.25 * severity)
    return _growth(scene, at, radius, 0.2 + 1.5 * severity, rng, 0.14, 0.8 * float(rng.random() < 0.5))


def hernia(scene: Scene, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Add a hiatal hernia: a rounded retrocardiac opacity over the diaphragm, often with gas over a fluid level.

    Source: Hansell et al. 2008, Radiology 246:697; Eren & Çiftçi 2005, Diagn Interv Radiol 11:99 (diaphragmatic
    hernias).
    """
    grid, anatomy = scene.grid, scene.anatomy
    radius = (0.045 + 0.045 * severity) * rng.uniform(0.9, 1.1)
    at = (rng.uniform(0.0, 0.05), float(anatomy.dome.mean()) + 0.01 - 0.55 * radius)
    rho = lobulated(grid, at, (radius * 1.15, radius), rng, 0.06, (2, 3))
    body = np.sqrt(np.clip(1 - rho**2.5, 0, None))
    wall = np.exp(-(((rho - 0.95) / 0.06) ** 2))
    scene.added += np.float32(WATER * radius * (0.15 + 0.75 * severity)) * (0.7 * body + 0.35 * wall)
    level = at[1] + radius * rng.uniform(-0.15, 0.25)
    gas = step((0.86 - rho) / 0.1)
    standing = scene.anatomy.subject.view == "PA"
    gas = gas * (step((level - grid.v) / 0.006 + 0.5) if standing else 0.5)
    scene.added -= np.float32(WATER * radius * (0.2 + 1.3 * severity)) * gas * body
    return rho < 1
