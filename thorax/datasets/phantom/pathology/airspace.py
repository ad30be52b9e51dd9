"""Findings that put fluid or cells in the place of air: atelectasis, consolidation, pneumonia, infiltration, edema."""

import numpy as np

from thorax.datasets.phantom.anatomy import Anatomy
from thorax.datasets.phantom.grid import fractal, step
from thorax.datasets.phantom.pathology.tools import SIGN, fill, lobulated, place, side_of, stroke
from thorax.datasets.phantom.scene import Scene


def _half(scene: Scene, side: int) -> np.ndarray:
    """Return 1 on one side of the midline, float32 (1, size)."""
    return (scene.grid.u * SIGN[side] > 0).astype(np.float32)


def lose_volume(anatomy: Anatomy, severity: float) -> None:
    """Raise the diaphragm on the side of an atelectasis and draw the mediastinum towards it."""
    side = side_of(anatomy, "Atelectasis")
    lift = 0.012 + 0.028 * severity
    anatomy.dome[side] -= lift
    anatomy.angle[side] -= 0.6 * lift
    anatomy.heart_shift += SIGN[side] * 0.018 * severity


def atelectasis(scene: Scene, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Add plates of collapsed lung over the diaphragm, in a wedge of denser lung; the lung loses volume.

    Source: Hansell et al. 2008, Radiology 246:697, "atelectasis" and "linear atelectasis"; Woodring & Reed 1996,
    J Thorac Imaging 11:92.
    """
    side, grid, anatomy = side_of(scene.anatomy, "Atelectasis"), scene.grid, scene.anatomy
    at = place(anatomy, side, rng.uniform(0.3, 0.6), rng.uniform(0.74, 0.95))
    half = rng.uniform(0.075, 0.105)
    tilt = SIGN[side] * rng.uniform(-0.35, 0.1)
    share = np.zeros_like(scene.lung)
    where = np.zeros_like(scene.field)
    for plate in range(1 + int(rng.integers(1, 3))):
        drop = (0.0, 0.034, -0.03)[plate] * rng.uniform(0.8, 1.2)
        du = (grid.u - np.float32(at[0] + 0.02 * rng.normal())) / np.float32(half * (1, 0.75, 0.6)[plate])
        bow = at[1] + drop + tilt * (grid.u - at[0]) + 0.012 * rng.normal() * du**2
        thick = (0.0045 + 0.006 * severity) * rng.uniform(0.85, 1.25)
        ends = np.clip(1 - du**4, 0, None)
        share = np.maximum(share, np.exp(-(((grid.v - bow) / np.float32(thick)) ** 2)) * ends * (1, 0.8, 0.7)[plate])
        where |= (np.abs(grid.v - bow) < 2.2 * thick) & (np.abs(du) < 1)
    wedge = lobulated(grid, (at[0], at[1] + 0.012), (half, 0.052), rng, 0.1)
    haze = step((1.15 - wedge) / 0.7)
    share = np.maximum(share * np.float32(0.2 + 0.6 * severity), haze * np.float32(0.06 + 0.32 * severity))
    inside = scene.field & (_half(scene, side) > 0)
    fill(scene, share * _half(scene, side), 0.5)
    return (where | (wedge < 0.95)) & inside


def consolidation(scene: Scene, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Fill a segment or lobe evenly up to a straight fissure; vessels vanish, bronchi stay as dark branches.

    Source: Hansell et al. 2008, Radiology 246:697, "consolidation" and "air bronchogram".
    """
    side, grid, anatomy = side_of(scene.anatomy, "Consolidation"), scene.grid, scene.anatomy
    at = place(anatomy, side, rng.uniform(0.3, 0.6), rng.uniform(0.35, 0.85))
    grown = 0.85 + 0.45 * severity
    radii = (rng.uniform(0.085, 0.12) * grown, rng.uniform(0.09, 0.13) * grown)
    rho = lobulated(grid, at, radii, rng, 0.10, turn=rng.uniform(-0.4, 0.4))
    rough = fractal(rng, grid.size, 12, 128, 0.6)
    share = step((1.2 - rho + 0.05 * rough) / 0.5)
    upper = rng.random() < 0.5
    slope = SIGN[side] * rng.uniform(-0.1, 0.25)
    fissure = (grid.v - (at[1] + (0.6 if upper else -0.6) * radii[1]) - slope * (grid.u - at[0])) * (-1 if upper else 1)
    share = share * step(fissure / np.float32(0.012) + 0.5)
    hilum = anatomy.hila[side]
    tubes = np.zeros_like(scene.lung)
    for _ in range(4):
        end = np.array(at) + rng.uniform(-0.7, 0.7, 2) * radii
        bend = 0.5 * (hilum + end) + rng.normal(0, 0.012, 2)
        tubes = np.maximum(tubes, stroke(grid, np.array([hilum, bend, end]), 0.0022, 1.0))
    share = share * np.float32(0.10 + 0.62 * severity) * (1 - 0.22 * np.clip(tubes, 0, 1)) * (1 + 0.05 * rough)
    inside = scene.field & (_half(scene, side) > 0)
    fill(scene, np.clip(share, 0, 1) * _half(scene, side), 0.95)
    return (rho < 1.02) & (fissure > 0) & inside


def pneumonia(scene: Scene, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Add patches of airspace opacity that run together, with ragged borders, denser in their middle.

    Source: Hansell et al. 2008, Radiology 246:697, "pneumonia"; bronchopneumonia: Franquet 2018, J Thorac Imaging
    33:282.
    """
    side, grid, anatomy = side_of(scene.anatomy, "Pneumonia"), scene.grid, scene.anatomy
    at = place(anatomy, side, rng.uniform(0.3, 0.65), rng.uniform(0.62, 0.95))
    radii = (rng.uniform(0.09, 0.125), rng.uniform(0.11, 0.15))
    clumps = fractal(rng, grid.size, 10, 128, 0.6)
    air = np.ones_like(scene.lung)
    for _ in range(7):
        off = rng.normal(0, 0.42, 2) * radii
        near = rng.uniform(0.35, 0.7)
        blob = np.hypot((grid.u - at[0] - off[0]) / (near * radii[0]), (grid.v - at[1] - off[1]) / (near * radii[1]))
        air *= 1 - rng.uniform(0.3, 0.75) * np.exp(-(blob.astype(np.float32) ** 2))
    whole = np.clip(1 - air, 0, 1)
    share = np.clip(whole * (1 + 0.22 * clumps), 0, 1)
    half = _half(scene, side)
    fill(scene, share * half * np.float32(0.12 + 0.62 * severity), 0.6)
    return (whole > 0.33) & scene.field & (half > 0)


def infiltration(scene: Scene, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Add an ill-defined, streaky haze of fine strands and dots that leaves the vessels visible.

    Source: Hansell et al. 2008, Radiology 246:697, "infiltrate" (a term it discourages, and NIH's labels use) and
    "reticular pattern".
    """
    side, grid, anatomy = side_of(scene.anatomy, "Infiltration"), scene.grid, scene.anatomy
    at = place(anatomy, side, rng.uniform(0.25, 0.6), rng.uniform(0.5, 0.95))
    radii = (rng.uniform(0.09, 0.125), rng.uniform(0.11, 0.15))
    rho = lobulated(grid, at, radii, rng, 0.15)
    strands = np.exp(-((fractal(rng, grid.size, 20, 128, 0.6) / 0.4) ** 2))
    dots = np.clip(fractal(rng, grid.size, 40, 80, 0.6) - 0.8, 0, 1.5)
    share = step((1.3 - rho) / 0.95) * (0.45 + 0.4 * strands + 0.2 * dots)
    inside = scene.field & (_half(scene, side) > 0)
    fill(scene, np.clip(share * np.float32(0.06 + 0.30 * severity), 0, 1) * _half(scene, side), 0.15)
    return (rho < 0.95) & inside


def redistribute_flow(anatomy: Anatomy, severity: float) -> None:
    """Widen the upper vessels and all hila, as raised venous pressure does before fluid leaves the vessels."""
    anatomy.upper_flow += 0.3 * severity
    anatomy.vessel_gain *= 1 + 0.35 * severity


def edema(scene: Scene, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Add perihilar haze on both sides, septal (Kerley B) lines at the bases, and blurred, widened vessels.

    Source: Gluecker et al. 1999, RadioGraphics 19:1507; Hansell et al. 2008, Radiology 246:697, "septal lines".
    """
    grid, anatomy = scene.grid, scene.anatomy
    patches = 1 + 0.2 * fractal(rng, grid.size, 8, 128, 0.6)
    share = np.zeros_like(scene.lung)
    for side in (0, 1):
        hilum = anatomy.hila[side]
        distance = (grid.u * SIGN[side] - 0.125) / np.float32(0.135)
        wing = np.exp(-(distance**2) - (np.abs((grid.v - hilum[1] - 0.06) / np.float32(0.17)) ** 2.5))
        base = 0.3 * step((grid.v - hilum[1]) / 0.25)
        share = np.maximum(
            share, np.clip(wing + base * np.exp(-((grid.u * SIGN[side] / 0.3) ** 4)), 0, 1) * _half(scene, side)
        )
    where = (share > 0.35) & scene.field
    right, left = 1 - 0.45 * rng.random(2)  # seldom the same on both sides
    share = share * patches * np.where(grid.u < 0, np.float32(right), np.float32(left))
    share = np.clip(share, 0, 1) * np.float32(0.08 + 0.68 * severity)
    fill(scene, share, 0.7)
    lines = np.zeros_like(scene.lung)
    for side in (0, 1):
        for _ in range(9):
            v = anatomy.dome[side] - rng.uniform(-0.04, 0.13)
            outer = float(anatomy.span(side, np.array([v]))[1][0])
            u = SIGN[side] * (outer - np.array([0.004, 0.014, 0.026 + 0.012 * rng.random()]))
            lines += stroke(
                grid, np.stack([u, v + np.array([0, 0.001, 0.002]) * rng.normal()], 1), 0.0014, 0.06 + 0.14 * severity
            )
    scene.added += lines * (scene.lung > 0)
    return where
