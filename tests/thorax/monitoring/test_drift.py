"""The verdict: quiet without drift at the stated rate, an alarm with it, and none on too little."""

import numpy as np
import pandas as pd
import pytest
from stream_factory import stream

from thorax.errors import InputError
from thorax.monitoring.drift import detect
from thorax.settings import Monitor

SETTINGS = Monitor(resamples=100)


def test_a_shift_alarms_and_names_what_moved() -> None:
    found = detect(stream(400, 1, shift=0.6), stream(800, 2), SETTINGS)
    assert found.verdict == "drift"
    assert found.alarms[0] in {"p_Effusion", "d_Effusion", "c_Effusion"}
    assert "p_Edema" not in found.alarms
    (column,) = (c for c in found.columns if c.column == "p_Effusion")
    assert column.score is not None
    assert column.score > 1
    assert column.wasserstein_cutoff is not None
    assert column.wasserstein is not None
    assert column.wasserstein > column.wasserstein_cutoff or column.psi > column.psi_cutoff  # type: ignore[operator]


def test_the_same_stream_is_quiet_and_the_same_each_time() -> None:
    window, reference = stream(400, 1), stream(800, 2)
    found = detect(window, reference, SETTINGS)
    assert found.verdict == "quiet"
    assert found == detect(window, reference, SETTINGS)
    assert all(c.score is not None and c.score <= 1 for c in found.columns)


def test_under_the_minimum_there_are_figures_and_no_verdict() -> None:
    found = detect(stream(299, 1, shift=3.0), stream(800, 2), SETTINGS)
    assert found.verdict == "too few"
    assert not found.alarms
    assert all(c.psi is not None and c.psi_cutoff is None for c in found.columns)
    assert detect(stream(3, 1), stream(800, 2), SETTINGS).verdict == "too few"
    assert detect(stream(300, 1, shift=3.0), stream(800, 2), SETTINGS).verdict == "drift"


def test_what_clients_do_not_send_along_is_no_drift() -> None:
    window = stream(400, 1).assign(age=np.nan, view="unknown", sex=None)
    found = detect(window, stream(800, 2), SETTINGS)
    assert found.verdict == "quiet"
    notes = {c.column: c.note for c in found.columns if c.note}
    assert notes == dict.fromkeys(("view", "age", "sex"), "not sent along with any image")
    half = stream(900, 1)
    half.loc[::2, "age"] = np.nan
    assert detect(half, stream(800, 2), SETTINGS).verdict == "quiet"


def test_missing_answers_are_drift() -> None:
    window = stream(400, 1)
    window.loc[:40, "heat_x_Edema"] = np.nan
    assert "heat_x_Edema" in detect(window, stream(800, 2), SETTINGS).alarms


def test_a_word_that_the_reference_never_had_is_drift() -> None:
    window = stream(400, 1)
    window.loc[:40, "view"] = "LATERAL"
    assert "view" in detect(window, stream(800, 2), SETTINGS).alarms


def test_one_of_what_the_reference_never_showed_is_chance_and_twenty_are_not() -> None:
    reference, window = stream(800, 2).assign(ood=0), stream(400, 1).assign(ood=0)
    window.loc[0, "ood"] = 1
    window.loc[1, "view"] = "LATERAL"
    window.loc[2, "heat_x_Edema"] = np.nan
    assert detect(window, reference, SETTINGS).verdict == "quiet"
    window.loc[:20, "ood"] = 1
    assert detect(window, reference, SETTINGS).alarms == ("ood",)


def test_words_are_the_same_whatever_their_type() -> None:
    window = stream(400, 1).astype({"d_Edema": float, "ood": bool})
    assert detect(window, stream(800, 2), SETTINGS).verdict == "quiet"


def test_a_constant_column_of_the_reference_alarms_when_it_moves_and_not_before() -> None:
    reference = stream(800, 2).assign(noise=1.0)
    assert detect(stream(400, 1).assign(noise=1.0), reference, SETTINGS).verdict == "quiet"
    assert "noise" in detect(stream(400, 1).assign(noise=2.0), reference, SETTINGS).alarms


def test_a_log_of_another_model_and_an_empty_reference_are_refused() -> None:
    with pytest.raises(InputError, match=r"lacks p_Edema.*another model"):
        detect(stream(400).drop(columns="p_Edema"), stream(800), SETTINGS)
    with pytest.raises(InputError, match="reference is empty"):
        detect(stream(400), stream(0), SETTINGS)
    with pytest.raises(InputError, match="reference is empty"):
        detect(stream(400), pd.DataFrame({"noise": [1.0]}), SETTINGS)


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "reference"), [(300, 600), (1000, 2000)])
def test_false_alarms_come_at_the_stated_rate(rows: int, reference: int) -> None:
    """150 reports without drift at a rate of 5%: between 1 and 15 alarm, three standard errors either way."""
    alarms = sum(
        detect(stream(rows, 2 * i), stream(reference, 2 * i + 1), SETTINGS, seed=i).verdict == "drift"
        for i in range(150)
    )
    assert 1 <= alarms <= 15
