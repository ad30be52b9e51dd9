"""Old rows move to Parquet files whole, count once wherever they are, and none that is written meanwhile is lost."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from prediction_factory import START, prediction

from thorax.errors import RoomError
from thorax.prediction_log import PredictionLog, count, read_feedback, read_log
from thorax.prediction_log import archive as archives
from thorax.prediction_log.rotation import discard, move

DAY = 24 * 60
APRIL = datetime(2026, 4, 1, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A log with a prediction a week from January to June, and feedback on each."""
    place = tmp_path / "log" / "predictions.db"
    log = PredictionLog(place, ["Effusion"])
    for week in range(26):
        one = prediction(week / 26, minutes=week * 7 * DAY)
        log.write(one, "d")
        log.write_feedback(one.request_id, {"Effusion": True}, "other", START + timedelta(days=week * 7 + 30))
    log.close()
    return place


def test_old_rows_move_to_a_file_a_month_and_are_read_along(path: Path) -> None:
    before = read_log(path)
    moved = move(path, APRIL, path.with_name("archive"))
    assert moved.rows == 13
    names = [file.name for file in moved.written if file.name.startswith("predictions")]
    assert names == ["predictions-2026-01.parquet", "predictions-2026-02.parquet", "predictions-2026-03.parquet"]
    assert count(path) == 13
    pd.testing.assert_frame_equal(read_log(path), before)
    span = (datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC))
    inside = before[(before["time"] >= span[0]) & (before["time"] < span[1])].reset_index(drop=True)
    pd.testing.assert_frame_equal(read_log(path, *span), inside)
    assert len(read_feedback(path)) == 26  # those of moved rows went along, though they came later
    assert move(path, APRIL, path.with_name("archive")).rows == 0


def test_a_file_a_day(path: Path) -> None:
    move(path, START + timedelta(days=8), path.with_name("archive"), "day")
    names = sorted(file.name for file in path.with_name("archive").glob("predictions-*"))
    assert names == ["predictions-2026-01-01.parquet", "predictions-2026-01-08.parquet"]


def test_a_move_that_was_cut_short_counts_nothing_twice(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from thorax.prediction_log import sqlite

    def killed(self: object) -> int:
        raise KeyboardInterrupt

    before = read_log(path)
    with monkeypatch.context() as patched:
        patched.setattr(sqlite._Moving, "delete", killed)
        with pytest.raises(KeyboardInterrupt):
            move(path, APRIL, path.with_name("archive"))
    assert count(path) == 26  # in both places now
    assert len(read_log(path)) == 26
    assert move(path, APRIL, path.with_name("archive")).rows == 13
    pd.testing.assert_frame_equal(read_log(path), before)
    assert len(read_feedback(path)) == 26


def test_what_is_written_during_a_move_stays(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also under a time that is to be moved: the clock may have jumped back."""
    writer = PredictionLog(path, ["Effusion"])
    late = prediction(0.5, minutes=DAY)
    add = archives.add

    def and_write(folder: Path, table: str, *rest: object) -> list[Path]:
        if table == "predictions":
            writer.write(late, "d")
            writer.write_feedback(late.request_id, {"Effusion": True}, "other", START)
        return add(folder, table, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(archives, "add", and_write)
        assert move(path, APRIL, path.with_name("archive")).rows == 13
    assert late.request_id in set(read_log(path)["request_id"])
    assert count(path) == 14
    assert late.request_id in set(read_feedback(path)["request_id"])


def test_a_full_disk_moves_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", full)
    with pytest.raises(RoomError):
        move(path, APRIL, path.with_name("archive"))
    assert count(path) == 26
    assert list(path.with_name("archive").iterdir()) == []


def test_files_that_are_past_their_time_go(path: Path) -> None:
    folder = path.with_name("archive")
    move(path, APRIL, folder)
    (folder / "notes-2026-01.parquet").write_text("not ours")
    now = datetime(2026, 6, 15, tzinfo=UTC)
    would = discard(folder, timedelta(days=90), now, dry_run=True)
    assert all(file.is_file() for file in would)
    gone = discard(folder, timedelta(days=90), now)
    assert gone == would
    # March ended 76 days before, so it stays; February and January go.
    assert sorted(file.name for file in gone if file.name.startswith("pred")) == [
        "predictions-2026-01.parquet",
        "predictions-2026-02.parquet",
    ]
    assert (folder / "notes-2026-01.parquet").is_file()
