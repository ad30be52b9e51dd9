"""Each gate is seen to fail, and to pass by a hair."""

from typing import Any

import pytest

from thorax.registry.gates import Gate, Trial, judge
from thorax.registry.paired import Comparison, Difference
from thorax.settings import Gates

LIMITS = Gates(
    min_mean_auroc=0.7,
    min_auroc=0.6,
    max_ece=0.1,
    min_sensitivity=0.8,
    conformal_slack=0.05,
    max_bundle_mib=100,
    max_latency_ms=50,
    challenger_margin=0.02,
)
SOUND = Trial("", 10.0, 5.0)


def evaluation(
    mean: float | None = 0.8,
    worst: float | None = 0.7,
    ece: float | None = 0.05,
    sensitivity: float | None = 0.9,
    missed: float = 0.05,
    gap: tuple[float, bool] = (0.05, True),
) -> dict[str, Any]:
    return {
        "conformal": {
            "alpha": 0.1,
            "findings": {"Edema": {"missed": {"value": missed, "low": missed}, "false": {"value": None, "low": None}}},
        },
        "subgroups": {
            "sex": {"gaps": {"auroc": {"best": "F", "worst": "M", "value": gap[0], "limit": 0.1, "passed": gap[1]}}},
            "view": {"gaps": {}},
        },
        "findings": ["Edema", "Effusion"],
        "metrics": {
            "mean": {"auroc": {"value": mean}, "ece": {"value": ece}, "sensitivity": {"value": sensitivity}},
            "Edema": {"auroc": {"value": worst}},
            "Effusion": {"auroc": {"value": 0.9}},
        },
    }


def comparison(low: float) -> Comparison:
    difference = Difference(low + 0.01, low, low + 0.02)
    return Comparison(100, 80, 0.95, {"Edema": difference}, difference, ())


def gate(
    name: str, trial: Trial = SOUND, against: Any = "no champion yet", limits: Gates = LIMITS, **figures: Any
) -> Gate:
    found = {item.name: item for item in judge(evaluation(**figures), limits, trial, against)}
    assert [other for other in found.values() if not other.passed and other.name != name] == []
    return found[name]


@pytest.mark.parametrize(
    ("name", "key", "passing", "failing"),
    [
        ("mean_auroc", "mean", 0.7, 0.6999),
        ("worst_auroc", "worst", 0.6, 0.5999),
        ("ece", "ece", 0.1, 0.1001),
        ("sensitivity", "sensitivity", 0.8, 0.7999),
        ("conformal", "missed", 0.15, 0.1501),
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
    refused = Trial("a stored logit is 3 off", 10.0, 5.0)
    assert not gate("bundle", refused).passed
    assert "stored logit" in gate("bundle", refused).note


def test_size_and_latency_have_limits() -> None:
    assert gate("size", Trial("", 100.0, 5.0)).passed
    assert not gate("size", Trial("", 100.1, 5.0)).passed
    assert gate("latency", Trial("", 10.0, 50.0)).passed
    assert not gate("latency", Trial("", 10.0, 50.1)).passed


def test_a_gap_between_subgroups_is_judged_as_the_evaluation_did() -> None:
    assert gate("subgroups").passed
    broken = gate("subgroups", gap=(0.3, False))
    assert not broken.passed
    assert (broken.figure, broken.limit) == (0.3, 0.1)
    assert "sex: F against M" in broken.note


def test_what_was_not_evaluated_is_said_and_not_held_against_the_model() -> None:
    tree = evaluation() | {"conformal": {}, "subgroups": {}}
    found = {item.name: item for item in judge(tree, LIMITS, SOUND, "no champion yet")}
    assert found["conformal"].passed
    assert "no answers" in found["conformal"].note
    assert found["subgroups"].passed


def test_worse_than_the_champion_by_no_more_than_the_margin_passes() -> None:
    assert gate("champion", against=comparison(-0.02)).passed
    broken = gate("champion", against=comparison(-0.0201))
    assert not broken.passed
    assert "80 patients" in broken.note


def test_where_it_must_be_better_a_tie_is_not_enough() -> None:
    strict = LIMITS.model_copy(update={"challenger_rule": "better"})
    assert gate("champion", against=comparison(0.02), limits=strict).passed
    assert not gate("champion", against=comparison(0.0199), limits=strict).passed


def test_no_champion_passes_and_one_that_cannot_be_compared_with_does_not() -> None:
    assert gate("champion", against="no champion yet: there is nobody to beat").passed
    assert not gate("champion", against="the champion answers for Hernia, which this model does not").passed
