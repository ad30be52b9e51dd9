"""Whether the answers keep their promises on the test split: conformal error, referral, strangeness."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from thorax.calibration import Calibration
from thorax.calibration.conformal import ABSENT, PRESENT, UNCERTAIN
from thorax.calibration.referral import wrong as mistaken
from thorax.calibration.uncertainty import aurc, dropout_logits, mutual_information, risk_coverage
from thorax.evaluation.resampling import interval
from thorax.evaluation.subgroups import in_order, too_small


def conformal_figures(
    answers: np.ndarray,
    truth: np.ndarray,
    weights: np.ndarray,
    patients: np.ndarray,
    findings: Sequence[str],
    confidence: float,
    alpha: float,
) -> dict[str, Any]:
    """Return the error rates of the answers, a finding, with intervals by patient.

    Args:
        answers: (N, F) of "present", "absent", "uncertain".
        truth: (N, F): 1, 0, NaN unknown.
        weights: (B, N) of the bootstrap.
        patients: (N,).
        findings: F names.
        confidence: of the intervals.
        alpha: the promised error rate.

    Returns:
        A finding: `error`, the share of images answered wrongly; `missed`, of those with the finding the share
        answered "absent"; `false`, of those without it the share answered "present"; `uncertain`, the share without
        an answer. The promise is that `missed` and `false` are at most alpha.
    """
    result: dict[str, Any] = {"alpha": alpha, "findings": {}}
    draws = np.concatenate([np.ones((1, len(truth)), dtype=np.float32), weights.astype(np.float32)])
    for column, finding in enumerate(findings):
        known = ~np.isnan(truth[:, column])
        present, said = truth[:, column] == 1, answers[:, column]
        absent = known & ~present
        parts = np.stack([known, present, absent, present & (said == ABSENT), absent & (said == PRESENT)], axis=1)
        unsure = known & (said == UNCERTAIN)
        sums = draws @ np.column_stack([parts, unsure]).astype(np.float32)
        with np.errstate(invalid="ignore", divide="ignore"):
            rates = {
                "error": (sums[:, 3] + sums[:, 4]) / sums[:, 0],
                "missed": sums[:, 3] / sums[:, 1],
                "false": sums[:, 4] / sums[:, 2],
                "uncertain": sums[:, 5] / sums[:, 0],
            }
        of = {"missed": present, "false": absent}
        result["findings"][finding] = {
            name: interval(
                float(values[0]), values[1:], confidence, cases=len(np.unique(patients[of.get(name, known)]))
            )
            for name, values in rates.items()
        } | {"positives": int(present.sum())}
    return result


def conformal_by_group(
    answers: np.ndarray,
    truth: np.ndarray,
    weights: np.ndarray,
    patients: np.ndarray,
    groups: dict[str, np.ndarray],
    confidence: float,
    min_group: int,
) -> dict[str, Any]:
    """Return the same error rates by subgroup with their intervals, all findings thrown together.

    Args:
        answers: (N, F) of "present", "absent", "uncertain".
        truth: (N, F): 1, 0, NaN unknown.
        weights: (B, N) of the bootstrap.
        patients: (N,).
        groups: attribute → group (N,) of each image.
        confidence: of the intervals.
        min_group: a group of fewer patients has no figure.
    """
    result: dict[str, Any] = {}
    present, absent = truth == 1, truth == 0
    counts = np.stack([present & (answers == ABSENT), present, absent & (answers == PRESENT), absent]).sum(axis=2)
    draws = np.concatenate([np.ones((1, len(truth)), dtype=np.float32), weights.astype(np.float32)])
    for attribute, names in groups.items():
        result[attribute] = {}
        for name in in_order(attribute, names.tolist()):
            here = names == name
            if (small := too_small(here, patients, min_group)) is not None:
                result[attribute][name] = small
                continue
            sums = draws[:, here] @ counts[:, here].T.astype(np.float32)
            with np.errstate(invalid="ignore", divide="ignore"):
                missed, false = sums[:, 0] / sums[:, 1], sums[:, 2] / sums[:, 3]
            result[attribute][name] = {
                "images": int(here.sum()),
                "patients": len(np.unique(patients[here])),
                "missed": interval(float(missed[0]), missed[1:], confidence),
                "false": interval(float(false[0]), false[1:], confidence),
            }
    return result


def dropout_figures(
    calibration: Calibration,
    features: np.ndarray,
    truth: np.ndarray,
    head: tuple[np.ndarray, np.ndarray, float],
    passes: int = 30,
) -> dict[str, Any]:
    """Return how well Monte Carlo dropout on the head tells wrong decisions, beside the plain entropy.

    Args:
        calibration: of the network.
        features: (N, D), pooled.
        truth: (N, F): 1, 0, NaN unknown.
        head: the last layer's weight (F, D) and bias (F,), and its dropout rate.
        passes: of dropout.

    Returns:
        The mean AURC over findings (the lower the better) of the entropy, and of what the passes disagree about; and
        the mean standard deviation of a probability over passes.
    """
    weight, bias, rate = head
    samples = dropout_logits(features, weight, bias, rate, passes)
    drawn = np.stack([calibration.probabilities(one) for one in samples])
    plain = calibration.probabilities(features @ weight.T + bias)
    wrong = calibration.decisions(plain) != (truth > 0.5)
    rankings = {"entropy": calibration.uncertainty(plain), "information": mutual_information(drawn)}
    figures: dict[str, Any] = {"rate": rate, "passes": passes, "spread": float(drawn.std(axis=0).mean())}
    for name, values in rankings.items():
        known = [~np.isnan(truth[:, k]) for k in range(truth.shape[1])]
        areas = [aurc(values[rows, k], wrong[rows, k]) for k, rows in enumerate(known) if rows.any()]
        figures[name] = float(np.mean(areas)) if areas else None
    return figures


def uncertainty_figures(
    calibration: Calibration,
    probabilities: np.ndarray,
    truth: np.ndarray,
    ood_scores: np.ndarray,
    weights: np.ndarray,
    confidence: float,
    views: np.ndarray | None = None,
) -> dict[str, Any]:
    """Return the risk–coverage figures a finding, and what referring images to a radiologist spares.

    Args:
        calibration: of the network.
        probabilities: (N, F), calibrated.
        truth: (N, F): 1, 0, NaN unknown.
        ood_scores: (N,).
        weights: (B, N) of the bootstrap.
        confidence: of the intervals.
        views: (N,), where known.

    Returns:
        `findings`: AURC of the entropy, the error of all and of the surest four fifths; `refer`: see
        `referral_figures`.
    """
    decisions = calibration.decisions(probabilities)
    wrong = np.where(np.isnan(truth), np.nan, decisions != (truth > 0.5))
    entropy = calibration.uncertainty(probabilities)
    findings: dict[str, Any] = {}
    for column, finding in enumerate(calibration.findings):
        rows = ~np.isnan(truth[:, column])
        if not rows.any():
            continue
        _, risk = risk_coverage(entropy[rows, column], wrong[rows, column])
        findings[finding] = {
            "aurc": aurc(entropy[rows, column], wrong[rows, column]),
            "risk": float(risk[-1]),
            "risk_at_80": float(risk[max(0, int(0.8 * len(risk)) - 1)]),
        }
    groups = None if views is None else views.tolist()
    said = calibration.answers(probabilities, groups)
    out = ood_scores > calibration.ood_cutoff
    doubtful = calibration.refer(probabilities, np.full(len(out), -np.inf), groups)
    return {
        "findings": findings,
        "refer": {"rule": calibration.refer_rule.to_json()}
        | referral_figures(
            mistaken(said, truth), doubtful, calibration.refer(probabilities, ood_scores, groups), weights, confidence
        ),
    }


def referral_figures(
    wrong: np.ndarray, doubtful: np.ndarray, handed: np.ndarray, weights: np.ndarray, confidence: float
) -> dict[str, Any]:
    """Return what referral does, on the test split.

    Args:
        wrong: (N, F), 1 where an answer is wrong, 0 where it is right or uncertain, NaN where the truth is unknown.
        doubtful: bool (N,), referred by the budget.
        handed: bool (N,), referred for any reason; the others are kept.
        weights: (B, N) of the bootstrap.
        confidence: of the intervals.

    Returns:
        `share` referred, the error of the kept (`error_kept`), of the referred (`error_handed`) and of all
        (`error_all`), and `intervals` by patient of each, of the share that the budget alone refers (`doubtful`), and
        of the error spared (`spared`: all less kept).
    """
    known = ~np.isnan(wrong)
    errors, counts = np.nansum(wrong, axis=1), known.sum(axis=1)
    columns = np.stack(
        [np.ones(len(wrong)), handed, doubtful, errors, counts, errors * ~handed, counts * ~handed], axis=1
    )
    draws = np.concatenate([np.ones((1, len(wrong))), weights])
    n, referred, by_budget, all_wrong, all_known, kept_wrong, kept_known = (draws @ columns).T
    with np.errstate(invalid="ignore", divide="ignore"):
        series = {
            "share": referred / n,
            "doubtful": by_budget / n,
            "error_all": all_wrong / all_known,
            "error_kept": kept_wrong / kept_known,
            "error_handed": (all_wrong - kept_wrong) / (all_known - kept_known),
        }
        series["spared"] = series["error_all"] - series["error_kept"]
    intervals = {name: interval(float(values[0]), values[1:], confidence) for name, values in series.items()}
    named = ("share", "error_kept", "error_handed", "error_all")
    return {name: intervals[name]["value"] for name in named} | {"intervals": intervals}


def ood_figures(calibration: Calibration, scores: np.ndarray) -> dict[str, Any]:
    """Return the cut-off, the false alarms among test radiographs, and the spread of their scores."""
    return {
        "kind": calibration.ood.kind,
        "reads_images": calibration.ood.appearance is not None,
        "cutoff": calibration.ood_cutoff,
        "false_alarms": float((scores > calibration.ood_cutoff).mean()) if len(scores) else None,
        "quantiles": {str(q): float(np.quantile(scores, q)) for q in (0.05, 0.5, 0.95)} if len(scores) else {},
    }
