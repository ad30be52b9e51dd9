"""Grey levels of any depth, brought to [0, 1]."""

import numpy as np

#: Share of the darkest and of the brightest pixels that may be clipped: markers, borders, dead detector elements.
CLIPPED = 0.005
#: A picture whose levels spread less than this share of its range is left dim: stretching would show only noise.
FLAT = 0.02
#: At most this many pixels are looked at to find the percentiles; a regular grid gives them within half a level.
_SAMPLE = 262_144


def from_bytes(levels: np.ndarray) -> np.ndarray:
    """Scale 8-bit grey to float32 in [0, 1].

    An 8-bit picture was already windowed by whoever exported it, so its contrast is left as it is.
    """
    return levels * np.float32(1 / 255)


def stretch(levels: np.ndarray, span: float, inside: np.ndarray | None = None) -> np.ndarray:
    """Scale grey levels of more than eight bits to float32 in [0, 1] by robust percentiles.

    Detectors use an unknown part of their range (a 15-bit image may hold 800 to 26,000). Between the 0.5th and 99.5th
    percentile, the picture looks alike whatever the depth and gain, and comes close to what 8-bit exports show.

    Args:
        levels: any numeric type, shape (H, W).
        span: the width of the range that the file could hold, in grey levels.
        inside: bool (H, W), the part that decides the contrast; all of it where it is not given.
    """
    step = max(1, int(np.sqrt(levels.size / _SAMPLE)))
    sample = levels[::step, ::step]
    if inside is not None and (part := inside[::step, ::step]).any():
        sample = sample[part]
    low, high = np.percentile(sample, [100 * CLIPPED, 100 * (1 - CLIPPED)])
    if high - low < FLAT * span:
        low = min(float(levels.min()), 0.0)
        high = low + span
    scaled = (levels.astype(np.float32) - np.float32(low)) * np.float32(1 / (high - low))
    return np.clip(scaled, 0, 1, out=scaled)
