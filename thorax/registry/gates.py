"""What a model must show before it may be promoted: each gate's verdict, its figure, and what was agreed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from thorax.registry.paired import Comparison
from thorax.settings import Gates


@dataclass(frozen=True)
class Gate:
    """One gate's verdict.

    `figure` is what was found, `limit` what was agreed; both are None where the gate has no number. `note` says in
    words what the verdict rests on.
    """

    name: str
    passed: bool
    figure: float | None
    limit: float | None
    note: str

    @property
    def text(self) -> str:
        """Figure, limit and note as one line."""
        if self.limit is None:
            return self.note
        found = "none" if self.figure is None else f"{self.figure:.4f}"
        return f"{found} (limit {self.limit:g}): {self.note}"


def judge(
    evaluation: Mapping[str, Any], gates: Gates, proof: str | None, comparison: Comparison | str
) -> tuple[Gate, ...]:
    """Judge a model by what was agreed in `params.yaml`.

    Args:
        evaluation: the content of `evaluation.json`.
        gates: the limits.
        proof: why the bundle does not prove itself, or None where it does.
        comparison: with the champion on the same test patients; or, as text, why there is no champion to beat
            (begins with "no champion") or why the two cannot be compared.
    """
    findings = [str(name) for name in evaluation["findings"]]
    aurocs = {name: _figure(evaluation, name, "auroc") for name in findings}
    worst = min(aurocs, key=lambda name: _or_low(aurocs[name]))
    return (
        Gate("bundle", proof is None, None, None, proof or "it loads and reproduces its stored predictions"),
        _at_least("mean_auroc", _figure(evaluation, "mean", "auroc"), gates.min_mean_auroc, "mean over findings"),
        _at_least("worst_auroc", aurocs[worst], gates.min_auroc, f"the lowest of {len(findings)}: {worst}"),
        _at_most("ece", _figure(evaluation, "mean", "ece"), gates.max_ece, "mean over findings, after calibration"),
        against_champion(comparison, gates.challenger_margin),
    )


def against_champion(comparison: Comparison | str, margin: float) -> Gate:
    """Judge by the paired comparison: the challenger may be worse than the champion by no more than `margin`.

    Non-inferiority on the mean AUROC: the lower bound of challenger − champion must not lie below −margin.
    """
    if isinstance(comparison, str):
        return Gate("champion", comparison.startswith("no champion"), None, None, comparison)
    difference = comparison.mean
    text = (
        f"challenger − champion {difference.value:+.3f}, {comparison.confidence:.0%} lower bound "
        f"{difference.low:+.3f}, on {comparison.images} images of {comparison.patients} patients that neither "
        "has learnt from"
    )
    return Gate("champion", difference.low >= -margin, difference.low, -margin, text)


def _figure(evaluation: Mapping[str, Any], finding: str, metric: str) -> float:
    """A figure of the evaluation, NaN where it has none."""
    value = evaluation.get("metrics", {}).get(finding, {}).get(metric, {})
    value = value.get("value") if isinstance(value, Mapping) else value
    return float(value) if value is not None else math.nan


def _or_low(value: float) -> float:
    return -math.inf if math.isnan(value) else value


def _at_least(name: str, figure: float, limit: float, note: str) -> Gate:
    if math.isnan(figure):
        return Gate(name, False, None, limit, f"{note}: there is no figure")
    return Gate(name, figure >= limit, figure, limit, note)


def _at_most(name: str, figure: float, limit: float, note: str) -> Gate:
    if math.isnan(figure):
        return Gate(name, False, None, limit, f"{note}: there is no figure")
    return Gate(name, figure <= limit, figure, limit, note)
