"""The calibration of a model as serving applies it: `calibration.json` and `ood.safetensors`. NumPy only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from thorax.calibration import conformal
from thorax.calibration.calibrators import Calibrator
from thorax.calibration.conformal import UNCERTAIN, Cutoffs
from thorax.calibration.ood import OutOfDistribution
from thorax.calibration.referral import ReferRule, doubt
from thorax.calibration.uncertainty import binary_entropy
from thorax.errors import InputError
from thorax.files import read_json, write_json

FILE, OOD_FILE = "calibration.json", "ood.safetensors"
_VERSION = 1


@dataclass(frozen=True)
class FindingCalibration:
    """What was fitted for one finding.

    Attributes:
        calibrator: logit to probability.
        threshold: the operating point on the calibrated probability, which evaluation reports; within the cut-offs.
        cutoffs: of the answer.
        cutoffs_by_group: the same for a group of images (a view), where it was fitted.
        positives: in the calibration split.
        note: what a reader must know, such as a fall-back; may be empty.
        details: how it was fitted (candidates' scores, operating point and its interval); for reports.
    """

    calibrator: Calibrator = field(default_factory=Calibrator)
    threshold: float = 0.5
    cutoffs: Cutoffs = field(default_factory=Cutoffs)
    cutoffs_by_group: Mapping[str, Cutoffs] = field(default_factory=dict)
    positives: int = 0
    note: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Calibration:
    """Turns logits (N, F) and features (N, D) into probabilities, decisions, answers, uncertainty and strangeness."""

    findings: tuple[str, ...]
    by_finding: tuple[FindingCalibration, ...]
    ood: OutOfDistribution
    alpha: float = 0.1
    refer_rule: ReferRule = field(default_factory=ReferRule)
    info: Mapping[str, Any] = field(default_factory=dict)

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities, float64 (N, F) in (0, 1)."""
        values = self._columns(logits)
        columns = [one.calibrator.probabilities(values[:, i]) for i, one in enumerate(self.by_finding)]
        return np.stack(columns, axis=1)

    @property
    def thresholds(self) -> np.ndarray:
        """The operating points, float64 (F,)."""
        return np.array([one.threshold for one in self.by_finding])

    def decisions(self, probabilities: np.ndarray) -> np.ndarray:
        """Return bool (N, F): whether each probability reaches its operating point; never at odds with `answers`."""
        return self._columns(probabilities) >= self.thresholds

    def answers(self, probabilities: np.ndarray, groups: Sequence[str] | None = None) -> np.ndarray:
        """Return "present", "absent" or "uncertain", unicode (N, F).

        Args:
            probabilities: (N, F).
            groups: the group (view) of each image; a group without cut-offs of its own takes those of all images.
        """
        values = self._columns(probabilities)
        result = np.stack(
            [conformal.answers(values[:, i], one.cutoffs) for i, one in enumerate(self.by_finding)], axis=1
        )
        if groups is None:
            return result
        names = np.asarray(groups, dtype=str)
        for i, one in enumerate(self.by_finding):
            for name, cutoffs in one.cutoffs_by_group.items():
                rows = names == name
                result[rows, i] = conformal.answers(values[rows, i], cutoffs)
        return result

    def cutoffs(self, group: str) -> tuple[Cutoffs, ...]:
        """Return the cut-offs of each finding's answer in a group (view)."""
        return tuple(one.cutoffs_by_group.get(group, one.cutoffs) for one in self.by_finding)

    def uncertainty(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the entropy of each probability in bits, (N, F) in [0, 1]."""
        return binary_entropy(self._columns(probabilities))

    def ood_score(self, features: np.ndarray, images: np.ndarray | None = None) -> np.ndarray:
        """Return how unlike the training images each is, (N,); above `ood_cutoff` it is out of distribution.

        Args:
            features: (N, D), pooled.
            images: (N, S, S), what the network read; with them negatives, turned images and other things than chests
                are told far better. Without them, or where none were at hand to fit, the features judge alone.
        """
        return self.ood.score(features, images)

    @property
    def ood_cutoff(self) -> float:
        """The score above which an image is out of distribution, whether images are given or not."""
        return 1.0

    def refer(
        self, probabilities: np.ndarray, ood_scores: np.ndarray, groups: Sequence[str] | None = None
    ) -> np.ndarray:
        """Return bool (N,): whether each image is referred to a radiologist, by the rule of the bundle.

        Args:
            probabilities: (N, F).
            ood_scores: (N,).
            groups: the group (view) of each image, as for `answers`.
        """
        handed = np.zeros(len(probabilities), dtype=bool)
        if "ood" in self.refer_rule.when:
            handed |= np.asarray(ood_scores) > self.ood_cutoff
        if "errors" in self.refer_rule.when:
            said = self.answers(probabilities, groups)
            handed |= doubt(self._columns(probabilities), said).sum(axis=1) > self.refer_rule.cutoff
        if "conformal" in self.refer_rule.when:
            handed |= (self.answers(probabilities, groups) == UNCERTAIN).any(axis=1)
        if "entropy" in self.refer_rule.when:
            handed |= (self.uncertainty(probabilities) > self.refer_rule.entropy).any(axis=1)
        return handed

    def save(self, folder: Path | str) -> None:
        """Write `calibration.json` and `ood.safetensors` into `folder`."""
        place = Path(folder)
        self.ood.save(place / OOD_FILE)
        write_json(place / FILE, self.to_json())

    def to_json(self) -> dict[str, Any]:
        """Return the content of `calibration.json`."""
        by_finding = {}
        for name, one in zip(self.findings, self.by_finding, strict=True):
            by_finding[name] = one.calibrator.to_json() | {
                "threshold": one.threshold,
                "answer": one.cutoffs.to_json(),
                "answer_by_group": {key: value.to_json() for key, value in one.cutoffs_by_group.items()},
                "positives": one.positives,
                "note": one.note,
                "details": dict(one.details),
            }
        return {
            "version": _VERSION,
            "findings": list(self.findings),
            "by_finding": by_finding,
            "alpha": self.alpha,
            "ood": {
                "kind": self.ood.kind,
                "cutoff": self.ood_cutoff,
                "reads": ["features"] if self.ood.appearance is None else ["features", "appearance"],
            },
            "refer": self.refer_rule.to_json(),
            "info": dict(self.info),
        }

    @classmethod
    def load(cls, folder: Path | str) -> "Calibration":
        """Read a calibration from its folder.

        Raises:
            InputError: a file is missing or damaged, or is not a calibration.
        """
        place = Path(folder)
        tree = read_json(place / FILE)
        try:
            by_finding = tuple(_finding(tree["by_finding"][name]) for name in tree["findings"])
            kind = str(tree["ood"]["kind"])
            rule = ReferRule.from_json(tree["refer"])
            names, alpha, info = tuple(tree["findings"]), float(tree["alpha"]), dict(tree["info"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(
                f"{place / FILE} is not a calibration: {type(error).__name__}: {error}.", "Calibrate the model again."
            ) from error
        return cls(names, by_finding, OutOfDistribution.load(place / OOD_FILE, kind), alpha, rule, info)

    def _columns(self, values: np.ndarray) -> np.ndarray:
        array = np.asarray(values, dtype=np.float64)
        if array.ndim != 2 or array.shape[1] != len(self.findings):
            raise InputError(f"An array of shape {array.shape} does not fit {len(self.findings)} findings.")
        return array


def _finding(value: Mapping[str, Any]) -> FindingCalibration:
    threshold = float(value["threshold"])
    # Releases before 0.2 kept a threshold and the conformal cut-offs, which could contradict each other.
    cutoffs = value["answer"] if "answer" in value else value["conformal"]
    by_group = value.get("answer_by_group", value.get("conformal_by_group", {}))
    return FindingCalibration(
        calibrator=Calibrator.from_json(value),
        threshold=threshold,
        cutoffs=Cutoffs.from_json(cutoffs).around(threshold),
        cutoffs_by_group={key: Cutoffs.from_json(one).around(threshold) for key, one in by_group.items()},
        positives=int(value["positives"]),
        note=str(value["note"]),
        details=dict(value.get("details", {})),
    )
