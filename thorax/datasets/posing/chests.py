"""Phantoms as all kinds of places would export them: moved, windowed, blurred, framed, whitened, with lines on them."""

import cv2
import numpy as np


def chests(count: int, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Render phantoms with findings at their usual rates.

    Returns:
        Pictures, uint8 of shape (count, size, size), and their lungs, bool of the same shape.
    """
    from thorax.datasets.phantom.population import cases
    from thorax.datasets.phantom.recipe import Recipe
    from thorax.datasets.phantom.render import render

    # Rendered larger than they are used, as a scanner's pictures are.
    made = [render(case.subject, 2 * size) for case in cases(Recipe(count=count, size=2 * size, seed=seed))]
    pictures = [cv2.resize(one.image8, (size, size), interpolation=cv2.INTER_AREA) for one in made]
    return np.stack(pictures), np.stack([one.lungs[::2, ::2] for one in made])


def as_exported(picture: np.ndarray, lungs: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Change a chest in ways that leave it one.

    Args:
        picture: uint8 (S, S), upright.
        lungs: bool (S, S).
        rng: where chance comes from.

    Returns:
        The picture, float32 (S, S) in [0, 1], and its lungs, bool (S, S), moved with it.
    """
    size = len(picture)
    matrix = _movement(size, rng)
    border = cv2.BORDER_REPLICATE if rng.random() < 0.5 else cv2.BORDER_CONSTANT
    pixels: np.ndarray = cv2.warpAffine(picture.astype(np.float32) / 255, matrix, (size, size), borderMode=border)
    mask = cv2.warpAffine(lungs.astype(np.uint8), matrix, (size, size), flags=cv2.INTER_NEAREST) > 0
    pixels = pixels.clip(0, 1) ** np.exp(rng.normal(0, 0.35))
    pixels = pixels * rng.uniform(0.6, 1) + rng.uniform(0, 0.25)
    if rng.random() < 0.5:
        pixels = cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.3, 2))
    if rng.random() < 0.3:  # an opacity
        y, x = np.mgrid[:size, :size] / size
        at, width = rng.uniform(0.2, 0.9, 2), rng.uniform(0.08, 0.25)
        pixels += rng.uniform(0.1, 0.4) * np.exp(-(((x - at[0]) / width) ** 2 + ((y - at[1]) / width) ** 2))
    if rng.random() < 0.3:
        pixels += rng.uniform(-0.3, 0.3) * np.linspace(-0.5, 0.5, size)[None]
    if rng.random() < 0.3:
        pixels += rng.uniform(-0.3, 0.3) * np.linspace(-0.5, 0.5, size)[:, None]
    if rng.random() < 0.3:  # lines and tubes
        for ends in rng.integers(0, size, (rng.integers(1, 5), 2, 2)).tolist():
            pixels = cv2.line(np.ascontiguousarray(pixels), ends[0], ends[1], float(rng.uniform(0.6, 1)), 1)
    if rng.random() < 0.25:
        _frame(pixels, rng)
    pixels = pixels + rng.normal(0, rng.uniform(0, 0.04), pixels.shape)
    return np.clip(pixels, 0, 1).astype(np.float32), mask


def _movement(size: int, rng: np.random.Generator) -> np.ndarray:
    """Return a matrix (2, 3) that turns by some degrees, scales each axis, and shifts."""
    angle, scale, aspect = np.radians(rng.normal(0, 6)), np.exp(rng.normal(0, 0.13)), np.exp(rng.normal(0, 0.08))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = np.diag([scale * aspect, scale / aspect]) @ turn
    centre = np.full(2, size / 2)
    shift = centre - matrix @ centre + rng.normal(0, 0.06, 2) * size
    return np.c_[matrix, shift]


def _frame(pixels: np.ndarray, rng: np.random.Generator) -> None:
    """Lay a dark or white bar over some of the edges, as collimation and scanned films have."""
    width = max(1, int(rng.uniform(0.02, 0.12) * len(pixels)))
    level = rng.choice([0.0, 0.0, 1.0])
    which = rng.integers(4)
    if which in (0, 3):
        pixels[:width] = level
    if which in (1, 3):
        pixels[-width:] = level
    if which in (2, 3):
        pixels[:, :width] = pixels[:, -width:] = level
