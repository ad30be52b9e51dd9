"""Is it a frontal chest, upright, with air dark? Told by correlation with a drawn one.

The template is drawn, not learned: two dark tilted lungs, a bright mediastinum with the heart to the patient's left, a
bright abdomen, air beside the neck. Its eight numbers were fitted so that real radiographs resemble it most.
"""

from functools import lru_cache
from typing import Literal, NamedTuple

import cv2
import numpy as np

#: Side to which a picture is shrunk, and that of the template, which may slide over the rest.
_SIDE, _TEMPLATE = 48, 40
# Illumination, which differs between scanners, is taken out by a blur of this width, in shares of the side.
_ILLUMINATION = 14 / 48
_LUNG_OFFSET, _LUNG_HEIGHT, _LUNG_WIDTH, _LUNG_LENGTH, _LUNG_TILT = 0.221, 0.398, 0.106, 0.279, 0.135
_ABDOMEN, _MEDIASTINUM, _AIR = 0.222, 0.134, 0.114

#: A pose other than upright is believed from this correlation on, and this far above upright.
SURE, AHEAD = 0.40, 0.15
# Above this correlation the other poses are not tried: none was ever that far ahead.
_CLEAR = 0.60
#: Below this correlation, a picture is taken for no chest.
CHEST = 0.20

Verdict = Literal["upright", "inverted", "rotated", "no chest"]


class Pose(NamedTuple):
    """What a picture resembles: its correlation with the template, −1 to 1.

    `upright` as it is, `turned` by the best of three quarters (−1 where they were not tried), `negative` as a negative.
    """

    verdict: Verdict
    upright: float
    turned: float
    negative: float


def pose(pixels: np.ndarray) -> Pose:
    """Compare a picture with a drawn chest in four rotations, as it is and as its negative.

    "Beyond doubt" means few false alarms at the price of misses. On 1,371 frontal radiographs (ChestX-ray14 at 64, 256
    and 1,024 px, a German hospital's, and a collection from the web) 0.5% were called inverted or rotated by mistake
    and 0.2% no chest. Of the same pictures as negatives 88% are caught, turned by a quarter 93%, by a half 74%. Of 27
    photographs half are called no chest; the others are told by their colours.

    Args:
        pixels: shape (H, W), floats in [0, 1].
    """
    small = cv2.resize(np.asarray(pixels, dtype=np.float32), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    scores = [_match(small)]
    upright = scores[0][0]
    if upright > _CLEAR:
        return Pose("upright", upright, -1.0, scores[0][1])
    scores += [_match(np.ascontiguousarray(np.rot90(small, quarter))) for quarter in (1, 2, 3)]
    turned = max(high for high, _ in scores[1:])
    negative = max(low for _, low in scores)
    verdict: Verdict = "upright"
    if negative > SURE and negative > max(upright, turned) + AHEAD:
        verdict = "inverted"
    elif turned > SURE and turned > upright + AHEAD:
        verdict = "rotated"
    elif upright < CHEST:
        verdict = "no chest"
    return Pose(verdict, upright, turned, negative)


def _match(small: np.ndarray) -> tuple[float, float]:
    """Return the best correlation of a picture, and of its negative, over small shifts."""
    found = cv2.matchTemplate(_flatten(small), _template(), cv2.TM_CCOEFF_NORMED)
    return float(found.max()), float(-found.min())


def _flatten(picture: np.ndarray) -> np.ndarray:
    return picture - cv2.GaussianBlur(picture, (0, 0), _ILLUMINATION * len(picture))


@lru_cache(maxsize=1)
def _template() -> np.ndarray:
    """Draw the chest: float32 of shape (40, 40)."""
    y, x = (np.mgrid[0:_TEMPLATE, 0:_TEMPLATE] + 0.5) / _TEMPLATE
    aside = np.abs(x - 0.5)
    chest = _ABDOMEN / (1 + np.exp(-(y - 0.68) * 18))
    chest += _MEDIASTINUM * np.exp(-((aside / 0.1) ** 2))
    chest += 0.6 * _MEDIASTINUM * np.exp(-(((x - 0.58) / 0.12) ** 2) - ((y - 0.6) / 0.12) ** 2)
    for side in (-1, 1):
        across, down, angle = x - (0.5 + side * _LUNG_OFFSET), y - _LUNG_HEIGHT, side * _LUNG_TILT
        minor = (across * np.cos(angle) - down * np.sin(angle)) / _LUNG_WIDTH
        major = (across * np.sin(angle) + down * np.cos(angle)) / _LUNG_LENGTH
        chest -= 0.35 / (1 + np.exp((np.hypot(minor, major) - 1) * 7))
        above_shoulder = y - 0.16 + 0.5 * (0.35 - aside)
        chest -= _AIR * (aside > 0.18) / (1 + np.exp(above_shoulder * 25))
    return _flatten(chest.astype(np.float32))
