"""Drawn pictures that are no chest: scenes, textures, slices, limbs, parts of a chest, pages of several pictures."""

from collections.abc import Callable

import cv2
import numpy as np

Draw = Callable[[np.random.Generator, np.ndarray], np.ndarray]


def no_chest(rng: np.random.Generator, chests: np.ndarray) -> np.ndarray:
    """Draw a picture of something else: float32 of shape (S, S) in [0, 1].

    Args:
        rng: where chance comes from.
        chests: uint8 (N, S, S), from which parts and pages are made.
    """
    kinds: tuple[tuple[Draw, float], ...] = (
        (_scene, 0.32),
        (_mirrored, 0.10),
        (_cloud, 0.08),
        (_slice, 0.24),
        (_limb, 0.10),
        (_part, 0.08),
        (_page, 0.08),
    )
    draw = kinds[rng.choice(len(kinds), p=[share for _, share in kinds])][0]
    pixels = draw(rng, chests)
    pixels = (pixels - pixels.min()) / (np.ptp(pixels) + 1e-6)
    if rng.random() < 0.3:
        pixels = 1 - pixels
    pixels = pixels ** np.exp(rng.normal(0, 0.35)) * rng.uniform(0.6, 1) + rng.uniform(0, 0.2)
    return np.clip(pixels + rng.normal(0, rng.uniform(0, 0.04), pixels.shape), 0, 1).astype(np.float32)


def _cloud(rng: np.random.Generator, chests: np.ndarray) -> np.ndarray:
    """Noise of a random spectral slope, from white to clouds."""
    size = chests.shape[-1]
    frequency = np.fft.fftfreq(size)
    radius = np.hypot(frequency[:, None], frequency[None]) + 1 / size
    spectrum = np.fft.fft2(rng.normal(size=(size, size))) * radius ** -rng.uniform(0, 2.2)
    field = np.fft.ifft2(spectrum).real
    return np.asarray((field - field.min()) / (np.ptp(field) + 1e-6), dtype=np.float32)


def _scene(rng: np.random.Generator, chests: np.ndarray) -> np.ndarray:
    """Things before one another: the dead leaves model of natural images (Lee, Mumford & Huang 2001, IJCV)."""
    size = chests.shape[-1]
    pixels = _cloud(rng, chests) * rng.uniform(0.1, 0.6) + rng.uniform(0, 0.4)
    for _ in range(int(rng.choice([2, 4, 8, 20, 60]))):
        mask = np.zeros((size, size), np.float32)
        centre = rng.integers(-5, size + 5, 2)
        extent = (rng.uniform(0.03, 0.4) if rng.random() < 0.7 else rng.uniform(0.3, 0.8)) * size
        match int(rng.integers(3)):
            case 0:
                axes = (max(1, int(extent * rng.uniform(0.3, 1))), max(1, int(extent)))
                cv2.ellipse(mask, centre.tolist(), axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
            case 1:
                sides = (extent * rng.uniform(0.3, 2), extent)
                corners = cv2.boxPoints((centre.astype(float).tolist(), sides, float(rng.uniform(0, 90))))
                cv2.fillPoly(mask, [corners.astype(np.int32)], 1)
            case _:
                corners = centre + rng.normal(0, extent / 1.5, (rng.integers(3, 7), 2))
                cv2.fillPoly(mask, [corners.astype(np.int32)], 1)
        if rng.random() < 0.4:
            mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.5, 6)))
        surface = _cloud(rng, chests) * rng.uniform(0, 0.5) + rng.uniform(0, 1)
        pixels = pixels * (1 - mask) + surface * mask
    return pixels


def _mirrored(rng: np.random.Generator, chests: np.ndarray) -> np.ndarray:
    """Something with two like halves: faces, figures, furniture."""
    pixels = _scene(rng, chests)
    half = pixels.shape[1] // 2
    pixels[:, half:] = pixels[:, :half][:, ::-1]
    return pixels


