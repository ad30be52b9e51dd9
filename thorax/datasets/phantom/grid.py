"""The plane on which a phantom is projected: coordinates, splatting, smoothing and random fields."""

import zlib

import cv2
import numpy as np

#: Centimetres per unit of length; a unit is the width of an image at zoom 1.
UNIT_CM = 36.0


def stream(seed: int, name: str) -> np.random.Generator:
    """Return the random stream of one organ or finding; streams of one seed do not disturb each other.

    A finding that draws more or fewer numbers therefore leaves everything else as it was: the healthy twin differs in
    the finding alone.
    """
    return np.random.default_rng(np.random.SeedSequence([seed, zlib.crc32(name.encode())]))


class Grid:
    """Pixels of a square image in the subject's coordinates.

    `u` runs to the right of the image (the patient's left), 0 at the midline; `v` runs down, 0 at the upper edge.

    Args:
        size: pixels along each edge.
        zoom: image widths per unit.
        centre: where the midline stands, as a fraction of the image width.
        top: where v = 0 stands, as a fraction of the image height.

    Attributes:
        u: float32 (1, size), units.
        v: float32 (size, 1), units.
        px: width of a pixel in units.
    """

    def __init__(self, size: int, zoom: float = 1.0, centre: float = 0.5, top: float = 0.0) -> None:
        self.size, self.zoom, self.centre, self.top = size, zoom, centre, top
        fraction = (np.arange(size, dtype=np.float32) + 0.5) / size
        self.u = ((fraction - centre) / zoom).astype(np.float32)[None, :]
        self.v = ((fraction - top) / zoom).astype(np.float32)[:, None]
        self.px = 1.0 / (size * zoom)

    def column(self, u: float) -> int:
        """Return the pixel column nearest to u, inside the image."""
        return int(np.clip(round((self.centre + u * self.zoom) * self.size - 0.5), 0, self.size - 1))

    def row(self, v: float) -> int:
        """Return the pixel row nearest to v, inside the image."""
        return int(np.clip(round((self.top + v * self.zoom) * self.size - 0.5), 0, self.size - 1))

    def window(self, u0: float, u1: float, v0: float, v1: float) -> tuple[slice, slice]:
        """Return the slices (rows, columns) that cover a rectangle of the plane."""
        return slice(self.row(v0), self.row(v1) + 1), slice(self.column(u0), self.column(u1) + 1)

    def splat(self, u: np.ndarray, v: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Spread point masses over the four nearest pixels; float32 (size, size) mass per unit area."""
        n = self.size
        x = u.ravel().astype(np.float32) * np.float32(self.zoom * n) + np.float32(self.centre * n - 0.5)
        y = v.ravel().astype(np.float32) * np.float32(self.zoom * n) + np.float32(self.top * n - 0.5)
        w = np.broadcast_to(weight, u.shape).ravel().astype(np.float32) * np.float32(1 / self.px**2)
        keep = (x > 0) & (y > 0) & (x < n - 1.001) & (y < n - 1.001)
        out = np.zeros((n, n), np.float32)
        if not keep.all():
            x, y, w = x[keep], y[keep], w[keep]
        if not x.size:
            return out
        column, row = x.astype(np.int32), y.astype(np.int32)
        x0, y0 = int(column.min()), int(row.min())
        wide, high = int(column.max()) - x0 + 2, int(row.max()) - y0 + 2
        x -= column
        y -= row
        at = (row - y0) * wide + (column - x0)
        right, below = w * x, w * y
        corner = below * x
        total = np.bincount(at, w - right - below + corner, minlength=wide * high)
        total[1:] += np.bincount(at, right - corner, minlength=wide * high)[:-1]
        total[wide:] += np.bincount(at, below - corner, minlength=wide * high)[:-wide]
        total[wide + 1 :] += np.bincount(at, corner, minlength=wide * high)[: -wide - 1]
        out[y0 : y0 + high, x0 : x0 + wide] = total.reshape(high, wide)
        return out

    def sample(self, field: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Return a field's value at the nearest pixel of each point; 0 outside the image."""
        x = ((self.centre + u * self.zoom) * self.size).astype(np.int32)
        y = ((self.top + v * self.zoom) * self.size).astype(np.int32)
        inside = (x >= 0) & (y >= 0) & (x < self.size) & (y < self.size)
        return np.where(inside, field[np.clip(y, 0, self.size - 1), np.clip(x, 0, self.size - 1)], 0)

    def blur(self, field: np.ndarray, sigma: float) -> np.ndarray:
        """Blur by a Gaussian of `sigma` units."""
        return blur(field, sigma / self.px)


def blur(field: np.ndarray, sigma: float) -> np.ndarray:
    """Blur by a Gaussian of `sigma` pixels; wide ones on a coarser grid, which changes little and is fast."""
    if sigma < 0.25:
        return field
    factor = int(sigma // 4)
    if factor >= 2:
        height, width = field.shape
        small = cv2.resize(field, (max(width // factor, 8), max(height // factor, 8)), interpolation=cv2.INTER_AREA)
        small = cv2.GaussianBlur(small, (0, 0), sigma * small.shape[1] / width, borderType=cv2.BORDER_REPLICATE)
        return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return cv2.GaussianBlur(field, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)


def fractal(rng: np.random.Generator, size: int, coarse: int, fine: int, roughness: float) -> np.ndarray:
    """Return a random field, float32 (size, size), mean about 0 and deviation about 1.

    Args:
        rng: the stream.
        size: pixels along each edge.
        coarse: cells along an edge of the coarsest octave.
        fine: cells along an edge beyond which no octave is added.
        roughness: amplitude of an octave relative to the one before; 0.5 is smooth, 1 is white within the band.
    """
    # A stream of its own, so that what is drawn later does not depend on the size of the image.
    own = np.random.default_rng(int(rng.integers(2**62)))
    total: np.ndarray = own.standard_normal((coarse, coarse), dtype=np.float32)
    amplitude, power, cells = 1.0, 1.0, coarse
    while 2 * cells <= min(fine, size):
        cells *= 2
        amplitude *= roughness
        power += amplitude**2
        total = cv2.resize(total, (cells, cells), interpolation=cv2.INTER_CUBIC)
        total = total + np.float32(amplitude) * own.standard_normal((cells, cells), dtype=np.float32)
    total /= np.float32((0.7 * power) ** 0.5)
    return cv2.resize(total, (size, size), interpolation=cv2.INTER_CUBIC)


def step(edge: np.ndarray) -> np.ndarray:
    """Return a smooth step: 0 at or below 0, 1 at or above 1."""
    t = np.clip(edge, 0, 1)
    rest = 3 - 2 * t
    t = t * t
    t *= rest
    return t
