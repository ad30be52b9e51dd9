"""Who is X-rayed, with what, and what the label table says about it.

A latent-threshold model: each patient and each of the patient's images draw correlated normal deviates for age, sex,
view and the fourteen findings; a finding is present where its deviate exceeds the threshold that gives its rate, and
is the more severe the further it exceeds it. Rates, pairwise co-occurrence and the age, sex and view of each finding
then follow NIH's published table (`rates`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from thorax.datasets.phantom import rates
from thorax.datasets.phantom.recipe import Recipe
from thorax.datasets.phantom.subject import Subject
from thorax.findings import NIH14, SUPPORT_DEVICES

#: Share of the images that show a support device, a view. Bedside (AP) patients carry lines and tubes; NIH's table
#: does not record them. CheXpert finds them in 56% of its studies, most of which are taken AP (Irvin et al. 2019,
#: table 1).
DEVICE_RATE = {"PA": 0.06, "AP": 0.45}

#: Share of the patients in the published test list: 25,596 of 112,120 images.
TEST_SHARE = 25_596 / rates.IMAGES

#: Side markers of unconfounded images.
MARKER_RATE = {"R": 0.45, "L": 0.40, "": 0.15}

_MOST = len(rates.IMAGES_OF_PATIENTS)
_HIGHEST_RATE = 0.95


@dataclass(frozen=True)
class Case:
    """One image of one patient, before it is rendered.

    Attributes:
        index: position in the dataset, from 0.
        patient: from 1.
        follow_up: from 0, the number of the image of this patient.
        test: whether the patient stands in the test list.
        subject: what the renderer needs.
        labels: finding to what the label table says, noise included; it may differ from `subject.findings`.
        draws: two numbers in [0, 1) a finding, for layouts that leave labels uncertain or blank.
    """

    index: int
    patient: int
    follow_up: int
    test: bool
    subject: Subject
    labels: Mapping[str, bool]
    draws: Mapping[str, tuple[float, float]]


def cases(recipe: Recipe) -> Iterator[Case]:
    """Yield the cases of a recipe in order, in flat memory.

    A patient depends on the recipe's seed and the patient's own number alone, and not on the count. A shift moves
    thresholds and machine settings, not the random numbers: the same patients come with and without it.
    """
    model = _Model(recipe)
    index = patient = 0
    while index < recipe.count:
        patient += 1
        for case in model.patient(patient, index):
            if index == recipe.count:
                return
            yield case
            index += 1


class _Model:
    """The thresholds and matrices of a recipe, ready to draw patients."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        correlation = rates.latent_correlation()
        within = correlation[:2, :2]
        self.slope = np.linalg.solve(within, correlation[:2, 2:]).T
        self.factor = np.linalg.cholesky(correlation[2:, 2:] - self.slope @ correlation[:2, 2:])
        self.tie = correlation[0, 1]
        shift = recipe.shift
        self.rate = {
            name: min(rate * shift.prevalence, max(rate, _HIGHEST_RATE)) for name, rate in recipe.rates().items()
        }
        self.ap_share = rates.AP / rates.IMAGES if shift.ap_share is None else shift.ap_share
        counts = np.array(rates.IMAGES_OF_PATIENTS)
        self.images = np.cumsum(counts / counts.sum())

    def patient(self, patient: int, index: int) -> list[Case]:
        """Draw all images of one patient; the first stands at `index`."""
        rng = np.random.default_rng([self.recipe.seed, patient])
        chance = rng.random(3)
        own = rng.standard_normal(2 + len(self.factor) + 1)
        each = rng.standard_normal((_MOST, len(self.factor) + 4))
        luck = rng.random((_MOST, 3))
        noise = rng.random((_MOST, len(NIH14) + 1, 3))
        seeds = rng.integers(0, 2**62, _MOST)

        count = 1 + int(np.searchsorted(self.images, chance[0]))
        age_score, male_score = own[0], self.tie * own[0] + np.sqrt(1 - self.tie**2) * own[1]
        age = float(np.interp(ndtr(age_score), rates.AGE_SHARES, rates.AGE_YEARS)) + self.recipe.shift.age
        sex = "M" if ndtr(-male_score) < rates.MEN / rates.IMAGES else "F"
        share = np.sqrt(rates.WITHIN_PATIENT), np.sqrt(1 - rates.WITHIN_PATIENT)
        deviates = share[0] * own[2:-1] + share[1] * each[:count, : len(self.factor)]
        upper = ndtr(-(self.slope @ (age_score, male_score) + deviates @ self.factor.T))
        drawn = []
        for number in range(count):
            view = "AP" if upper[number, 0] < self.ap_share else "PA"
            findings = self._findings(upper[number, 1:], luck[number, 0], luck[number, 1], view)
            subject = Subject(
                seed=int(seeds[number]),
                view=view,
                age=float(np.clip(np.floor(age + rates.YEARS_BETWEEN * number), 0, 110)),
                sex=sex,
                size=float(np.clip(1 + 0.08 * own[-1], 0.8, 1.25)),
                **self._machine(each[number, -4:], luck[number, 2], findings),
                findings=findings,
            )
            labels, draws = self._labels(findings, noise[number])
            test = bool(chance[1] < TEST_SHARE)
            drawn.append(Case(index + number, patient, number, test, subject, labels, draws))
        return drawn

    def _findings(self, upper: np.ndarray, device: float, weight: float, view: str) -> dict[str, float]:
        """Compare each deviate's upper tail with the finding's rate; how far below it lies gives the severity."""
        low, high = self.recipe.severity
        present = {}
        for name, tail in zip(NIH14, upper, strict=True):
            rate = self.rate.get(name, 0.0)
            if tail < rate:
                present[name] = round(low + (high - low) * float(1 - tail / rate), 4) or 1e-4
        if device < DEVICE_RATE[view]:
            present[SUPPORT_DEVICES] = round(0.3 + 0.7 * weight, 4)
        return present

    def _machine(self, deviates: np.ndarray, luck: float, findings: Mapping[str, float]) -> dict:
        """How the image is taken: exposure, noise, blur, scanner, side marker."""
        shift = self.recipe.shift
        marker = next(name for name, top in zip("RL ", np.cumsum([*MARKER_RATE.values()]), strict=True) if luck <= top)
        if shift.confounder is not None:
            told = luck < shift.confounder.strength
            marker = "L" if (shift.confounder.finding in findings) == told else "R"
        return {
            "exposure": float(np.clip(shift.exposure * np.exp(0.12 * deviates[0]), 0.5, 2)),
            "noise": float(np.clip(shift.noise * np.exp(0.15 * deviates[1]), 0, 10)),
            "blur": float(np.clip(shift.blur + abs(0.5 * deviates[2]), 0, 20)),
            "scanner": shift.scanner or "standard",
            "marker": marker.strip(),
        }

    def _labels(
        self, findings: Mapping[str, float], noise: np.ndarray
    ) -> tuple[dict[str, bool], dict[str, tuple[float, float]]]:
        """Miss a share of the positives, and call as many negatives positive, so that the rate stays what it was."""
        labels, draws = {}, {}
        missed = self.recipe.label_noise
        made = (*NIH14, SUPPORT_DEVICES)
        for name in self.recipe.made:
            flip, *rest = noise[made.index(name)]
            rate = self.rate.get(name, sum(DEVICE_RATE.values()) / 2)
            present = name in findings
            labels[name] = present ^ bool(flip < (missed if present else missed * rate / (1 - rate)))
            draws[name] = (float(rest[0]), float(rest[1]))
        return labels, draws
