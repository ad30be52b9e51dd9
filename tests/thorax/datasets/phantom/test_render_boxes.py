"""Where findings lie, beside the published boxes of NIH ChestX-ray14 (medians of BBox_List_2017.csv, 984 boxes)."""

import numpy as np
import pytest

from thorax.datasets.phantom.render import render
from thorax.datasets.phantom.subject import Subject

#: Median centre height, width and height of NIH's boxes, as fractions of the image.
NIH_BOXES = {
    "Atelectasis": (0.57, 0.17, 0.12),
    "Cardiomegaly": (0.57, 0.47, 0.37),
    "Effusion": (0.56, 0.20, 0.27),
    "Infiltration": (0.52, 0.22, 0.26),
    "Mass": (0.45, 0.12, 0.13),
    "Nodule": (0.47, 0.07, 0.07),
    "Pneumonia": (0.56, 0.22, 0.27),
    "Pneumothorax": (0.25, 0.20, 0.20),
}


def boxes_of(finding: str, count: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    subjects = [
        Subject(900 + index, "AP" if index % 3 == 0 else "PA", findings={finding: float(rng.uniform(0.1, 1))})
        for index in range(count)
    ]
    return np.array([render(subject, 64).boxes[finding] for subject in subjects])


@pytest.mark.slow
@pytest.mark.parametrize("finding", NIH_BOXES)
def test_boxes_lie_where_radiologists_drew_them(finding):
    x, y, w, h = boxes_of(finding, 36).T
    down, width, height = NIH_BOXES[finding]
    assert np.median(y + h / 2) == pytest.approx(down, abs=0.10)
    assert np.median(w) == pytest.approx(width, abs=max(0.04, 0.25 * width))
    assert np.median(h) == pytest.approx(height, abs=max(0.05, 0.4 * height))
    centre = x + w / 2
    if finding == "Cardiomegaly":
        assert np.median(centre) == pytest.approx(0.57, abs=0.05)
    else:
        assert 0.25 < np.mean(centre < 0.5) < 0.75  # both lungs
