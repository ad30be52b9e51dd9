"""The vertebral column."""

import numpy as np

from thorax.datasets.phantom.anatomy import Anatomy
from thorax.datasets.phantom.grid import Grid, step, stream


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
