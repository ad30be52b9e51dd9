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
        found = "none" if self.figure is None else f"{self.figure:.4g}"
        return f"{found} (limit {self.limit:g}): {self.note}"


@dataclass(frozen=True)
class Trial:
    """How a bundle did when it was tried: why it was refused ("" where it was not), its size and its pace."""

    refused: str
    mib: float
    milliseconds: float


def judge(evaluation: Mapping[str, Any], gates: Gates, trial: Trial, comparison: Comparison | str) -> tuple[Gate, ...]:
    """Judge a model by what was agreed in `params.yaml`.

    Args:
        evaluation: the content of `evaluation.json`.
        gates: the limits.
        trial: how the bundle did when it was loaded and run.
        comparison: with the champion on the same test patients; or, as text, why there is no champion to beat
            (begins with "no champion") or why the two cannot be compared.
    """
    findings = [str(name) for name in evaluation["findings"]]
    aurocs = {name: _figure(evaluation, name, "auroc") for name in findings}
    worst = min(aurocs, key=lambda name: _or_low(aurocs[name]))
    sensitivity = _figure(evaluation, "mean", "sensitivity")
    return (
        Gate(
            "bundle", not trial.refused, None, None, trial.refused or "it loads and reproduces its stored predictions"
        ),
        _at_most("size", trial.mib, gates.max_bundle_mib, "MiB of the bundle"),
        _at_most("latency", trial.milliseconds, gates.max_latency_ms, "ms an image, one thread, the median of five"),
        _at_least("mean_auroc", _figure(evaluation, "mean", "auroc"), gates.min_mean_auroc, "mean over findings"),
        _at_least("worst_auroc", aurocs[worst], gates.min_auroc, f"the lowest of {len(findings)}: {worst}"),
        _at_most("ece", _figure(evaluation, "mean", "ece"), gates.max_ece, "mean over findings, after calibration"),
        _at_least("sensitivity", sensitivity, gates.min_sensitivity, "at the operating points, mean over findings"),
        _conformal(evaluation, gates.conformal_slack),
        _subgroups(evaluation),
        against_champion(comparison, gates.challenger_rule, gates.challenger_margin),
    )


def against_champion(comparison: Comparison | str, rule: str, margin: float) -> Gate:
    """Judge by the paired comparison of the mean AUROC, by its one-sided lower bound.

    Args:
        comparison: challenger − champion, or why there is none.
        rule: `not_worse` (non-inferiority: the bound must not lie below −margin) or `better` (superiority by the
            margin: it must not lie below +margin).
        margin: in AUROC.
    """
    if isinstance(comparison, str):
        return Gate("champion", comparison.startswith("no champion"), None, None, comparison)
    difference = comparison.mean
    limit = margin if rule == "better" else -margin
    text = (
        f"challenger − champion {difference.value:+.3f}, {comparison.confidence:.0%} lower bound "
        f"{difference.low:+.3f}, on {comparison.images} images of {comparison.patients} patients that neither "
        "has learnt from"
    )
    return Gate("champion", difference.low >= limit, difference.low, limit, text)


def _conformal(evaluation: Mapping[str, Any], slack: float) -> Gate:
    """Judge the guaranteed error rates of the answers: one above alpha counts where even its lower bound is above."""
    promised = evaluation.get("conformal", {})
    rates: dict[tuple[str, str], float] = {
        (finding, kind): float(rate["low"])
        for finding, figures in promised.get("findings", {}).items()
        for kind in ("missed", "false")
        if isinstance(rate := figures.get(kind), Mapping) and rate.get("low") is not None
    }
    if not rates:
        return Gate("conformal", True, None, None, "no answers were evaluated")
    (finding, kind), figure = max(rates.items(), key=lambda item: item[1])
    limit = round(float(promised.get("alpha", 0.0)) + slack, 6)
    note = f"the surest of the error rates, lower bound: {kind} answers on {finding}"
    return Gate("conformal", figure <= limit, figure, limit, note)


def _subgroups(evaluation: Mapping[str, Any]) -> Gate:
    """Judge the gaps between subgroups by the evaluation's own verdicts."""
    gaps = {
        attribute: gap
        for attribute, found in evaluation.get("subgroups", {}).items()
        if isinstance(found, Mapping) and (gap := found.get("gaps", {}).get("auroc"))
    }
    if not gaps:
        return Gate("subgroups", True, None, None, "no two subgroups are large enough to compare")
    failed = [attribute for attribute, gap in gaps.items() if not gap.get("passed", True)]
    widest = max(failed or gaps, key=lambda attribute: gaps[attribute]["value"])
    gap = gaps[widest]
    note = f"gap in mean AUROC by {widest}: {gap['best']} against {gap['worst']}"
    return Gate("subgroups", not failed, float(gap["value"]), gap.get("limit"), note)


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
