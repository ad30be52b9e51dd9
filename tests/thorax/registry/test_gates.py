"""Each gate is seen to fail, and to pass by a hair."""

from typing import Any

import pytest

from thorax.registry.gates import Gate, judge
from thorax.registry.paired import Comparison, Difference
from thorax.settings import Gates

LIMITS = Gates(min_mean_auroc=0.7, min_auroc=0.6, max_ece=0.1, challenger_margin=0.02)


def evaluation(mean: float | None = 0.8, worst: float | None = 0.7, ece: float | None = 0.05) -> dict[str, Any]:
    return {
        "findings": ["Edema", "Effusion"],
        "metrics": {
            "mean": {"auroc": {"value": mean}, "ece": {"value": ece}},
            "Edema": {"auroc": {"value": worst}},
            "Effusion": {"auroc": {"value": 0.9}},
        },
    }


def comparison(low: float) -> Comparison:
    difference = Difference(low + 0.01, low, low + 0.02)
    return Comparison(100, 80, 0.95, {"Edema": difference}, difference, ())


def gate(name: str, proof: str | None = None, against: Any = "no champion yet", **figures: float | None) -> Gate:
    found = {item.name: item for item in judge(evaluation(**figures), LIMITS, proof, against)}
    assert [other for other in found.values() if not other.passed and other.name != name] == []
    return found[name]


@pytest.mark.parametrize(
    ("name", "key", "passing", "failing"),
    [
        ("mean_auroc", "mean", 0.7, 0.6999),
        ("worst_auroc", "worst", 0.6, 0.5999),
        ("ece", "ece", 0.1, 0.1001),
    ],
)
def test_a_limit_is_kept_at_the_limit_and_broken_beyond_it(name: str, key: str, passing: float, failing: float) -> None:
    assert gate(name, **{key: passing}).passed
    broken = gate(name, **{key: failing})
    assert not broken.passed
    assert broken.figure == failing
    assert broken.limit == passing


@pytest.mark.parametrize(("name", "key"), [("mean_auroc", "mean"), ("worst_auroc", "worst"), ("ece", "ece")])
def test_a_figure_that_is_missing_does_not_pass(name: str, key: str) -> None:
    for missing in (None, float("nan")):
        found = gate(name, **{key: missing})
        assert not found.passed
        assert "no figure" in found.note


def test_the_worst_finding_is_named() -> None:
    assert "Edema" in gate("worst_auroc", worst=0.1).note


def test_a_bundle_that_does_not_prove_itself_fails_with_the_reason() -> None:
    assert gate("bundle").passed
    assert "stored logit" in gate("bundle", proof="a stored logit is 3 off").note
    assert not gate("bundle", proof="a stored logit is 3 off").passed


def test_worse_than_the_champion_by_no_more_than_the_margin_passes() -> None:
    assert gate("champion", against=comparison(-0.02)).passed
    broken = gate("champion", against=comparison(-0.0201))
    assert not broken.passed
    assert "80 patients" in broken.note


def test_no_champion_passes_and_one_that_cannot_be_compared_with_does_not() -> None:
    assert gate("champion", against="no champion yet: there is nobody to beat").passed
    assert not gate("champion", against="the champion answers for Hernia, which this model does not").passed
