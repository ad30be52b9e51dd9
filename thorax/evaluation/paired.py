"""Candidates on the same patients: paired differences, and what their disagreement knows of errors."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from thorax.calibration.uncertainty import aurc, binary_entropy
from thorax.errors import InputError
from thorax.evaluation.ranking import auroc_and_auprc, delong
from thorax.evaluation.resampling import interval, patient_weights
from thorax.files import atomic_path

FILE = "scores.npz"
_ARRAYS = ("image", "patient", "probabilities", "truth", "thresholds")


@dataclass(frozen=True)
class Answers:
    """A candidate's answers on its test split; images and patients as digests alone.

    Attributes:
        image: (N,) digests, in rising order, so that two candidates' rows match.
        patient: (N,) digests.
        probabilities: (N, F), calibrated.
        truth: (N, F): 1, 0, NaN unknown.
        thresholds: (F,).
    """

    image: np.ndarray
    patient: np.ndarray
    probabilities: np.ndarray
    truth: np.ndarray
    thresholds: np.ndarray

    def save(self, path: Path) -> None:
        """Write it as npz without pickle."""
        order = np.argsort(self.image)
        rows = {name: getattr(self, name)[order] for name in _ARRAYS[:-1]}
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(stream, thresholds=self.thresholds, **rows)

    @classmethod
    def load(cls, path: Path) -> "Answers":
        """Read it.

        Raises:
            InputError: it is missing or damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return cls(*(arrays[name] for name in _ARRAYS))
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise InputError(f"{path} cannot be read: {error}.", "Evaluate the candidate again.") from error


def digests(names: np.ndarray) -> np.ndarray:
    """Return short digests (N,) of ids."""
    return np.array([hashlib.sha256(str(name).encode()).hexdigest()[:24] for name in names])


def compare(
    first: Answers, second: Answers, findings: list[str], replicates: int, confidence: float, seed: int = 0
) -> dict[str, Any]:
    """Return first − second in AUROC, on the same patients drawn the same way, and DeLong's p-value a finding.

    Returns:
        `mean`: the difference of the mean AUROC with its interval; `findings`: a finding, the difference with its
        interval and `p_value`. DeLong takes images for independent; the interval does not.

    Raises:
        InputError: they are of other images.
    """
    if not np.array_equal(first.image, second.image):
        raise InputError("Two candidates were evaluated on other images.", "Evaluate both on the same test split.")
    weights = patient_weights(first.patient, replicates, seed)
    draws = np.concatenate([np.ones((1, len(first.image)), dtype=np.uint8), weights])
    by_finding: dict[str, Any] = {}
    differences = []
    for column, finding in enumerate(findings):
        rows = ~np.isnan(first.truth[:, column])
        truth, weighting = first.truth[rows, column], draws[:, rows]
        one, other = (
            auroc_and_auprc(answers.probabilities[rows, column], truth, weighting)[0] for answers in (first, second)
        )
        difference = one - other
        p_value = delong(first.probabilities[rows, column], second.probabilities[rows, column], truth).p_value
        by_finding[finding] = {
            **interval(float(difference[0]), difference[1:], confidence),
            "p_value": float(p_value) if np.isfinite(p_value) else None,
        }
        if np.isfinite(difference[0]):
            differences.append(difference)
    stacked = np.stack(differences) if differences else np.full((1, len(draws)), np.nan)
    known = np.isfinite(stacked)
    mean = np.where(known, stacked, 0.0).sum(axis=0) / np.where(known.any(axis=0), known.sum(axis=0), np.nan)
    return {"mean": interval(float(mean[0]), mean[1:], confidence), "findings": by_finding}


def disagreement_figures(answers: Mapping[str, Answers], winner: str) -> dict[str, Any] | None:
    """Say whether the candidates' disagreement tells the winner's errors better than its own entropy does.

    Returns:
        Mean AURC over findings (the lower the better) of the winner's entropy, of the spread of all candidates'
        probabilities, and of the entropy of their mean; None for a single candidate, or where no truth is known.
    """
    if len(answers) < 2:
        return None
    best = answers[winner]
    stacked = np.stack([one.probabilities for one in answers.values()])
    wrong = (best.probabilities >= best.thresholds) != (best.truth > 0.5)
    rankings = {
        "entropy": binary_entropy(best.probabilities),
        "spread": stacked.std(axis=0),
        "ensemble_entropy": binary_entropy(stacked.mean(axis=0)),
    }
    known = ~np.isnan(best.truth)
    told = np.flatnonzero(known.any(axis=0))
    if not len(told):
        return None
    return {
        name: float(np.mean([aurc(values[known[:, k], k], wrong[known[:, k], k]) for k in told]))
        for name, values in rankings.items()
    }