def _slice(rng: np.random.Generator, chests: np.ndarray) -> np.ndarray:
    """An axial slice of CT or MR: a round body in air, with or without lungs, bones and a table."""
    size = chests.shape[-1]
    y, x = (np.mgrid[:size, :size] + 0.5) / size - 0.5
    sharpness = rng.uniform(15, 50)

    def ellipse(cx: float, cy: float, a: float, b: float, angle: float = 0.0) -> np.ndarray:
        across = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
        down = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
        edge = np.clip((np.hypot(across / a, down / b) - 1) * sharpness, -30, 30)
        return np.asarray(1 / (1 + np.exp(edge)))

    wide, high, middle = rng.uniform(0.3, 0.5), rng.uniform(0.2, 0.46), rng.uniform(-0.08, 0.08)
    body = ellipse(0, middle, wide, high)
    pixels = body * rng.uniform(0.3, 0.7)
    if rng.random() < 0.6:
        for side in (-1, 1):
            cx, cy = side * wide * rng.uniform(0.42, 0.56), middle + rng.uniform(-0.06, 0.04)
            a, b = wide * rng.uniform(0.22, 0.44), high * rng.uniform(0.35, 0.78)
            pixels -= ellipse(cx, cy, a, b, rng.normal(0, 0.25)) * rng.uniform(0.2, 0.65)
    pixels += ellipse(0, middle + high * rng.uniform(0.5, 0.75), 0.05, 0.06) * rng.uniform(0.2, 0.6)
    for _ in range(rng.integers(0, 9)):
        (cx, cy), (a, b) = rng.uniform(-0.3, 0.3, 2), rng.uniform(0.02, 0.17, 2)
        pixels += ellipse(cx, cy, a, b, rng.uniform(0, 3)) * rng.uniform(-0.3, 0.3)
    if rng.random() < 0.6:  # ribs or skull
        rim = np.abs(np.hypot(x / wide, (y - middle) / high) - rng.uniform(0.8, 0.95))
        pixels += body * (rim < rng.uniform(0.02, 0.07)) * rng.uniform(0.1, 0.5)
    if rng.random() < 0.3:  # the table
        pixels += (np.abs(y - 0.2 * x**2 - middle - high - rng.uniform(0, 0.03)) < 0.012) * rng.uniform(0.1, 0.4)
    return pixels + _cloud(rng, chests) * rng.uniform(0, 0.15)


def _limb(rng: np.random.Generator, chests: np.ndarray) -> np.ndarray:
    """Long bones with flesh around them, on air."""
    size = chests.shape[-1]
    pixels = np.zeros((size, size), np.float32)
    course = rng.uniform(0, 2 * np.pi)
    for _ in range(rng.integers(1, 7)):
        centre = size / 2 + rng.normal(0, size * 0.12, 2)
        angle = course + rng.normal(0, 0.5)
        half = np.array([np.cos(angle), np.sin(angle)]) * size * rng.uniform(0.2, 0.7)
        ends = (centre - half).astype(int).tolist(), (centre + half).astype(int).tolist()
        for width, level in ((rng.uniform(0.08, 0.25), 0.25), (rng.uniform(0.03, 0.1), 0.55)):
            mask = cv2.line(np.zeros((size, size), np.float32), *ends, 1.0, max(1, int(width * size)))
            pixels = np.maximum(pixels, cv2.GaussianBlur(mask, (0, 0), 1.5) * level)
    return pixels + _cloud(rng, chests) * 0.1


def _part(rng: np.random.Generator, chests: np.ndarray) -> np.ndarray:
    """A small part of a chest, enlarged: a shoulder, a few ribs, the belly."""
    size = chests.shape[-1]
    side = int(size * rng.uniform(0.15, 0.4))
    left, top = rng.integers(0, size - side, 2)
    part = chests[rng.integers(len(chests)), top : top + side, left : left + side].astype(np.float32) / 255
    return np.rot90(cv2.resize(part, (size, size)), int(rng.integers(4))).copy()


def _page(rng: np.random.Generator, chests: np.ndarray) -> np.ndarray:
    """Several chests in one picture."""
    size = chests.shape[-1]
    some = [chests[number].astype(np.float32) / 255 for number in rng.integers(0, len(chests), 4)]
    if rng.random() < 0.5:
        one, two, three, four = (cv2.resize(picture, (size // 2, size // 2)) for picture in some)
        return np.block([[one, two], [three, four]])
    return np.hstack([cv2.resize(picture, (size // 2, size)) for picture in some[:2]])
