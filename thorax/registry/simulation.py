"""How often the gate against the champion is wrong: many pairs of models whose true difference is known.

Scores are binormal: a model's score is its separation where the finding is present, plus noise that the two models
share in part, as models trained on the same images do. The AUROC of a separation d is Φ(d / √2).
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from thorax.registry.gates import against_champion
from thorax.registry.paired import compare


@dataclass(frozen=True)
class Outcome:
    """Share of the pairs in which the challenger passed, with the standard error of that share."""

    rule: str
    margin: float
    difference: float
    pairs: int
    passed: float

    @property
    def error(self) -> float:
        """Standard error of `passed`."""
        return float(np.sqrt(max(self.passed * (1 - self.passed), 1e-12) / self.pairs))


def simulate(
    rule: str,
    margin: float,
    difference: float,
    *,
    pairs: int = 1000,
    patients: int = 400,
    findings: int = 3,
    prevalence: float = 0.25,
    champion: float = 0.80,
    shared: float = 0.7,
    replicates: int = 300,
    confidence: float = 0.95,
    seed: int = 0,
) -> Outcome:
    """Let many challengers meet a champion.

    Args:
        rule: `not_worse` or `better`.
        margin: of the gate, in AUROC.
        difference: challenger − champion, the truth, in AUROC.
        pairs: of models.
        patients: in the test split, one image each.
        findings: whose mean AUROC is compared.
        prevalence: of each.
        champion: its true AUROC.
        shared: correlation of the two models' noise.
        replicates: of the bootstrap.
        confidence: of the gate.
        seed: of the draws.
    """
    generator = np.random.default_rng(seed)
    separation = [np.sqrt(2) * norm.ppf(value) for value in (champion + difference, champion)]
    names = [f"finding {number}" for number in range(findings)]
    people = np.arange(patients)
    passed = 0
    for pair in range(pairs):
        truth = (generator.random((patients, findings)) < prevalence).astype(np.float64)
        common = generator.normal(size=(patients, findings))
        challenger, present = (
            gap * truth + np.sqrt(shared) * common + np.sqrt(1 - shared) * generator.normal(size=(patients, findings))
            for gap in separation
        )
        found = compare(
            truth, challenger, present, people, names, replicates=replicates, confidence=confidence, seed=pair
        )
        passed += against_champion(found, rule, margin).passed
    return Outcome(rule, margin, difference, pairs, passed / pairs)
