"""From masks to boxes."""

import numpy as np


def box_of(mask: np.ndarray) -> tuple[float, float, float, float]:
    """Return the box around a mask as (x, y, w, h), fractions of the image, upper left corner first.

    Raises:
        ValueError: the mask is empty.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        raise ValueError("An empty mask has no box.")
    height, width = mask.shape
    return (
        float(columns[0] / width),
        float(rows[0] / height),
        float((columns[-1] + 1 - columns[0]) / width),
        float((rows[-1] + 1 - rows[0]) / height),
    )
