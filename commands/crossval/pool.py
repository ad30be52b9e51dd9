"""From the units of a cross-validation to figures with intervals: pooled over folds, averaged over seeds."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from commands.crossval.unit import FIGURES


@dataclass(frozen=True)
class Pool:
    """What one arm said of every image, a seed at a time.

    Attributes:
        findings: F names.
        patients: (n,), in the order of the images' names.
        truth: (n, F), NaN where it is not known.
        seeds: those that are whole.
        scores: of each of them (n, F): ranks within each fold, so that folds can be put together.
        boxes: of each seed, what was located.
        processor_seconds: of all units together.
    """

    findings: list[str]
    patients: np.ndarray
    truth: np.ndarray
    seeds: list[int]
    scores: list[np.ndarray]
    boxes: list[list[dict[str, Any]]]
    processor_seconds: float


def pool(units: Sequence[dict[str, Any]], folds: int) -> Pool | None:
    """Put an arm's units together; seeds that lack a fold are left out. None where no seed is whole."""
    from thorax.training.folds import ranks_within

    by_seed: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for unit in units:
        by_seed[unit["seed"]].append(unit)
    whole = {seed: parts for seed, parts in sorted(by_seed.items()) if len({part["fold"] for part in parts}) == folds}
    if not whole:
        return None
    scores, boxes = [], []
    for parts in whole.values():
        order = np.argsort(np.concatenate([part["image_id"] for part in parts]))
        fold = np.concatenate([[part["fold"]] * len(part["image_id"]) for part in parts])
        scores.append(ranks_within(np.concatenate([np.array(part["scores"]) for part in parts]), fold)[order])
        boxes.append([box for part in parts for box in part["boxes"]])
    truth = np.concatenate([np.array(part["truth"], dtype=float) for part in parts])[order]
    patients = np.concatenate([part["patient_id"] for part in parts])[order]
    spent = sum(part["processor_seconds"] for parts in whole.values() for part in parts)
    return Pool(parts[0]["findings"], patients, truth, list(whole), scores, boxes, spent)


def narrowed(one: Pool, findings: Sequence[str]) -> Pool:
    """Return what an arm said of some of its findings, as if it had learned no others."""
    columns = [one.findings.index(finding) for finding in findings]
    return replace(
        one, findings=list(findings), truth=one.truth[:, columns], scores=[s[:, columns] for s in one.scores]
    )


def figures(pools: dict[str, Pool], base: str, replicates: int, seed: int, confidence: float) -> dict[str, Any]:
    """Return each arm's mean AUROC and AUPRC, and how far it lies from the base's, with intervals.

    The bootstrap draws patients, the same ones for every arm, and what is compared are the seeds that both arms have:
    so differences are paired.

    Returns:
        An arm: seeds, processor_seconds, auroc, auprc, auroc_difference, auprc_difference (value, low, high each; none
        where no seed is common) and `findings` with the same two figures and the number of positives of each.
    """
    from thorax.evaluation.resampling import interval, patient_weights

    first = next(iter(pools.values()))
    weights = np.vstack(
        [np.ones((1, len(first.patients)), dtype=np.uint8), patient_weights(first.patients, replicates, seed)]
    )
    drawn = {name: _replicates(one, weights) for name, one in pools.items()}
    result: dict[str, Any] = {}
    for name, one in pools.items():
        entry: dict[str, Any] = {"seeds": len(one.scores), "processor_seconds": one.processor_seconds, "findings": {}}
        for metric, by_seed in drawn[name].items():
            values = by_seed.mean(axis=0)
            mean = np.nanmean(values, axis=0)
            entry[metric] = interval(float(mean[0]), mean[1:], confidence)
            if base in drawn and (both := [seed for seed in one.seeds if seed in pools[base].seeds]):
                mine = by_seed[[one.seeds.index(seed) for seed in both]]
                its = drawn[base][metric][[pools[base].seeds.index(seed) for seed in both]]
                apart = np.nanmean(mine.mean(axis=0), axis=0) - np.nanmean(its.mean(axis=0), axis=0)
                entry[f"{metric}_difference"] = interval(float(apart[0]), apart[1:], confidence)
            for column, finding in enumerate(one.findings):
                told = entry["findings"].setdefault(finding, {"positives": int(np.nansum(one.truth[:, column]))})
                told[metric] = interval(float(values[column, 0]), values[column, 1:], confidence)
        result[name] = entry
    return result


def _replicates(one: Pool, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Return (S, F, 1 + B) of either metric, of each seed; the first column is the sample itself."""
    from thorax.evaluation.ranking import auroc_and_auprc

    shape = (len(one.scores), len(one.findings), len(weights))
    found = {"auroc": np.full(shape, np.nan), "auprc": np.full(shape, np.nan)}
    for column in range(len(one.findings)):
        known = ~np.isnan(one.truth[:, column])
        truth = one.truth[known, column]
        if len(np.unique(truth)) < 2:
            continue
        for seed, scores in enumerate(one.scores):
            pair = auroc_and_auprc(scores[known, column], truth, weights[:, known])
            for metric, values in zip(found, pair, strict=True):
                found[metric][seed, column] = values
    return found


def located(pools: dict[str, Pool], replicates: int, seed: int, confidence: float) -> dict[str, Any]:
    """Return, an arm and a method, the pointing game and IoU on readers' boxes, with intervals by image.

    Returns:
        An arm: a method: `boxes` (how many, a seed), and the two figures for "mean" (over all boxes) and each finding.
    """
    result: dict[str, Any] = {}
    for arm, one in pools.items():
        cases = [case for boxes in one.boxes for case in boxes]
        if not cases:
            continue
        images = np.array([case["image_id"] for case in cases])
        result[arm] = {}
        for method in cases[0]["methods"]:
            entry: dict[str, Any] = {}
            for finding in ("mean", *sorted({case["finding"] for case in cases})):
                mine = np.array([finding in ("mean", case["finding"]) for case in cases])
                told: dict[str, Any] = {"boxes": int(mine.sum()) // max(1, len(one.boxes))}
                for key in FIGURES:
                    values = np.array([case["methods"][method][key] for case in cases])[mine]
                    told[key] = _by_image(values, images[mine], replicates, seed, confidence)
                entry[finding] = told
            result[arm][method] = entry
    return result


def _by_image(values: np.ndarray, images: np.ndarray, replicates: int, seed: int, confidence: float) -> dict[str, Any]:
    from thorax.evaluation.resampling import interval, patient_weights

    weights = patient_weights(images, replicates, seed).astype(np.float64)
    return dict(interval(float(values.mean()), weights @ values / weights.sum(axis=1), confidence))
