"""Where the lungs lie: a box around both, by a linear regression on the features that tell the pose.

The weights lie in `lungs.json` beside this module. `python -m commands.data.pose` learns them from phantoms, whose
lungs are known exactly; how well the box fits is measured by `make bench-data` and told in docs/data.md.
"""

import json
from functools import lru_cache
from importlib.resources import files

import numpy as np

from thorax.imaging.pose import CHEST, FEATURES, features, score
from thorax.imaging.preparation import Frame, thumbnail

#: Added on every side, as a share of the image: no lung may be cut off for the box being a little too small.
MARGIN = 0.05
#: A box narrower or lower than this share of the image is not believed.
_LEAST = 0.25


def lung_box(pixels: np.ndarray) -> Frame:
    """Return the box around both lungs, as fractions of the image; it may reach beyond the image's edge.

    Args:
        pixels: float32 of shape (H, W) in [0, 1], an upright chest with air dark.
    """
    weights, bias = _weights()
    left, top, right, bottom = (float(value) for value in features(thumbnail(pixels)) @ weights + bias)
    return Frame(left, top, right - left, bottom - top)


def lung_frame(pixels: np.ndarray) -> Frame | None:
    """Return the lungs and a margin, cut at the image's edge; None where no chest or no lungs are seen.

    Args:
        pixels: as `lung_box` takes them; of a turned or negative picture nothing is said.
    """
    small = thumbnail(pixels)
    if score(small) < CHEST:
        return None
    box = lung_box(small)
    left, top = max(box.x - MARGIN, 0.0), max(box.y - MARGIN, 0.0)
    right, bottom = min(box.x + box.w + MARGIN, 1.0), min(box.y + box.h + MARGIN, 1.0)
    if right - left < _LEAST or bottom - top < _LEAST:
        return None
    return Frame(left, top, right - left, bottom - top)


@lru_cache(maxsize=1)
def _weights() -> tuple[np.ndarray, np.ndarray]:
    stored = json.loads(files("thorax.imaging").joinpath("lungs.json").read_text(encoding="utf-8"))
    weights = np.array(stored["weights"], dtype=np.float32)
    if weights.shape != (FEATURES, 4):
        raise ValueError(f"lungs.json holds weights of shape {weights.shape}, not {(FEATURES, 4)}.")
    return weights, np.array(stored["bias"], dtype=np.float32)
