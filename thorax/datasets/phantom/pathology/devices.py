"""Support devices: tubes, lines, leads and a pacemaker; a distractor, not a disease."""

import numpy as np

from thorax.datasets.phantom.grid import step
from thorax.datasets.phantom.pathology.tools import stroke
from thorax.datasets.phantom.scene import Scene


def support_devices(scene: Scene, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Lay devices over the chest; more of them, and denser, with severity.

    Positions follow Godoy et al. 2012, AJR 198:563 and 198:572: a tracheal tube ends 5 cm over the carina, a central
    line in the superior vena cava, a nasogastric tube under the diaphragm, pacing leads in right atrium and ventricle.
    """
    makers = [_tracheal_tube, _central_line, _feeding_tube, _pacemaker, _electrodes, _chest_tube]
    weights = np.array([0.2, 0.28, 0.15, 0.14, 0.18, 0.05]) if scene.anatomy.subject.view == "AP" else np.array(
        [0.02, 0.38, 0.05, 0.35, 0.15, 0.05]
    )  # fmt: skip
    count = 1 + int(severity > 0.45) + int(severity > 0.8)
    chosen = rng.choice(len(makers), size=count, replace=False, p=weights)
    layer = np.zeros_like(scene.lung)
    for index in chosen:
        layer += makers[index](scene, rng)
    where = layer > 0.12
    scene.added += layer * np.float32(0.25 + 0.75 * severity)
    if not where.any():
        where = layer >= layer.max()
    return where


def _tracheal_tube(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    anatomy = scene.anatomy
    tip = anatomy.apex.mean() + 0.235 - rng.uniform(0.06, 0.14)
    v = np.array([-0.15, 0.0, 0.5 * tip, tip])
    u = anatomy.midline(v) + np.array([0.015, 0.008, 0.001, -0.004])
    line = stroke(scene.grid, np.stack([u + 0.006, v], 1), 0.0018, 1.0)
    walls = stroke(scene.grid, np.stack([u, v], 1), 0.008, 0.18)
    return line + walls


def _central_line(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    apex = scene.anatomy.apex.mean()
    end = np.array([-0.035 + 0.008 * rng.normal(), apex + rng.uniform(0.2, 0.3)])
    if rng.random() < 0.5:  # jugular
        knots = [
            (-0.085, -0.15),
            (-0.075, 0.0),
            (-0.055, apex + 0.03),
            (-0.045, apex + 0.12),
            (float(end[0]), float(end[1])),
        ]
    else:  # subclavian, or an arm's
        side = -1 if rng.random() < 0.6 else 1
        knots = [(side * 0.36, apex + 0.11), (side * 0.27, apex + 0.035), (side * 0.16, apex + 0.03)]
        knots += [(side * 0.06, apex + 0.075), (-0.04, apex + 0.14), (float(end[0]), float(end[1]))]
    return stroke(scene.grid, np.array(knots), 0.0026, 0.75)


def _feeding_tube(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    anatomy = scene.anatomy
    dome = float(anatomy.dome[1])
    knots = [(0.004, -0.15), (-0.002, 0.1), (0.008, 0.35), (0.004, 0.55), (0.03, dome + 0.02), (0.09, dome + 0.09),
             (0.14 + 0.03 * rng.random(), dome + 0.12)]  # fmt: skip
    return stroke(scene.grid, np.array(knots), 0.0032, 0.7)


def _pacemaker(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    anatomy, grid = scene.anatomy, scene.grid
    apex = anatomy.apex.mean()
    at = np.array([0.24 + 0.02 * rng.normal(), apex + 0.105 + 0.015 * rng.normal()])
    across, along = (grid.u - at[0]) / np.float32(0.052), (grid.v - at[1]) / np.float32(0.046)
    rho = (np.abs(across) ** 3.2 + np.abs(along) ** 3.2) ** np.float32(1 / 3.2)
    case = step((1 - rho) / 0.05) * np.float32(1.6) + np.exp(-(((rho - 0.93) / 0.05) ** 2)) * np.float32(0.6)
    start = at - np.array([0.045, 0.02])
    vein = [(0.10, apex + 0.075), (0.0, apex + 0.135), (-0.042, apex + 0.22), (-0.05, apex + 0.34)]
    low = float(anatomy.dome.mean()) - 0.035
    right = np.array([tuple(start), *vein, (-0.02, low), (0.05, low + 0.01), (anatomy.heart_left * 0.62, low - 0.015)])
    atrium = np.array([(start[0], start[1] + 0.01), *vein, (-0.045, apex + 0.38), (-0.065, apex + 0.35)])
    return case + stroke(grid, right, 0.0024, 1.3) + stroke(grid, atrium, 0.0022, 1.1)


def _electrodes(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    grid = scene.grid
    layer = np.zeros_like(scene.lung)
    for u, v in ((-0.27, 0.22), (0.27, 0.24), (0.33, 0.62), (-0.32, 0.64))[: 3 + int(rng.integers(2))]:
        at = np.array([u, v]) + 0.025 * rng.standard_normal(2)
        rho = np.hypot(grid.u - at[0], grid.v - at[1]) / np.float32(0.012)
        layer += np.float32(0.9) * step((1 - rho) / 0.25)
        away = at + np.array([0.04 * np.sign(u), 0.1 * rng.normal()])
        leave = np.array([0.62 * np.sign(u), v + 0.5 * abs(rng.normal())])
        layer += stroke(
            grid, np.array([at, away, 0.5 * (away + leave) + 0.05 * rng.standard_normal(2), leave]), 0.0020, 0.55
        )
    return layer


def _chest_tube(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    side = -1 if rng.random() < 0.5 else 1
    apex = scene.anatomy.apex.mean()
    knots = np.array([(0.55, 0.62), (0.40, 0.56), (0.33, 0.45), (0.26, 0.30), (0.19, apex + 0.06)]) * [side, 1]
    return stroke(scene.grid, knots, 0.0016, 1.0) + stroke(
        scene.grid, knots + np.array([0.009 * side, 0.0]), 0.006, 0.12
    )
