"""Batches of a long log hold what `read_log` gives at once, in SQLite, in moved rows and in PostgreSQL."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from postgres import postgres
from prediction_factory import START, prediction

from thorax.errors import InputError
from thorax.prediction_log import PredictionLog, read_log
from thorax.prediction_log.places import Place
from thorax.prediction_log.streaming import stream, survey


def fill(place: Place, salt: Path, rows: int = 40) -> None:
    log = PredictionLog(place, ["Effusion"], salt=salt)
    for minute in range(rows):
        log.write(prediction(minute / rows, minutes=minute), "0")
    log.close()


def check(place: Place) -> None:
    import pandas as pd

    whole = read_log(place)
    batches = list(stream(place, ["p_Effusion", "view", "age", "nothing"], size=7))
    assert [len(batch) for batch in batches] == [7, 7, 7, 7, 7, 5]
    joined = pd.concat(batches, ignore_index=True)
    assert sorted(joined) == ["age", "p_Effusion", "view"]
    np.testing.assert_array_equal(np.sort(joined["p_Effusion"]), np.sort(whole["p_Effusion"]))
    since, until = START + timedelta(minutes=10), START + timedelta(minutes=20)
    assert sum(map(len, stream(place, ["age"], since, until))) == 10
    assert sum(map(len, stream(place, ["age"], version="2"))) == 0
    assert sum(map(len, stream(place, ["age"], every=4))) == 10
    (span,) = survey(place, since, until)
    assert (span.version, span.rows, span.first[:16]) == ("1", 10, "2026-01-01T00:10")


def test_batches_of_a_file(tmp_path: Path) -> None:
    fill(tmp_path / "log.db", tmp_path / "salt")
    check(tmp_path / "log.db")


def test_moved_rows_come_along(tmp_path: Path) -> None:
    from thorax.prediction_log.archive import add

    fill(tmp_path / "log.db", tmp_path / "salt", 10)
    old = read_log(tmp_path / "log.db").assign(time=lambda f: f["time"] - timedelta(days=60))
    add(tmp_path / "archive", "predictions", old.assign(request_id=lambda f: "old" + f["request_id"]), "month")
    assert sum(map(len, stream(tmp_path / "log.db", ["p_Effusion"]))) == 20
    (span,) = survey(tmp_path / "log.db")
    assert (span.rows, span.first[:7]) == (20, "2025-11")


def test_what_is_no_log_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no prediction log"):
        survey(tmp_path / "log.db")
    (tmp_path / "log.db").write_text("nothing" * 200)
    with pytest.raises(InputError, match="is not a prediction log"):
        survey(tmp_path / "log.db")


@pytest.mark.slow
def test_batches_of_postgresql(tmp_path: Path) -> None:
    with postgres() as address:
        fill(address, tmp_path / "salt")
        check(address)


def test_failures_are_counted_and_hold_nothing_else(tmp_path: Path) -> None:
    from thorax.prediction_log import read_failures

    log = PredictionLog(tmp_path / "log.db")
    log.write_failure("f" * 32, 400, START)
    log.close()
    found = read_failures(tmp_path / "log.db")
    assert list(found) == ["request_id", "time", "status"]
    assert found["status"].tolist() == [400]
    assert read_failures(tmp_path / "log.db", until=START).empty
