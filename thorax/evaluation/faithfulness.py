"""Do the heatmaps show what the network used? Deletion, insertion and redrawn weights, beside random maps."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from thorax.calibration.calibrators import sigmoid
from thorax.evaluation.figures_of_merit import Scores
from thorax.evaluation.resampling import Figure, interval, patient_weights
from thorax.explain.faithfulness import deletion_insertion, random_map, rank_correlation

if TYPE_CHECKING:
    from thorax.explain.graph import Graph

#: Steps of the curves: few, as each is two forward passes of every case and map.
_STEPS = 8
#: A map that agrees more than this (Spearman, absolute) with that of redrawn weights does not explain the network.
SANITY_LIMIT = 0.5


def choose_cases(truth: np.ndarray, called: np.ndarray, most: int, seed: int) -> list[tuple[int, int]]:
    """Return (row, finding) of images that have a finding: found ones first, the findings in turn.

    Args:
        truth: (N, F): 1, 0, NaN unknown.
        called: bool (N, F), the decisions.
        most: cases, of different images.
        seed: of the order within a finding; the surest are not picked.
    """
    random = np.random.default_rng(seed)
    queues = []
    for finding in range(truth.shape[1]):
        rows = random.permutation(np.flatnonzero(truth[:, finding] == 1))
        queues.append([(int(row), finding) for row in rows[np.argsort(~called[rows, finding], kind="stable")]])
    cases: list[tuple[int, int]] = []
    used: set[int] = set()
    while len(cases) < most and any(queues):
        for queue in queues:
            while queue and queue[0][0] in used:
                queue.pop(0)
            if queue and len(cases) < most:
                cases.append(queue.pop(0))
                used.add(cases[-1][0])
    return cases


def measure_faithfulness(
    model: Path,
    images: np.ndarray,
    scores: Scores,
    *,
    cases: int,
    replicates: int,
    confidence: float,
    seed: int = 0,
) -> dict[str, Any] | None:
    """Judge a network's maps by what becomes of its own probability, on images that have the finding.

    Args:
        model: the network's graph, `model.onnx`.
        images: uint8 (N, S, S), what the network read.
        scores: of the same N images.
        cases: how many findings of different images, at most.
        replicates: of the bootstrap by patient.
        confidence: of the intervals.
        seed: of the choice of cases, the random maps and the redrawn weights.

    Returns:
        Figures with intervals: `deletion` and `insertion`, areas under the curves for the network's own maps, and
        `deletion_random` and `insertion_random` for random maps of the same cases; `gain`, by how much insertion less
        deletion is greater for the own map, a case (above 0: the map is better than chance); `redrawn`, the absolute
        rank correlation with the map of the same network with redrawn weights, and `noise`, with a random map.
        `sane` says whether `redrawn` is under `limit`. None where no image has a finding.
    """
    from thorax.explain.graph import Graph, randomised_graph

    chosen = choose_cases(scores.truth, scores.decisions, cases, seed)
    if not chosen:
        return None
    graph, redrawn = Graph(model), Graph(randomised_graph(model, seed))
    rows = np.array([row for row, _ in chosen])
    own, other = graph(images[rows]).maps, redrawn(images[rows]).maps
    values: dict[str, list[float]] = {}
    for number, (row, finding) in enumerate(chosen):
        map_, noise = own[number, finding], random_map(own.shape[-1], seed + number)
        image = images[row].astype(np.float32) / 255
        mine = deletion_insertion(_score(graph, finding), image, map_, _STEPS)
        chance = deletion_insertion(_score(graph, finding), image, noise, _STEPS)
        case = {
            "deletion": mine["deletion"],
            "insertion": mine["insertion"],
            "deletion_random": chance["deletion"],
            "insertion_random": chance["insertion"],
            "gain": mine["insertion"] - mine["deletion"] - chance["insertion"] + chance["deletion"],
            "redrawn": abs(rank_correlation(map_, other[number, finding])),
            "noise": abs(rank_correlation(map_, noise)),
        }
        for name, value in case.items():
            values.setdefault(name, []).append(value)
    weights = patient_weights(scores.patients[rows], replicates, seed).astype(np.float64)
    figures: dict[str, Figure] = {
        name: interval(float(np.mean(found)), weights @ np.array(found) / weights.sum(axis=1), confidence)
        for name, found in values.items()
    }
    middle = figures["redrawn"]["value"]
    return {
        "cases": len(chosen),
        "steps": _STEPS,
        **figures,
        "limit": SANITY_LIMIT,
        "sane": middle is not None and middle < SANITY_LIMIT,
    }


def _score(graph: "Graph", finding: int) -> Any:
    """The uncalibrated probability: a map explains the logit, and calibration would flatten rare findings' curves."""
    return lambda images: sigmoid(graph(images).logits[:, finding])
