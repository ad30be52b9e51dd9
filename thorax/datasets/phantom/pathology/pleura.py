"""Findings of the pleural space: effusion, pneumothorax, pleural thickening."""

import numpy as np
from scipy.interpolate import CubicSpline

from thorax.datasets.phantom.anatomy import Anatomy
from thorax.datasets.phantom.grid import step
from thorax.datasets.phantom.pathology.tools import SIGN, fill, side_of
from thorax.datasets.phantom.physics import WATER
from thorax.datasets.phantom.scene import Scene


def _hemithorax(scene: Scene, side: int) -> tuple[slice, np.ndarray, np.ndarray]:
    """Return a side's columns, the distance of each from the midline, and the lung's outer distance at each row."""
    middle = scene.grid.column(0.0)
    columns = slice(0, middle) if side == 0 else slice(middle, scene.grid.size)
    _, outer, _ = scene.anatomy.span(side, scene.grid.v[:, 0])
    return columns, np.abs(scene.grid.u[:, columns]), outer.astype(np.float32)[:, None]


def effusion(scene: Scene, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Let fluid collect at the costophrenic angle, with a meniscus that climbs the wall; a veil when lying.

    Source: Hansell et al. 2008, Radiology 246:697, "pleural effusion"; blunting of the lateral angle needs about
    200 ml (Blackmore et al. 1996, Acad Radiol 3:103).
    """
    anatomy = scene.anatomy
    side = side_of(anatomy, "Effusion")
    columns, distance, outer = _hemithorax(scene, side)
    v = scene.grid.v
    angle, dome = anatomy.angle[side], anatomy.dome[side]
    # The level in the middle of the lung, and how far the meniscus climbs at the wall beyond it.
    level = angle + 0.01 - (0.02 + 0.185 * severity**1.4) * rng.uniform(0.9, 1.1)
    climb = 0.11 + 0.17 * severity
    gap = np.clip(outer - distance, 0, None)
    top = np.minimum(level, angle) - climb * np.exp(-gap / np.float32(0.085)) - 0.12 * climb * np.exp(-distance / 0.06)
    soft = 0.022 + 0.045 * np.exp(-gap / np.float32(0.03))
    share = step((v - top) / soft.astype(np.float32))
    share = share * np.float32(0.75 + 0.25 * severity)
    if anatomy.subject.view == "AP":
        veil = np.clip((v - (dome - 0.38)) / 0.42, 0, 1) ** 1.5 * np.float32(0.10 + 0.35 * severity)
        share = np.maximum(share * np.float32(0.85), veil)
    whole = np.zeros_like(scene.lung)
    whole[:, columns] = share
    fill(scene, whole, 0.6)
    where = np.zeros_like(scene.field)
    where[:, columns] = (share > 0.3) & (v > top) & (gap > 0)
    cavity = scene.field | (scene.lung > 0.02)
    seen = where & cavity & ~scene.heart & (scene.grid.v < dome + 0.055)
    return seen if seen.any() else where & cavity  # a little fluid behind a large heart


def shift_for_pneumothorax(anatomy: Anatomy, severity: float) -> None:
    """Push the mediastinum to the other side, as a large pneumothorax does."""
    anatomy.heart_shift -= SIGN[side_of(anatomy, "Pneumothorax")] * 0.035 * max(severity - 0.6, 0) / 0.4


def pneumothorax(scene: Scene, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Part the lung from the chest wall: a thin white visceral line, and no vessel beyond it; widest at the apex.

    Source: Hansell et al. 2008, Radiology 246:697, "pneumothorax"; O'Connor & Morgan 2005, BMJ 330:1493.
    """
    anatomy = scene.anatomy
    side = side_of(anatomy, "Pneumothorax")
    columns, distance, _ = _hemithorax(scene, side)
    v = scene.grid.v
    hilum = anatomy.hila[side][1]
    size = (0.06 + 0.30 * severity) * rng.uniform(0.9, 1.1)
    reach = hilum - 0.15 + 0.38 * severity * (0.3 + 0.7 * severity) * rng.uniform(0.8, 1.2)
    taper = 1 - step((v - (reach - 0.16)) / 0.22)
    # The collapsed lung is the lung drawn together towards its hilum, more above than below.
    narrow = 1 - size * taper
    lifted = hilum + (v - hilum) / np.where(v < hilum, 1 - 0.75 * size, 1)
    _, outer, depth = anatomy.span(side, lifted[:, 0])
    wobble = 0.004 * np.interp(v[:, 0], np.linspace(0, 1, 9), rng.standard_normal(9))[:, None]
    edge = (np.where(depth > 0, outer, 0)[:, None] * narrow + wobble).astype(np.float32)
    beyond = distance - edge
    out = step(beyond / (1.5 * scene.grid.px) + 0.5) * (taper > 0.01)
    lung = scene.lung[:, columns] > 0
    density, branches = scene.density[:, columns], scene.vessels[:, columns]
    density *= 1 - 0.93 * out
    branches *= 1 - out
    density += (1 - out) * np.float32(0.10 * size / 0.36) * taper
    width = max(0.0016, 0.7 * scene.grid.px)
    line = np.exp(-((beyond / np.float32(width)) ** 2)) * taper * (depth > 0)[:, None]
    scene.added[:, columns] += np.float32(0.10 + 0.16 * severity) * line * lung
    where = np.zeros_like(scene.field)
    where[:, columns] = (out > 0.5) & (taper > 0.2) & (distance > 0.4 * anatomy.width[side])
    return where & scene.field


def pleural_thickening(scene: Scene, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Line the lateral wall or the apex with a band of soft tissue whose inner margin is irregular.

    Source: Hansell et al. 2008, Radiology 246:697, "pleural plaque" and "apical cap".
    """
    anatomy = scene.anatomy
    side = side_of(anatomy, "Pleural_Thickening")
    columns, distance, outer = _hemithorax(scene, side)
    v = scene.grid.v
    apical = rng.random() < 0.3
    top, bottom = anatomy.apex[side], anatomy.angle[side]
    noise = CubicSpline(np.linspace(0, 1, 22), rng.standard_normal(22))(np.clip(v[:, 0], 0, 1))
    noise = np.clip(1 + 0.3 * noise, 0.3, 1.8)[:, None].astype(np.float32)
    thick = np.float32((0.010 + 0.026 * severity) * rng.uniform(0.9, 1.1)) * noise
    if apical:
        along = 1 - step((v - top - 0.06) / (0.04 + 0.05 * severity))
        inset = np.float32(0.02 + 0.04 * severity) * noise * 0.8
        _, inner_edge, depth = anatomy.span(side, (v - inset)[:, 0])
        edge = np.where(depth > 0, inner_edge, 0)[:, None] - thick
    else:
        start = top + rng.uniform(0.2, 0.55) * (bottom - top)
        stop = start + (0.12 + 0.22 * severity)
        along = step((v - start) / 0.04) * (1 - step((v - min(stop, bottom)) / 0.04))
        edge = outer - thick * along
    inside = step((distance - edge) / np.float32(max(0.012, scene.grid.px)) + 0.5) * (along > 0.02)
    share = inside * np.float32(0.45 + 0.5 * severity)
    whole = np.zeros_like(scene.lung)
    whole[:, columns] = share
    fill(scene, whole, 0.9)
    haze = step((distance - edge + 0.05) / 0.08) * along * np.float32(0.10 * severity)
    scene.added[:, columns] += haze * (scene.lung[:, columns] > 0)
    # Tissue along the beam at the wall: the band is thicker in depth than the lung that it replaces there.
    scene.added[:, columns] += np.float32(WATER * (0.02 + 0.05 * severity)) * inside * along * scene.field[:, columns]
    where = np.zeros_like(scene.field)
    where[:, columns] = (inside > 0.5) & (distance < outer)
    return where & (scene.field | (scene.lung > 0.01))
