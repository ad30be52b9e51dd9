"""Draw where a model looked over the radiograph that it looked at."""

import io
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from thorax.bundle.answers import map_on_image
from thorax.errors import InputError
from thorax.explain import overlay

if TYPE_CHECKING:
    from thorax.bundle.loading import Bundle
    from thorax.imaging import Radiograph
    from thorax.prediction import Prediction

#: px of the longer side of an overlay: a heatmap of a few cells a side says no more at a higher resolution.
SIDE = 512


def draw(
    bundle: "Bundle",
    radiograph: "Radiograph",
    prediction: "Prediction",
    finding: str,
    side: int = SIDE,
    strength: float = 0.6,
    colour_bar: bool = True,
) -> bytes:
    """Return a PNG of the radiograph with one finding's heat and box over it.

    Args:
        bundle: the one that answered.
        radiograph: what it answered for.
        prediction: its answer, with maps.
        finding: whose heat to draw.
        side: px of the picture's longer side; small images are enlarged to half of it.
        strength: opacity of the hottest point, in [0, 1]; with 0 there is no heat and no box.
        colour_bar: whether to add the scale.

    Raises:
        InputError: the answer has no maps, or the model does not know the finding.
    """
    if prediction.maps is None or finding not in bundle.findings:
        raise InputError(f"There is no heatmap of {finding}.")
    map_ = prediction.maps[bundle.findings.index(finding)]
    spot = bundle.spot(radiograph.width, radiograph.height)
    box = prediction.of(finding).box
    picture = overlay(
        fit(radiograph.pixels, side),
        map_on_image(map_, bundle.info.size, spot) if strength else None,
        (box.x, box.y, box.w, box.h) if box and strength else None,
        strength=strength,
        colour_bar=colour_bar,
    )
    return png(picture)


def fit(pixels: np.ndarray, side: int) -> np.ndarray:
    """Return uint8 pixels whose longer side is at most `side` px, and at least half of it."""
    height, width = pixels.shape
    longer = max(height, width)
    scale = min(side / longer, max(1.0, side / 2 / longer))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if size != (width, height):
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    return np.rint(np.clip(pixels, 0.0, 1.0) * 255).astype(np.uint8)


def png(picture: Image.Image) -> bytes:
    """Return a picture as the bytes of a PNG file, packed quickly rather than tightly."""
    stream = io.BytesIO()
    picture.save(stream, format="PNG", compress_level=1)
    return stream.getvalue()
