"""The gate against the champion, on pairs whose true difference is known."""

import pytest

from thorax.registry.simulation import simulate

SMALL = {"pairs": 100, "patients": 200, "findings": 2, "replicates": 100}


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "margin", "difference"), [("better", 0.0, 0.0), ("not_worse", 0.02, -0.02)])
def test_at_the_limit_no_more_pass_than_stated(rule: str, margin: float, difference: float) -> None:
    """At 95% confidence, 5% of the challengers that stand at the limit pass: at most 12 of 100, three errors above."""
    assert simulate(rule, margin, difference, **SMALL).passed <= 0.12


@pytest.mark.slow
def test_a_clear_difference_is_seen() -> None:
    small = SMALL | {"pairs": 30}
    assert simulate("better", 0.0, 0.10, **small).passed > 0.8
    assert simulate("not_worse", 0.02, -0.12, **small).passed < 0.1
