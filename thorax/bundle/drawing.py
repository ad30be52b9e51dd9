"""Draw where a model looked over the radiograph that it looked at."""

import io
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from thorax.bundle.answers import map_on_image
from thorax.errors import InputError
from thorax.explain import heat, overlay, upsample

if TYPE_CHECKING:
    from thorax.bundle.loading import Bundle
    from thorax.imaging import Radiograph
    from thorax.prediction import Prediction

#: px of the longer side of an overlay: a heatmap of a few cells a side says no more at a higher resolution.
SIDE = 512
#: px of a layer, which the browser enlarges smoothly: packing a PNG is what an overlay costs.
_LAYER = 128


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
        strength: opacity of the hottest point, in [0, 1].
        colour_bar: whether to add the scale.

    Raises:
        InputError: the answer has no maps, or the model does not know the finding.
    """
    map_ = _map(bundle, radiograph, prediction, finding)
    box = prediction.of(finding).box
    picture = overlay(
        fit(radiograph.pixels, side),
        map_,
        (box.x, box.y, box.w, box.h) if box else None,
        strength=strength,
        colour_bar=colour_bar,
    )
    return png(picture)


def layer(bundle: "Bundle", radiograph: "Radiograph", prediction: "Prediction", finding: str) -> bytes:
    """Return a PNG of one finding's heat alone, transparent where there is none, to be laid over the radiograph.

    Raises:
        InputError: the answer has no maps, or the model does not know the finding.
    """
    map_ = _map(bundle, radiograph, prediction, finding)
    height, width = (max(1, round(side * _LAYER / max(radiograph.pixels.shape))) for side in radiograph.pixels.shape)
    warm = np.clip(upsample(heat(map_), (height, width)), 0.0, 1.0)
    colour = cv2.applyColorMap((warm * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[:, :, ::-1]
    opacity = (np.sqrt(warm) * 255).astype(np.uint8)
    return png(Image.fromarray(np.dstack([colour, opacity])))


def plain(radiograph: "Radiograph", side: int = SIDE) -> bytes:
    """Return a PNG of the radiograph as it was read, 8 bit, at most `side` px."""
    return png(Image.fromarray(fit(radiograph.pixels, side)))


def _map(bundle: "Bundle", radiograph: "Radiograph", prediction: "Prediction", finding: str) -> np.ndarray:
    if prediction.maps is None or finding not in bundle.findings:
        raise InputError(f"There is no heatmap of {finding}.")
    spot = bundle.spot(radiograph.width, radiograph.height)
    return map_on_image(prediction.maps[bundle.findings.index(finding)], bundle.info.size, spot)


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
