"""What is known beside the pixels becomes numbers; what is not known becomes nothing."""

import numpy as np
import pytest

from thorax.context import COLUMNS, encode


def test_each_number_says_what_its_column_says():
    known = dict(zip(COLUMNS, encode([75], ["F"], ["AP"])[0], strict=True))
    assert known == {"age_known": 1, "age": 1, "female": 1, "male": 0, "pa": 0, "ap": 1, "lateral": 0}


@pytest.mark.parametrize("age", [None, float("nan"), -3, 400, "old"])
def test_what_is_not_known_is_zero(age):
    assert not encode([age], [None], ["unknown"]).any()


def test_rows_are_as_many_as_were_given():
    assert encode([], [], []).shape == (0, len(COLUMNS))
    assert encode([40, np.float32(60)], ["M", "F"], ["PA", "LATERAL"])[:, 1] == pytest.approx([-0.4, 0.4])
