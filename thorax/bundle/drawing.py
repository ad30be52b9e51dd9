"""Draw where a model looked over the radiograph that it looked at, for all findings in one go."""

import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import cv2
import numpy as np

from thorax.bundle.answers import map_on_image
from thorax.bundle.png import png
from thorax.errors import InputError
from thorax.explain import heat, overlay_pixels, upsample

if TYPE_CHECKING:
    from thorax.bundle.loading import Bundle
    from thorax.imaging import Radiograph
    from thorax.prediction import Prediction

#: px of the longer side of an overlay: a heatmap of a few cells a side says no more at a higher resolution.
SIDE = 512
#: px of a layer, which the browser enlarges smoothly.
_LAYER = 128


def draw(
    bundle: "Bundle",
    radiograph: "Radiograph",
    prediction: "Prediction",
    findings: Sequence[str] = (),
    side: int = SIDE,
    strength: float = 0.6,
    colour_bar: bool = True,
) -> dict[str, bytes]:
    """Return a PNG a finding: the radiograph with the finding's heat and box over it.

    Args:
        bundle: the one that answered.
        radiograph: what it answered for.
        prediction: its answer, with maps.
        findings: whose heat to draw; all of the bundle's where none is named.
        side: px of the picture's longer side; small images are enlarged to half of it.
        strength: opacity of the hottest point, in [0, 1].
        colour_bar: whether to add the scale.

    Raises:
        InputError: the answer has no maps, or the model does not know a finding.
    """
    base = fit(radiograph.pixels, side)

    def one(finding: str, map_: np.ndarray) -> bytes:
        box = prediction.of(finding).box
        corners = (box.x, box.y, box.w, box.h) if box else None
        return png(overlay_pixels(base, map_, corners, strength=strength, colour_bar=colour_bar))

    return _each(one, bundle, radiograph, prediction, findings)


def layers(
    bundle: "Bundle", radiograph: "Radiograph", prediction: "Prediction", findings: Sequence[str] = ()
) -> dict[str, bytes]:
    """Return a PNG a finding: its heat alone, transparent where there is none, to be laid over the radiograph.

    Raises:
        InputError: the answer has no maps, or the model does not know a finding.
    """
    height, width = (max(1, round(side * _LAYER / max(radiograph.pixels.shape))) for side in radiograph.pixels.shape)

    def one(_: str, map_: np.ndarray) -> bytes:
        warm = np.clip(upsample(heat(map_), (height, width)), 0.0, 1.0)
        colour = cv2.applyColorMap((warm * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[:, :, ::-1]
        opacity = (np.sqrt(warm) * 255).astype(np.uint8)
        return png(np.dstack([colour, opacity]))

    return _each(one, bundle, radiograph, prediction, findings)


def plain(radiograph: "Radiograph", side: int = SIDE) -> bytes:
    """Return a PNG of the radiograph as it was read, 8 bit, at most `side` px."""
    return png(fit(radiograph.pixels, side))


def fit(pixels: np.ndarray, side: int) -> np.ndarray:
    """Return uint8 pixels whose longer side is at most `side` px, and at least half of it."""
    height, width = pixels.shape
    longer = max(height, width)
    scale = min(side / longer, max(1.0, side / 2 / longer))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if size != (width, height):
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    return np.rint(np.clip(pixels, 0.0, 1.0) * 255).astype(np.uint8)


def _each(
    one: Callable[[str, np.ndarray], bytes],
    bundle: "Bundle",
    radiograph: "Radiograph",
    prediction: "Prediction",
    findings: Sequence[str],
) -> dict[str, bytes]:
    """Draw each finding, side by side: packing a picture holds no lock of Python's."""
    names = tuple(findings) or bundle.findings
    unknown = [name for name in names if name not in bundle.findings]
    if prediction.maps is None or unknown:
        raise InputError(f"There is no heatmap of {', '.join(unknown or names)}.")
    spot = bundle.spot(radiograph)
    maps = [map_on_image(prediction.maps[bundle.findings.index(name)], bundle.info.size, spot) for name in names]
    if len(names) == 1:
        return {names[0]: one(names[0], maps[0])}
    return dict(zip(names, _pool().map(one, names, maps), strict=True))


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(4, os.cpu_count() or 1), thread_name_prefix="draw")
