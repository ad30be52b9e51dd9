"""Pictures for a report: the worst errors and some localized findings, each with its heat and boxes."""

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from thorax.evaluation.canvas import words
from thorax.explain import box_from_map, overlay

if TYPE_CHECKING:
    from thorax.evaluation.run import Evaluated
    from thorax.preprocessing.store import ImageStore

_SIDE = 224
#: Pictures of a kind for a finding, and altogether, so that the page stays small.
_EACH, _MOST = 2, 24


#: How wrong, the row, the finding, the caption.
_Chosen = tuple[float, int, int, str]


@dataclass(frozen=True)
class Picture:
    """One picture of the report: `address` holds the image whole, `caption` and `detail` say what it shows."""

    address: str
    caption: str
    detail: str
    alt: str


def worst_errors(evaluated: "Evaluated", store: "ImageStore") -> tuple[list[Picture], list[Picture]]:
    """Return the surest false alarms and the surest misses, two of each a finding where there are so many."""
    truth, p = evaluated.scores.truth, evaluated.scores.probabilities
    called = evaluated.scores.decisions
    alarms: list[_Chosen] = []
    misses: list[_Chosen] = []
    for column, finding in enumerate(evaluated.facts["findings"]):
        false_alarms = np.flatnonzero((truth[:, column] == 0) & called[:, column])
        missed = np.flatnonzero((truth[:, column] == 1) & ~called[:, column])
        for rows, sign, into, kind in ((false_alarms, -1, alarms, "false alarm"), (missed, 1, misses, "missed")):
            for row in rows[np.argsort(sign * p[rows, column], kind="stable")][:_EACH]:
                into.append((abs(p[row, column] - (kind == "missed")), int(row), column, f"{words(finding)}: {kind}"))
    return _draw(evaluated, store, alarms), _draw(evaluated, store, misses)


def localized(evaluated: "Evaluated", store: "ImageStore") -> list[Picture]:
    """Return, a finding, the boxed images with the median and the worst overlap: no picked successes."""
    pictures = []
    for column, finding in enumerate(evaluated.facts["findings"]):
        found = sorted(
            (one for one in evaluated.located if one.finding == column), key=lambda one: one.agreement["iou"]
        )
        if not found:
            continue
        for one, which in ((found[len(found) // 2], "median"), (found[0], "worst")):
            box = box_from_map(_map(evaluated, one.row, column))
            address = _picture(evaluated, store, one.row, column, box, one.boxes)
            hit = "hit" if one.agreement["pointing_game"] else "missed"
            detail = f"IoU {one.agreement['iou']:.2f}, hottest point {hit}"
            pictures.append(Picture(address, f"{words(finding)}: {which} overlap", detail, f"{finding} with boxes"))
    return pictures[:_MOST]


def _draw(evaluated: "Evaluated", store: "ImageStore", chosen: Iterable[_Chosen]) -> list[Picture]:
    pictures = []
    for _, row, column, caption in sorted(chosen, reverse=True)[:_MOST]:
        p = evaluated.scores.probabilities[row, column]
        others = [
            words(name)
            for index, name in enumerate(evaluated.facts["findings"])
            if index != column and evaluated.scores.truth[row, index] == 1
        ]
        without = "this alone" if "missed" in caption else "none of these"
        detail = f"probability {p:.2f}; truly: {', '.join(others) or without}"
        address = _picture(evaluated, store, row, column, None, ())
        pictures.append(Picture(address, caption, detail, f"Radiograph with heat: {caption}"))
    return pictures


def _map(evaluated: "Evaluated", row: int, column: int) -> np.ndarray:
    assert evaluated.outputs.maps is not None
    return evaluated.outputs.maps[row, column].astype(np.float32)


def _picture(
    evaluated: "Evaluated",
    store: "ImageStore",
    row: int,
    column: int,
    box: tuple[float, float, float, float] | None,
    truth: tuple[tuple[float, float, float, float], ...],
) -> str:
    """Return the address of a JPEG of the test image, enlarged to one size."""
    import cv2

    position = int(evaluated.rows["position"].iloc[row])
    pixels = store.images([position])[0]
    larger = cv2.resize(pixels, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC)
    map_ = None if evaluated.outputs.maps is None else _map(evaluated, row, column)
    stream = io.BytesIO()
    overlay(larger, map_, box, truth=truth, colour_bar=False, strength=0.5).save(
        stream, format="JPEG", quality=85, subsampling=0
    )
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
