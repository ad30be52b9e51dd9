"""Whoever sets the machine's clock must not lock callers out, nor let them in without end."""

import time

import pytest

from serving.security.rates import RateError, Rates

HOUR = 3600.0


@pytest.mark.parametrize("jump", [-24 * HOUR, -HOUR, -90.0, 90.0, HOUR, 24 * HOUR])
def test_a_rate_holds_before_and_after_the_clock_jumps(monkeypatch: pytest.MonkeyPatch, jump: float) -> None:
    offset = [0.0]
    monkeypatch.setattr(time, "time", lambda: 1_800_000_030.0 + offset[0])  # the middle of a minute
    rates = Rates("5/minute")

    def allowed() -> int:
        """How many of ten requests are let in."""
        count = 0
        for _ in range(10):
            try:
                rates.charge("key:a")
            except RateError as error:
                assert 1 <= error.seconds <= 120
            else:
                count += 1
        return count

    assert allowed() == 5
    assert allowed() == 0
    offset[0] = jump
    assert 0 <= allowed() <= 5  # at once: at most a new window
    assert allowed() == 0
    offset[0] = max(0.0, jump) + 150  # two windows past all that were lived through
    assert allowed() == 5
    assert allowed() == 0
