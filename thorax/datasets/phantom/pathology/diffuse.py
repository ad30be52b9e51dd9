"""Findings of a whole organ: cardiomegaly, emphysema, fibrosis."""

import numpy as np

from thorax.datasets.phantom.anatomy import Anatomy
from thorax.datasets.phantom.grid import fractal, step, stream
from thorax.datasets.phantom.pathology.tools import SIGN, lobulated, place
from thorax.datasets.phantom.scene import Scene


def enlarge_heart(anatomy: Anatomy, severity: float) -> None:
    """Widen the heart beyond half the thorax, mostly to the left; the ratio grows with severity from 0.51 to 0.68."""
    rng = stream(anatomy.subject.seed, "Cardiomegaly")
    ratio = 0.512 + 0.165 * severity
    width = ratio * anatomy.thorax_width
    share = float(
        np.clip(
            anatomy.heart_right / (anatomy.heart_right + anatomy.heart_left) + 0.045 + 0.015 * rng.normal(), 0.24, 0.38
        )
    )
    anatomy.heart_right, anatomy.heart_left = width * share, width * (1 - share)


def cardiomegaly(scene: Scene, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Return the heart's silhouette; the heart itself grew before it was drawn.

    Source: Danzer 1919, Am J Med Sci 157:513: a cardiothoracic ratio above 0.5.
    """
    return scene.heart.copy()


def hyperinflate(anatomy: Anatomy, severity: float) -> None:
    """Lower and flatten the diaphragm, narrow the heart, level the ribs and prune the peripheral vessels."""
    drop = 0.015 + 0.05 * severity
    anatomy.dome += drop
    anatomy.angle += 0.35 * drop
    anatomy.flat = 0.25 + 0.7 * severity
    anatomy.width *= 1 + 0.02 * severity
    anatomy.heart_right *= 1 - 0.08 * severity
    anatomy.heart_left *= 1 - 0.14 * severity
    anatomy.rib_tilt *= 1 - 0.22 * severity
    anatomy.density *= 1 - 0.10 - 0.32 * severity
    anatomy.depth *= 1 + 0.06 * severity
    anatomy.pruning = 0.2 + 0.6 * severity


def emphysema(scene: Scene, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Thin out the lung, more above than below, and add bullae with hairline walls; return the lung fields.

    Source: Hansell et al. 2008, Radiology 246:697, "emphysema" and "bulla"; Sutinen et al. 1965, Am Rev Respir Dis
    91:69 (low flat diaphragm, few peripheral vessels).
    """
    grid = scene.grid
    for _ in range(1 + int(rng.integers(0, 4))):
        side = int(rng.integers(2))
        at = place(scene.anatomy, side, rng.uniform(0.45, 0.85), rng.uniform(0.08, 0.5))
        radius = rng.uniform(0.03, 0.065) * (0.5 + 0.5 * severity)
        rho = lobulated(grid, at, (radius, radius), rng, 0.06, (2, 3))
        hole = step((1 - rho) / 0.4) * np.float32(0.1 + 0.35 * severity)
        scene.density *= 1 - 0.7 * hole
        scene.vessels *= 1 - hole
        scene.added += np.exp(-(((rho - 1) * radius / 0.0018) ** 2)) * np.float32(0.02 + 0.05 * severity) * scene.field
    return scene.lungs.copy()


def shrink_lungs(anatomy: Anatomy, severity: float) -> None:
    """Raise the diaphragm, as stiff, scarred lungs do."""
    anatomy.dome -= 0.01 + 0.03 * severity
    anatomy.angle -= 0.005 + 0.018 * severity


def fibrosis(scene: Scene, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Add a net of coarse lines with honeycombs at the bases and the periphery, or scars at one apex.

    Source: Hansell et al. 2008, Radiology 246:697, "honeycombing" and "reticular pattern"; Hobbs & Lynch 2014,
    Radiol Clin North Am 52:1 (basal and peripheral predominance).
    """
    grid, anatomy = scene.grid, scene.anatomy
    apical = rng.random() < 0.25
    where = np.zeros_like(scene.lung)
    pick = int(rng.integers(2))
    for side in (0, 1):
        mine = (grid.u * SIGN[side] > 0).astype(np.float32)
        _, outer, _ = anatomy.span(side, grid.v[:, 0])
        wall = outer.astype(np.float32)[:, None] - np.abs(grid.u)
        share = (grid.v - anatomy.apex[side]) / np.float32(anatomy.dome[side] - anatomy.apex[side])
        if apical:
            if side == pick:
                where += mine * (1 - step((share - 0.18) / 0.3))
        else:
            near = np.exp(-np.clip(wall, 0, None) / np.float32(0.07))
            low = step((share - 0.35) / 0.6)
            where += mine * np.clip(0.30 * low + 0.95 * near * (0.25 + 0.75 * low), 0, 1)
    net = np.exp(-((fractal(rng, grid.size, 32, 128, 0.5) / 0.3) ** 2))
    net += 0.8 * np.exp(-((fractal(rng, grid.size, 18, 72, 0.5) / 0.16) ** 2))
    cells = np.clip(fractal(rng, grid.size, 64, 128, 0.8), -1, 1.5)
    share = where * (0.22 + 0.55 * net + 0.06 * cells) * np.float32(0.07 + 0.52 * severity)
    scene.density += np.clip(share, -0.1, 0.9) * (1 - scene.density)
    return (where > 0.38) & scene.field
