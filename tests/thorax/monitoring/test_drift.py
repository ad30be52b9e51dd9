"""The verdict: quiet without drift at the stated rate, an alarm with it, and none on too little."""

import numpy as np
import pandas as pd
import pytest
from stream_factory import embedded, stream

from thorax.errors import InputError
from thorax.monitoring.drift import detect
from thorax.settings import Monitor

GROUPS = ("probability", "decision", "conformal", "uncertainty", "novelty", "image", "view", "age", "sex", "heat")
SETTINGS = Monitor(resamples=100, min_rows=300, false_alarm_rate=0.05, alarm=(*GROUPS, "embedding"), warn=())


def test_a_shift_alarms_and_names_what_moved() -> None:
    found = detect(stream(400, 1, shift=0.6), stream(800, 2), SETTINGS)
    assert found.crossed
    assert found.crossed[0] in {"p_Effusion", "d_Effusion", "c_Effusion"}
    assert "p_Edema" not in found.crossed
    (column,) = (c for c in found.columns if c.column == "p_Effusion")
    assert column.score is not None
    assert column.score > 1
    beyond = [kind for kind, cutoff in column.cutoffs.items() if getattr(column, kind) > cutoff]
    assert beyond
    furthest = max(beyond, key=lambda kind: getattr(column, kind) / column.cutoffs[kind])
    assert column.figure().value == getattr(column, furthest)


def test_the_same_stream_is_quiet_and_the_same_each_time() -> None:
    window, reference = stream(400, 1), stream(800, 2)
    found = detect(window, reference, SETTINGS)
    assert found.crossed == ()
    assert found == detect(window, reference, SETTINGS)
    assert all(c.score is not None and c.score <= 1 for c in found.columns)


def test_under_the_minimum_there_are_figures_and_no_verdict() -> None:
    found = detect(stream(299, 1, shift=3.0), stream(800, 2), SETTINGS)
    assert found.judged is False
    assert not found.crossed
    assert all(c.psi is not None and not c.cutoffs for c in found.columns)
    assert detect(stream(3, 1), stream(800, 2), SETTINGS).judged is False
    assert detect(stream(300, 1, shift=3.0), stream(800, 2), SETTINGS).crossed


def test_what_clients_do_not_send_along_is_no_drift() -> None:
    window = stream(400, 1).assign(age=np.nan, view="unknown", sex=None)
    found = detect(window, stream(800, 2), SETTINGS)
    assert found.crossed == ()
    notes = {c.column: c.note for c in found.columns if c.note}
    assert notes == dict.fromkeys(("view", "age", "sex"), "not sent along with any image")
    half = stream(900, 1)
    half.loc[::2, "age"] = np.nan
    assert detect(half, stream(800, 2), SETTINGS).crossed == ()


def test_missing_answers_are_drift() -> None:
    window = stream(400, 1)
    window.loc[:40, "heat_x_Edema"] = np.nan
    assert "heat_x_Edema" in detect(window, stream(800, 2), SETTINGS).crossed


def test_a_word_that_the_reference_never_had_is_drift() -> None:
    window = stream(400, 1)
    window.loc[:40, "view"] = "LATERAL"
    assert "view" in detect(window, stream(800, 2), SETTINGS).crossed


def test_one_of_what_the_reference_never_showed_is_chance_and_twenty_are_not() -> None:
    reference, window = stream(800, 2).assign(ood=0), stream(400, 1).assign(ood=0)
    window.loc[0, "ood"] = 1
    window.loc[1, "view"] = "LATERAL"
    window.loc[2, "heat_x_Edema"] = np.nan
    assert detect(window, reference, SETTINGS).crossed == ()
    window.loc[:20, "ood"] = 1
    assert detect(window, reference, SETTINGS).crossed == ("ood",)


def test_words_are_the_same_whatever_their_type() -> None:
    window = stream(400, 1).astype({"d_Edema": float, "ood": bool})
    assert detect(window, stream(800, 2), SETTINGS).crossed == ()


def test_a_constant_column_of_the_reference_alarms_when_it_moves_and_not_before() -> None:
    reference = stream(800, 2).assign(noise=1.0)
    assert detect(stream(400, 1).assign(noise=1.0), reference, SETTINGS).crossed == ()
    assert "noise" in detect(stream(400, 1).assign(noise=2.0), reference, SETTINGS).crossed


def test_embeddings_that_moved_together_alarm_where_no_other_column_did() -> None:
    reference, window, same = (embedded(stream(rows, seed), seed) for rows, seed in ((800, 2), (400, 1), (400, 3)))
    assert detect(same, reference, SETTINGS).crossed == ()
    # Two components that go together now and did not before: each alone looks as it did.
    window["e_01"] = 0.9 * window["e_00"] + np.sqrt(1 - 0.81) * window["e_01"]
    assert detect(window, reference, SETTINGS).crossed == ("embedding",)


def test_images_of_one_patient_are_one_witness() -> None:
    """With four alike images a patient, the cut-offs are about as wide as a fourth of the rows would make them."""
    distinct = stream(200, 2)
    reference = distinct.loc[np.repeat(distinct.index, 4)].reset_index(drop=True)
    grouped = reference.assign(group=np.repeat(np.arange(200), 4))
    loose, tight = detect(stream(400, 1), grouped, SETTINGS), detect(stream(400, 1), reference, SETTINGS)
    (wide,), (narrow,) = ([c.cutoffs["wasserstein"] for c in f.columns if c.column == "noise"] for f in (loose, tight))
    assert wide > 1.5 * narrow
    assert (loose.reference_patients, tight.reference_patients) == (200, 800)


def test_columns_that_an_older_log_lacks_are_not_judged() -> None:
    found = detect(stream(400, 1).drop(columns=["noise", "heat_x_Edema"]), stream(800, 2), SETTINGS)
    assert {c.column: c.note for c in found.columns if c.note} == dict.fromkeys(
        ("noise", "heat_x_Edema"), "not in the log"
    )
    assert found.crossed == ()


def test_what_is_only_warned_of_does_not_cross_and_what_is_on_no_list_is_only_shown() -> None:
    window = stream(400, 1, shift=0.6)
    warned = detect(window, stream(800, 2), SETTINGS.model_copy(update={"alarm": ("age",), "warn": ("probability",)}))
    assert warned.crossed == ()
    assert warned.warned == ("p_Effusion",)
    silent = detect(window, stream(800, 2), SETTINGS.model_copy(update={"alarm": ("age",), "warn": ()}))
    assert silent.warned == ()
    assert max(c.score or 0 for c in silent.columns if c.column == "p_Effusion") > 1


def test_a_log_of_another_model_and_an_empty_reference_are_refused() -> None:
    with pytest.raises(InputError, match=r"lacks p_Edema.*another model"):
        detect(stream(400).drop(columns="p_Edema"), stream(800), SETTINGS)
    with pytest.raises(InputError, match="reference is empty"):
        detect(stream(400), stream(0), SETTINGS)
    with pytest.raises(InputError, match="reference is empty"):
        detect(stream(400), pd.DataFrame({"noise": [1.0]}), SETTINGS)


@pytest.mark.slow
def test_false_alarms_come_at_the_stated_rate() -> None:
    """60 windows without drift at a rate of 20%: 12 are expected, and three standard errors either way allowed."""
    settings = SETTINGS.model_copy(update={"false_alarm_rate": 0.2})
    found = (detect(stream(300, 2 * i), stream(600, 2 * i + 1), settings, seed=i) for i in range(60))
    assert 3 <= sum(bool(drift.crossed) for drift in found) <= 21
