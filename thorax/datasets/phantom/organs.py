"""Soft tissue and air: thickness maps of torso, lungs, heart, great vessels, breasts, airway and stomach."""

import numpy as np
from scipy.interpolate import CubicSpline, PchipInterpolator

from thorax.datasets.phantom.anatomy import Anatomy
from thorax.datasets.phantom.grid import Grid, fractal, step, stream

#: Depth of the trunk at each height, relative.
_DEPTH = PchipInterpolator([-0.3, 0.0, 0.1, 0.2, 0.35, 0.6, 0.8, 1.4], [0.5, 0.55, 0.6, 0.76, 0.93, 1.02, 1.1, 1.12])


def _rounded(rho: np.ndarray, power: float, root: float) -> np.ndarray:
    """Return the profile of a rounded body: 1 in the middle, 0 at rho = 1."""
    return np.clip(1 - np.abs(rho) ** power, 0, None) ** np.float32(root)


def ellipse(grid: Grid, at: tuple[float, float], radii: tuple[float, float], out: np.ndarray, depth: float,
            power: float = 2.0, root: float = 0.5) -> None:  # fmt: skip
    """Raise `out` to the thickness of an ellipsoid where that is more."""
    rows, columns = grid.window(at[0] - radii[0], at[0] + radii[0], at[1] - radii[1], at[1] + radii[1])
    rho = np.sqrt(((grid.u[:, columns] - at[0]) / radii[0]) ** 2 + ((grid.v[rows] - at[1]) / radii[1]) ** 2)
    np.maximum(out[rows, columns], depth * _rounded(rho, power, root), out=out[rows, columns])


def torso(anatomy: Anatomy, grid: Grid) -> np.ndarray:
    """Return the thickness of the body, float32 (size, size) in units: neck, shoulders, trunk and arms."""
    size = anatomy.subject.size
    wide = anatomy.width.mean() + 0.045 + 0.07 * (size - 0.9)
    neck = 0.125 + 0.03 * (size - 1)
    acromion = anatomy.acromion
    # v and half-width of the outline: neck, trapezius, point of the shoulder, armpit, waist.
    outline = np.array(
        [
            (-0.4, neck), (acromion - 0.17, neck), (acromion - 0.10, neck + 0.055), (acromion - 0.06, neck + 0.17),
            (acromion - 0.035, wide - 0.02), (acromion, wide + 0.08), (acromion + 0.08, wide + 0.13),
            (acromion + 0.17, wide + 0.125), (acromion + 0.27, wide + 0.07), (0.52, wide), (0.75, wide + 0.01),
            (1.0, wide + 0.03), (1.4, wide + 0.06),
        ]
    )  # fmt: skip
    half = PchipInterpolator(outline[:, 0], outline[:, 1])
    rows = grid.v[:, 0]
    width = half(rows).astype(np.float32)[:, None]
    depth = (anatomy.thickness * _DEPTH(rows)).astype(np.float32)[:, None]
    body = depth * _rounded(grid.u / width, 4.0, 0.5)
    _head(anatomy, grid, body)
    for sign in (-1, 1):
        elbow = wide + 0.12 + anatomy.arm_gap
        middle = sign * (wide + 0.055 + (elbow - wide - 0.05) * step((grid.v - acromion - 0.1) / 0.6))
        radius = np.float32(0.068 * size)
        arm = 1.9 * radius * _rounded((grid.u - middle) / radius, 2.0, 0.5) * step((grid.v - acromion - 0.08) / 0.15)
        np.maximum(body, arm, out=body)
    return body


def _head(anatomy: Anatomy, grid: Grid, body: np.ndarray) -> None:
    """Raise `body` by the chin, which reaches into the picture when the head is bent, mostly in AP views."""
    draw = stream(anatomy.subject.seed, "head").standard_normal(3)
    chin = anatomy.acromion - (0.07 if anatomy.subject.view == "AP" else 0.13) + 0.025 * draw[0]
    ellipse(grid, (0.012 * draw[1], chin - 0.13), (0.115, 0.13), body, 0.42 * anatomy.thickness / 0.6, 3.0, 0.4)


