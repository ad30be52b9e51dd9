"""Split conformal answers a finding: present, absent, or uncertain, with a stated error rate. NumPy only.

Class-conditional (Mondrian by presence; Vovk, Gammerman & Shafer 2005, ch. 4; Sadinle et al. 2019, JASA): of those who
have the finding, at most a share α is answered "absent", and of those who have it not, at most α "present", whatever
the network, as long as calibration and new patients are exchangeable.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

PRESENT, ABSENT, UNCERTAIN = "present", "absent", "uncertain"


@dataclass(frozen=True)
class Cutoffs:
    """Largest strangeness that still belongs to a label: 1 − p for present, p for absent; 1 keeps every image."""

    present: float = 1.0
    absent: float = 1.0

    def to_json(self) -> dict[str, float]:
        """Return what `from_json` reads."""
        return {PRESENT: self.present, ABSENT: self.absent}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Cutoffs":
        """Read back `to_json`."""
        return cls(float(value[PRESENT]), float(value[ABSENT]))


def conformal_quantile(strangeness: np.ndarray, alpha: float) -> float:
    """Return the ⌈(n + 1)(1 − α)⌉-th smallest value, or 1 where n is too small to promise anything."""
    n = len(strangeness)
    rank = int(np.ceil((n + 1) * (1 - alpha) - 1e-9))
    if rank > n:
        return 1.0
    return float(np.partition(strangeness, rank - 1)[rank - 1])


def fit_cutoffs(probabilities: np.ndarray, truth: np.ndarray, alpha: float) -> Cutoffs:
    """Fit both cut-offs to one finding's probabilities (N,) and truth (N,) of 0 and 1.

    The calibrator may be fitted to the same images: it is monotone, and these quantiles know ranks alone.
    """
    present, absent = truth > 0.5, truth <= 0.5
    strange_present = conformal_quantile(1.0 - probabilities[present], alpha)
    strange_absent = conformal_quantile(probabilities[absent], alpha)
    gap = (1.0 - strange_present) - strange_absent
    if gap > 0:
        # The kinds are so far apart that neither label would fit between them. Any cut there keeps both promises, as
        # it makes both sets larger: everybody gets an answer.
        cut = strange_absent + gap / 2
        return Cutoffs(1.0 - cut, cut)
    return Cutoffs(strange_present, strange_absent)


def sets(probabilities: np.ndarray, cutoffs: Cutoffs) -> tuple[np.ndarray, np.ndarray]:
    """Return two bool arrays of the shape of `probabilities`: whether "present" and "absent" are in the set."""
    # The strangeness is computed as it was when fitted, so that the image that set the cut-off is inside.
    return 1.0 - probabilities <= cutoffs.present, probabilities <= cutoffs.absent


def answers(probabilities: np.ndarray, cutoffs: Cutoffs) -> np.ndarray:
    """Return "present", "absent" or, where both labels fit, "uncertain", for each probability."""
    present, absent = sets(probabilities, cutoffs)
    return np.where(present & ~absent, PRESENT, np.where(absent & ~present, ABSENT, UNCERTAIN))
