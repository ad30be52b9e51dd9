"""Which images are referred to a radiologist because the model may be wrong: a score, and a cut-off. NumPy only.

The score of an image is the expected number of wrong answers by the calibrated probabilities, summed over findings:
1 − p where the answer is present, p where it is absent, 0 where it is uncertain, as that claims nothing. Ranking by
expected loss is what a reject option needs to spare the most errors (Chow 1970, IEEE Trans. Inf. Theory).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from thorax.calibration.conformal import ABSENT, PRESENT

if TYPE_CHECKING:
    from thorax.prediction import FindingAnswer, Novelty

#: Findings that a reason names, at most.
_NAMED = 3


@dataclass(frozen=True)
class ReferRule:
    """When an image is referred: any of `when` holds.

    Attributes:
        when: `ood`, the image is outside the training data; `errors`, more than `cutoff` wrong answers are
            expected.
            Bundles of release 0.1 have `entropy`, a finding's entropy is above `entropy`, and `conformal`, an answer is
            uncertain.
        entropy: bits, 0 to 1.
        cutoff: expected wrong answers.
        share: of images that the cut-off was fitted to refer; None where none was asked for.
        error: of the kept images' answers being wrong that it was fitted to reach; None where none was asked for.
    """

    when: tuple[str, ...] = ("ood",)
    entropy: float = 1.0
    cutoff: float = float("inf")
    share: float | None = None
    error: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        tree: dict[str, Any] = {"when": list(self.when)}
        if "errors" in self.when:
            tree |= {"cutoff": self.cutoff, "share": self.share, "error": self.error}
        return tree | ({"entropy": self.entropy} if "entropy" in self.when else {})

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "ReferRule":
        """Read back `to_json`, of this release or of 0.1.

        Raises:
            KeyError, TypeError, ValueError: it is not a rule.
        """
        when = tuple(value["when"])
        cutoff = float(value["cutoff"]) if "errors" in when else float("inf")
        return cls(when, float(value.get("entropy", 1.0)), cutoff, value.get("share"), value.get("error"))

    def reasons(self, answers: "Sequence[FindingAnswer]", novelty: "Novelty") -> tuple[str, ...]:
        """Say why an image is referred, one sentence a reason; empty where it is not."""
        from thorax.prediction import listed

        said = []
        if "ood" in self.when and novelty.out:
            said.append(
                f"The image is outside the model's training data (score {novelty.score:.2f}, cut-off "
                f"{novelty.cutoff:.2f}); it may not be a frontal chest radiograph."
            )
        p, words = np.array([one.probability for one in answers]), np.array([one.answer for one in answers])
        doubts = dict(zip([one.label for one in answers], doubt(p, words).tolist(), strict=True))
        if "errors" in self.when and (expected := sum(doubts.values())) > self.cutoff:
            worst = sorted(doubts, key=doubts.__getitem__, reverse=True)[:_NAMED]
            said.append(
                f"The model is likely to be wrong on this image: {expected:.1f} of {len(answers)} answers are "
                f"expected to be wrong (cut-off {self.cutoff:.1f}), most likely {listed(worst)}."
            )
        unsure = [
            one.label
            for one in answers
            if ("conformal" in self.when and one.answer == "uncertain")
            or ("entropy" in self.when and one.uncertainty > self.entropy)
        ]
        if unsure:
            said.append(f"The model is uncertain about {listed(unsure)}.")
        return tuple(said)


def doubt(probabilities: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """Return the chance that each answer is wrong, in the shape of both; see the module."""
    p = probabilities
    return np.where(answers == PRESENT, 1 - p, np.where(answers == ABSENT, p, 0.0))


def wrong(answers: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return 1 where an answer is wrong, else 0, and NaN where the truth is unknown; uncertain is not wrong."""
    mistaken = ((answers == PRESENT) & (truth < 0.5)) | ((answers == ABSENT) & (truth > 0.5))
    return np.where(np.isnan(truth), np.nan, mistaken)


def fit_rule(
    probabilities: np.ndarray, truth: np.ndarray, answers: np.ndarray, share: float | None, error: float | None
) -> ReferRule:
    """Fit the cut-off to a budget.

    Args:
        probabilities: (N, F), calibrated.
        truth: (N, F): 1, 0, NaN unknown.
        answers: (N, F) of present, absent, uncertain.
        share: of the images to refer; None leaves it open.
        error: refer only as many as it takes for at most this share of the kept images' answers to be wrong, and never
            more than `share`; None leaves it open.
    """
    if share is None and error is None:
        return ReferRule()
    scores = np.sort(expected := doubt(probabilities, answers).sum(axis=1))
    n = len(scores)
    # Of n + 1 exchangeable images a share of at most (n + 1 − k) / (n + 1) lies above the k-th.
    kept = 0 if share is None else int(np.ceil((n + 1) * (1 - share) - 1e-9))
    if error is not None:
        mistakes = wrong(answers, truth)[np.argsort(expected)]
        known = np.maximum(np.cumsum((~np.isnan(mistakes)).sum(axis=1)), 1)
        reached = np.flatnonzero(np.cumsum(np.nansum(mistakes, axis=1)) / known <= error)
        kept = max(kept, int(reached.max(initial=-1)) + 1)
    cutoff = scores[kept - 1] if 0 < kept <= n else (0.0 if kept == 0 else float(probabilities.shape[1]))
    return ReferRule(("ood", "errors"), cutoff=float(cutoff), share=share, error=error)
