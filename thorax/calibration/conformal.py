"""One answer a finding: present, absent, or uncertain, by one rule that keeps two promises. NumPy only.

A finding has two cut-offs on the calibrated probability p, with its operating threshold between them: p below `lower`
is answered "absent", p above `upper` "present", and all between "uncertain".

The cut-offs come from class-conditional split conformal prediction (Mondrian by presence; Vovk, Gammerman & Shafer
2005, ch. 4; Sadinle et al. 2019, JASA). Of patients with the finding at most a share `missed` is answered "absent", and
of patients without it at most a share `false` "present", whatever the network, while calibration and new patients are
exchangeable. Both hold with the finite-sample correction, and widening the gap to hold the threshold breaks neither.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

PRESENT, ABSENT, UNCERTAIN = "present", "absent", "uncertain"


@dataclass(frozen=True)
class Cutoffs:
    """Probabilities in [0, 1]: below `lower` a finding is answered absent, above `upper` present.

    The defaults leave every answer uncertain.
    """

    lower: float = 0.0
    upper: float = 1.0

    def around(self, threshold: float) -> "Cutoffs":
        """Return the cut-offs widened to hold the operating threshold, so that no answer contradicts it."""
        return Cutoffs(min(self.lower, threshold), max(self.upper, threshold))

    def to_json(self) -> dict[str, float]:
        """Return what `from_json` reads."""
        return {"lower": self.lower, "upper": self.upper}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Cutoffs":
        """Read back `to_json`, or what releases before 0.2 wrote: 1 − lower as `present`, and upper as `absent`.

        Raises:
            KeyError, TypeError, ValueError: it is neither.
        """
        if PRESENT in value:
            return cls(1.0 - float(value[PRESENT]), float(value[ABSENT]))
        return cls(float(value["lower"]), float(value["upper"]))


def fit_cutoffs(
    probabilities: np.ndarray, truth: np.ndarray, missed: float, false: float, threshold: float | None = None
) -> Cutoffs:
    """Fit both cut-offs to one finding.

    The calibrator may be fitted to the same images: it is monotone, and order statistics depend on ranks alone.

    Args:
        probabilities: (N,), calibrated.
        truth: (N,) of 0 and 1.
        missed: largest share of positives that may be answered absent, in (0, 1).
        false: largest share of negatives that may be answered present, in (0, 1).
        threshold: the operating point; without one, the middle, where the classes are so far apart that a single
            cut-off keeps both promises.

    Returns:
        The cut-offs. With too few positives `lower` is 0 and nobody is answered absent; with too few negatives `upper`
        is 1 and nobody is answered present.
    """
    positives, negatives = np.sort(probabilities[truth > 0.5]), np.sort(probabilities[truth <= 0.5])
    kept, spared = _rank(len(positives), missed), _rank(len(negatives), false)
    # At most k of n + 1 exchangeable images lie beyond the k-th extreme of n.
    lower = float(positives[kept - 1]) if kept else 0.0
    upper = float(negatives[-spared]) if spared else 1.0
    return Cutoffs(lower, upper).around((lower + upper) / 2 if threshold is None else threshold)


def _rank(n: int, share: float) -> int:
    return int(np.floor((n + 1) * share + 1e-9))


def answers(probabilities: np.ndarray, cutoffs: Cutoffs) -> np.ndarray:
    """Return "present", "absent" or "uncertain" for each probability, in the same shape."""
    return np.where(probabilities > cutoffs.upper, PRESENT, np.where(probabilities < cutoffs.lower, ABSENT, UNCERTAIN))
