"""Processes beside this one: what they return is in order, and they never outlive the one that started them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from thorax.errors import RoomError
from thorax.workers import ordered_map, pool_of


def test_results_come_in_the_order_of_the_calls():
    assert list(ordered_map(divmod, [(number, 3) for number in range(20)], workers=2)) == [
        divmod(number, 3) for number in range(20)
    ]


def test_threads_are_limited_in_the_processes_alone(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with pool_of(1, threads=3) as pool:
        assert pool.submit(os.getenv, "OMP_NUM_THREADS").result() == "3"
    assert "OMP_NUM_THREADS" not in os.environ


def test_a_killed_process_is_told_with_what_to_do():
    with pytest.raises(RoomError, match="memory ran out") as refusal:
        list(ordered_map(os._exit, [(9,)] * 3, workers=2))
    assert "--workers" in str(refusal.value)


_PARENT = """
import signal, sys
from pathlib import Path

def work(folder, number):
    import os, time
    from thorax.training.clock import stop_signals

    (folder / f"begun-{number}").write_text(str(os.getpid()))
    with stop_signals() as stopped:
        while not stopped:
            time.sleep(0.02)
    (folder / f"in-order-{number}").touch()
    raise stopped[0]

if __name__ == "__main__":
    from thorax.workers import pool_of, until_told

    # A shell starts its background jobs with Ctrl-C ignored, and the tests may run in one.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with pool_of(2) as pool:
        for future in [pool.submit(until_told, work, Path(sys.argv[1]), number) for number in range(6)]:
            future.result()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=["KILL", "TERM", "INT"])
def test_processes_put_their_work_in_order_and_end_with_their_parent(tmp_path: Path, number: int):
    script = tmp_path / "parent.py"
    script.write_text(_PARENT)
    place = tmp_path / "place"
    place.mkdir()
    with subprocess.Popen([sys.executable, str(script), str(place)], stderr=subprocess.DEVNULL) as parent:
        try:
            _wait(lambda: sum(file.stat().st_size > 0 for file in place.glob("begun-*")) == 2)
            workers = [int(file.read_text()) for file in place.glob("begun-*")]
            parent.send_signal(number)
            assert parent.wait(60) != 0
        finally:
            parent.kill()  # where a check failed; to wait for it would be for ever
    _wait(lambda: not any(psutil.pid_exists(worker) for worker in workers))
    # Each ended its own call in order, and began none of those that still waited.
    assert sorted(file.name for file in place.iterdir()) == ["begun-0", "begun-1", "in-order-0", "in-order-1"]


def _wait(come_true) -> None:
    deadline = time.monotonic() + 60
    while not come_true():
        assert time.monotonic() < deadline
        time.sleep(0.05)
