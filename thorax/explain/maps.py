"""Class activation maps in closed form, and what is read off them: heat, where it lies, and a box.

A network that ends in global average pooling and a linear layer has, for every finding at once and without a backward
pass, the map `weight · feature map + bias` (Zhou et al. 2016, CVPR). Its spatial mean is the finding's logit, and for
that layer it equals Grad-CAM (Selvaraju et al. 2017, ICCV) before the rectifier, up to a constant factor and the bias.
"""

from typing import TypedDict

import cv2
import numpy as np

from thorax.errors import InputError

#: Share of the hottest point's heat above which a point belongs to the box of a finding.
BOX_LEVEL = 0.4
#: Left, top, right and bottom of the box in which lungs and heart lie on a frontal radiograph, as fractions of it. Of
#: the area of the 984 boxes that radiologists drew on NIH ChestX-ray14, 98% lies inside.
LUNG_BOX = (0.08, 0.10, 0.92, 0.90)
#: Boxes are measured on a map of this many points a side, so that a coarse grid does not quantise them.
_GRID = 112


class MapStatistics(TypedDict):
    """Where a heatmap looked, as fractions of the image; see `map_statistics`."""

    x: float
    y: float
    spread: float
    outside: float


def class_activation_maps(feature_map: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Return the class activation maps of all findings.

    Args:
        feature_map: (N, D, h, w), what the global average pooling reads.
        weight: (F, D), the last layer's weight.
        bias: (F,), the last layer's bias.

    Returns:
        (N, F, h, w) in units of logits: the mean over h and w of each map is its finding's logit.
    """
    return np.einsum("fd,ndhw->nfhw", weight, feature_map, optimize=True) + bias[None, :, None, None]


def heat(map_: np.ndarray) -> np.ndarray:
    """Return how strongly each point speaks for the finding: the evidence above the image's mean, scaled to its peak.

    The mean of a map is the logit, so what is above it is what raises the logit here more than elsewhere. Unlike
    Grad-CAM's rectifier this is defined for a finding that is believed absent too.

    Args:
        map_: (h, w), a class activation map; not-a-number counts as no evidence.

    Returns:
        float32 (h, w) in [0, 1]; all zeros for a constant map.

    Raises:
        InputError: the map is not two-dimensional, or is empty.
    """
    values = np.asarray(map_, dtype=np.float32)
    if values.ndim != 2 or values.size == 0:
        raise InputError(f"A heatmap has two dimensions; this one has the shape {values.shape}.")
    finite = np.isfinite(values)
    if not finite.all():
        values = np.where(finite, values, values[finite].min() if finite.any() else 0.0)
    above = np.maximum(values - values.mean(), 0.0)
    peak = float(above.max())
    return above / peak if peak > 1e-6 else np.zeros_like(above)


def upsample(map_: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a map at `size` (height, width), bilinear between the centres of its cells."""
    values = np.ascontiguousarray(map_, dtype=np.float32)
    return cv2.resize(values, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)


def map_statistics(map_: np.ndarray) -> MapStatistics:
    """Say where a map looked, in four numbers that monitoring can follow.

    Returns:
        x, y: the centre of the squared heat, as fractions of the image's width and height (0 is left and top).
        spread: the root mean square distance of it from that centre, in the same fractions (0: one point).
        outside: share of the squared heat outside `LUNG_BOX`, by the centres of the map's cells.
        A constant map looks at the centre, with the spread of an even field.
    """
    weights = heat(map_).astype(np.float64) ** 2  # squared, so that faint heat all over does not drag the centre
    if not weights.any():
        weights = np.ones_like(weights)
    weights /= weights.sum()
    height, width = weights.shape
    x = (np.arange(width) + 0.5) / width
    y = (np.arange(height) + 0.5) / height
    across, down = weights.sum(axis=0), weights.sum(axis=1)
    centre_x, centre_y = float(across @ x), float(down @ y)
    variance = float(across @ (x - centre_x) ** 2 + down @ (y - centre_y) ** 2)
    left, top, right, bottom = LUNG_BOX
    inside = float(weights[np.ix_((y >= top) & (y <= bottom), (x >= left) & (x <= right))].sum())
    outside = min(max(1.0 - inside, 0.0), 1.0)
    return MapStatistics(x=centre_x, y=centre_y, spread=float(np.sqrt(variance)), outside=outside)


def box_from_map(
    map_: np.ndarray,
    probability: float | None = None,
    threshold: float | None = None,
    level: float = BOX_LEVEL,
) -> tuple[float, float, float, float] | None:
    """Return the box of the region that speaks for a finding, or None where there is none to show.

    The region is the connected part, of the points with at least `level` of the peak's heat, that holds the peak.

    Args:
        map_: (h, w), a class activation map.
        probability: the finding's probability.
        threshold: its operating point; with a lower probability there is no box.
        level: in (0, 1).

    Returns:
        (x, y, w, h) as fractions of the image, x and y its upper left corner.
    """
    if probability is not None and threshold is not None and probability < threshold:
        return None
    warm = upsample(heat(map_), (_GRID, _GRID))
    _, most, _, peak = cv2.minMaxLoc(warm)
    if not most:
        return None
    region = (warm >= np.float32(level * most)).view(np.uint8)
    *_, (left, top, width, height) = cv2.floodFill(region, None, peak, 2, flags=8)
    return left / _GRID, top / _GRID, width / _GRID, height / _GRID
