"""From a network's outputs to answers: the one path that serving, batch prediction and the reference table share."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from thorax.calibration.conformal import ABSENT
from thorax.explain import box_from_map, map_statistics, upsample
from thorax.findings import SHIPPED, Vocabulary
from thorax.imaging import Placement
from thorax.prediction import Box, FindingAnswer, Heat, Novelty

if TYPE_CHECKING:
    from thorax.bundle.watched import Watched
    from thorax.calibration import Calibration


def box_on_image(box: tuple[float, float, float, float], size: int, spot: Placement) -> Box | None:
    """Carry a box from the network's square (fractions of `size` px) to the image that lies in it at `spot`.

    Returns:
        The box as fractions of the image, cut at its edges, or None where nothing of it lies on the image.
    """
    x, y, w, h = (value * size for value in box)
    left, right = (min(max((at - spot.left) / spot.width, 0.0), 1.0) for at in (x, x + w))
    top, bottom = (min(max((at - spot.top) / spot.height, 0.0), 1.0) for at in (y, y + h))
    if right <= left or bottom <= top:
        return None
    return Box(x=left, y=top, w=right - left, h=bottom - top)


def map_on_image(map_: np.ndarray, size: int, spot: Placement) -> np.ndarray:
    """Return the part of a map (h, w) of the network's square that covers the image, at the square's resolution.

    Where the image was cropped and the network saw nothing, the map has its lowest value.
    """
    if (spot.left, spot.top, spot.width, spot.height) == (0, 0, size, size):
        return map_
    whole = upsample(map_, (size, size))
    covered = np.full((spot.height, spot.width), whole.min(), dtype=whole.dtype)
    left, top = max(spot.left, 0), max(spot.top, 0)
    right, bottom = min(spot.left + spot.width, size), min(spot.top + spot.height, size)
    covered[top - spot.top : bottom - spot.top, left - spot.left : right - spot.left] = whole[top:bottom, left:right]
    return covered


def answer(
    calibration: "Calibration",
    inputs: np.ndarray,
    outputs: tuple[np.ndarray, np.ndarray, np.ndarray],
    views: Sequence[str],
    spots: Sequence[Placement] | None = None,
    watched: "Watched | None" = None,
    words: Vocabulary = SHIPPED,
) -> list[tuple[tuple[FindingAnswer, ...], Novelty]]:
    """Turn outputs into answers.

    Args:
        calibration: of the bundle.
        inputs: uint8 (N, S, S), what the network read.
        outputs: logits (N, F), features (N, D) and class activation maps (N, F, h, w) of the same images.
        views: of each image; cut-offs may differ between them.
        spots: where each image lies in it; without them no boxes are drawn up.
        watched: where findings are usually looked for; without it agreement stays unknown.
        words: the model's vocabulary: display names and codes.

    Returns:
        One pair an image: its findings' answers, and how far it lies from the known.
    """
    logits, features, maps = outputs
    probabilities = np.clip(calibration.probabilities(logits), 0.0, 1.0)
    decisions = calibration.decisions(probabilities)
    said = calibration.answers(probabilities, views)
    uncertainty = np.clip(calibration.uncertainty(probabilities), 0.0, 1.0)
    scores = calibration.ood_score(features, inputs)
    size = inputs.shape[-1]
    cutoff = float(calibration.ood_cutoff)
    thresholds = calibration.thresholds
    results = []
    for i in range(len(logits)):
        answers, cutoffs = [], calibration.cutoffs(views[i])
        for j, finding in enumerate(calibration.findings):
            box = box_from_map(maps[i, j]) if spots is not None and said[i, j] != ABSENT else None
            answers.append(
                FindingAnswer(
                    finding=finding,
                    display=words.display(finding),
                    code=words.code(finding),
                    probability=float(probabilities[i, j]),
                    threshold=float(thresholds[j]),
                    answer=str(said[i, j]),  # type: ignore[arg-type]
                    lower=cutoffs[j].lower,
                    upper=cutoffs[j].upper,
                    decision=bool(decisions[i, j]),
                    uncertainty=float(uncertainty[i, j]),
                    box=box_on_image(box, size, spots[i]) if box and spots is not None else None,
                    heat=Heat(
                        **map_statistics(maps[i, j]),
                        agreement=watched.agreement(j, maps[i, j]) if watched is not None else None,
                    ),
                )
            )
        novelty = Novelty(score=float(scores[i]), cutoff=cutoff, out=bool(scores[i] > cutoff))
        results.append((tuple(answers), novelty))
    return results