def lungs(anatomy: Anatomy, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Return lung thickness, float32 (size, size) in units, and the field in front of the diaphragm, bool.

    Under the edge of the diaphragm the lung thins out as the square root of the way, as it does behind a round dome.
    """
    thickness = np.zeros((grid.size, grid.size), np.float32)
    field = np.zeros((grid.size, grid.size), bool)
    rows = grid.v[:, 0]
    middle = grid.column(0.0)
    for side, columns in enumerate((slice(0, middle), slice(middle, grid.size))):
        inner, outer, depth = (np.asarray(part, np.float32)[:, None] for part in anatomy.span(side, rows))
        distance = np.abs(grid.u[:, columns])
        across = (2 * distance - inner - outer) / np.maximum(outer - inner, 1e-3)
        profile = 1 - np.clip(across, 0, 1.1) ** 2.4 - np.clip(-across, 0, 1.1) ** 6
        edge = anatomy.diaphragm(side, distance[0]).astype(np.float32)[None, :]
        under = np.sqrt(np.clip((grid.v - edge) / np.float32(0.05), 0, 1))
        lung = depth * np.sqrt(np.clip(profile, 0, None)) * (1 - under)
        thickness[:, columns] = lung
        field[:, columns] = (profile > 0) & (grid.v < edge) & (depth > 0)
    return thickness, field


def heart(anatomy: Anatomy, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Return the thickness of heart and great vessels, float32 (size, size), and the heart's silhouette, bool."""
    thickness = np.zeros((grid.size, grid.size), np.float32)
    outline = anatomy.heart_outline()
    centre = np.array(
        [outline[:, 0].min() * 0.3 + outline[:, 0].max() * 0.4, 0.56 + 0.5 * (anatomy.dome.mean() - 0.665)]
    )
    rows, columns = grid.window(outline[:, 0].min(), outline[:, 0].max(), outline[:, 1].min(), outline[:, 1].max())
    du, dv = grid.u[:, columns] - centre[0], grid.v[rows] - centre[1]
    angle = np.arctan2(outline[:, 1] - centre[1], outline[:, 0] - centre[0])
    order = np.argsort(angle)
    reach = np.hypot(*(outline - centre).T)[order]
    rho = np.hypot(du, dv) / np.interp(np.arctan2(dv, du), angle[order], reach, period=2 * np.pi).astype(np.float32)
    thickness[rows, columns] = 0.40 * anatomy.depth * _rounded(rho, 3.2, 0.5)
    silhouette = np.zeros((grid.size, grid.size), bool)
    silhouette[rows, columns] = (rho < 1) & (grid.v[rows] < anatomy.dome.max() + 0.035)
    _great_vessels(anatomy, grid, thickness)
    return thickness, silhouette


def _great_vessels(anatomy: Anatomy, grid: Grid, out: np.ndarray) -> None:
    """Raise `out` by the upper mediastinum, aortic arch, descending aorta and pulmonary trunk."""
    apex, knob = float(anatomy.apex.mean()), anatomy.knob
    mid = anatomy.midline(grid.v).astype(np.float32)
    arch = apex + 0.175
    wavy = stream(anatomy.subject.seed, "mediastinum").standard_normal((2, 8)) * 0.0035
    heights = [-0.3, apex - 0.02, apex + 0.05, arch - 0.03, arch + 0.05, arch + 0.12, arch + 0.2, 0.9]
    edges = np.array(
        [[0.08, 0.068, 0.058, 0.052, 0.055, 0.055, 0.05, 0.05], [0.08, 0.066, 0.056, 0.054, 0.058, 0.064, 0.06, 0.05]]
    )
    left, right = CubicSpline(heights, edges + wavy, axis=1)(grid.v[:, 0])[..., None]
    columns = slice(grid.column(-0.14), grid.column(0.14) + 1)
    across = grid.u[:, columns] - mid
    reach = np.where(across > 0, left, right).astype(np.float32)
    band = (0.27 * anatomy.depth) * _rounded(across / reach, 3, 0.6)
    np.maximum(out[:, columns], band, out=out[:, columns])
    shift = anatomy.heart_shift * 0.6
    ellipse(grid, (0.046 + shift, arch), (knob * 1.05, knob * 1.15), out, 0.27, 2.5, 0.5)
    ellipse(grid, (0.05 + shift, arch + 0.085), (0.044, 0.055), out, 0.25, 2.5, 0.5)
    aorta = 0.048 + 0.35 * (knob - 0.034) + shift - 0.05 * np.clip((grid.v - arch) / 0.6, 0, 1)
    columns = slice(grid.column(-0.05), grid.column(0.15) + 1)
    tube = 0.27 * _rounded((grid.u[:, columns] - aorta.astype(np.float32)) / np.float32(0.034), 2.5, 0.5)
    np.maximum(out[:, columns], tube * (grid.v > arch), out=out[:, columns])


def breasts(anatomy: Anatomy, grid: Grid) -> np.ndarray:
    """Return the thickness of breasts (women) or pectoral muscles (men), float32 (size, size) in units."""
    rng = stream(anatomy.subject.seed, "breasts")
    out = np.zeros((grid.size, grid.size), np.float32)
    draw = rng.standard_normal(4)
    woman = anatomy.subject.sex == "F" and anatomy.subject.age > 12
    for side, sign in enumerate((-1, 1)):
        if woman:
            at = (
                sign * (0.235 + 0.01 * draw[0]),
                anatomy.angle.mean() - 0.085 + 0.03 * draw[1] + 0.005 * sign * draw[2],
            )
            wide, up, down = 0.175 + 0.01 * draw[3], 0.32, 0.15
            full = 0.06 * anatomy.subject.size**2 * float(np.clip(1 + 0.3 * draw[2], 0.4, 1.7))
        else:
            at = (sign * 0.2, 0.38 + 0.01 * draw[side])
            wide, up, down, full = 0.2, 0.16, 0.16, 0.03
        rows, columns = grid.window(at[0] - wide, at[0] + wide, at[1] - up, at[1] + down)
        u, v = grid.u[:, columns] - np.float32(at[0]), grid.v[rows] - np.float32(at[1])
        across, along = u / np.float32(wide), v / np.where(v > 0, np.float32(down), np.float32(up))
        # The lower fold of a breast is an edge; above, it runs out into the chest wall.
        power = 0.7 + 1.5 * step((0.04 - v) / 0.16) if woman else np.full_like(v, 1.6)
        out[rows, columns] += np.float32(full) * np.clip(1 - across**2 - along**2, 0, None) ** power
    return out


def airway(anatomy: Anatomy, grid: Grid) -> np.ndarray:
    """Return the thickness of air in trachea and main bronchi, float32 (size, size) in units."""
    out = np.zeros((grid.size, grid.size), np.float32)
    carina = float(anatomy.apex.mean()) + 0.235
    radius = np.float32(0.0245 if anatomy.subject.sex == "M" else 0.021)
    rows, columns = grid.window(-0.15, 0.15, grid.v[0, 0], carina + 0.12)
    u, v = grid.u[:, columns], grid.v[rows]
    middle = (anatomy.midline(v) - 0.004).astype(np.float32)
    air = 1.7 * radius * _rounded((u - middle) / radius, 2.2, 0.5) * step((carina - v) / 0.03)
    start = np.array([float(anatomy.midline(np.array(carina))) - 0.004, carina - 0.02])
    for side in (0, 1):
        ahead = anatomy.hila[side] - start
        length = np.hypot(*ahead)
        along = ((u - start[0]) * ahead[0] + (v - start[1]) * ahead[1]) / length
        across = ((v - start[1]) * ahead[0] - (u - start[0]) * ahead[1]) / length
        narrow = radius * (0.72, 0.62)[side]
        tube = (
            1.5
            * narrow
            * _rounded(across / narrow, 2.2, 0.5)
            * step(along / 0.02)
            * step((0.95 * length - along) / 0.02)
        )
        air = np.maximum(air, tube)
    out[rows, columns] = air
    return out


def stomach(anatomy: Anatomy, grid: Grid) -> np.ndarray:
    """Return the thickness of gas under the diaphragm, float32 (size, size): the gastric bubble and some bowel gas."""
    rng = stream(anatomy.subject.seed, "stomach")
    out = np.zeros((grid.size, grid.size), np.float32)
    draw = rng.random(8)
    if draw[0] < 0.7:
        at = (0.13 + 0.1 * draw[1], anatomy.dome[1] + 0.045 + 0.02 * draw[2])
        radii = (0.035 + 0.035 * draw[3], 0.024 + 0.026 * draw[4])
        ellipse(grid, at, radii, out, 0.13 * (0.4 + 0.8 * draw[5]), 2, 0.9)
        if anatomy.subject.view == "PA":  # standing: fluid below a level
            out *= step((at[1] + radii[1] * 0.4 - grid.v) / 0.006 + 0.5)
    if draw[6] < 0.5:
        gas = fractal(rng, grid.size, 10, 80, 0.6)
        below = step((grid.v - anatomy.angle.max() - 0.02) / 0.05) * step((0.33 - np.abs(grid.u)) / 0.1)
        out += 0.05 * np.clip(gas - 1.0, 0, 1.2) * below
    return out
