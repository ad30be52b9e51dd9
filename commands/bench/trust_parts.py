"""The parts of `make bench-trust` that need no network of the project's own; each returns its figures."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from commands.bench.figures import Figure, at_most, told

if TYPE_CHECKING:
    import numpy as np

_ALPHA = 0.1


@dataclass(frozen=True)
class Spent:
    """Seconds on the clock, and of all processors together: on a machine that does nothing else they are about alike.

    The verdicts go by the processors' seconds, as another program's work is not this one's.
    """

    wall: float
    processor: float

    def __str__(self) -> str:
        return f"{self.wall:.1f} s ({self.processor:.1f} s of processor)"


class Clock:
    """Started when made."""

    def __init__(self) -> None:
        self._wall, self._processor = time.perf_counter(), time.process_time()

    def read(self) -> Spent:
        """Return what was spent since."""
        return Spent(time.perf_counter() - self._wall, time.process_time() - self._processor)


def published(folder: Path) -> list[Figure]:
    """Calibrate a published network on ten patient-halves and judge it on the others."""
    import numpy as np

    from thorax.calibration.calibrators import logit
    from thorax.calibration.choice import choose
    from thorax.calibration.conformal import answers, fit_cutoffs
    from thorax.calibration.fitting import negative_log_likelihood
    from thorax.evaluation.calibration_error import expected_calibration_error

    p, truth, patients = read_published(folder)
    logits, names = logit(p), np.unique(patients)
    errors: dict[str, list[float]] = {
        name: [] for name in ("raw", "platt", "auto", "nll_raw", "nll", "sure_raw", "sure")
    }
    conformal = []
    for seed in range(5):
        half = np.isin(patients, np.random.default_rng(seed).permutation(names)[: len(names) // 2])
        for fitted, held in ((half, ~half), (~half, half)):
            y = truth[held]
            after = {}
            for method in ("platt", "auto"):
                chosen = choose(logits[fitted], truth[fitted], patients[fitted], method=method)  # type: ignore[arg-type]
                after[method] = np.stack(
                    [one.calibrator.probabilities(logits[held, k]) for k, one in enumerate(chosen)], axis=1
                )
            for name, probabilities in (("raw", p[held]), *after.items()):
                pairs = zip(probabilities.T, y.T, strict=True)
                errors[name].append(float(np.mean([expected_calibration_error(a, b) for a, b in pairs])))
            errors["nll_raw"].append(float(negative_log_likelihood(p[held], y).mean()))
            errors["nll"].append(float(negative_log_likelihood(after["auto"], y).mean()))
            errors["sure_raw"].append(int(((p[held] > 0.9) & (y == 0)).sum()))
            errors["sure"].append(int(((after["auto"] > 0.9) & (y == 0)).sum()))
            row = []
            for k, one in enumerate(chosen):
                cutoffs = fit_cutoffs(one.calibrator.probabilities(logits[fitted, k]), truth[fitted, k], _ALPHA, _ALPHA)
                said = answers(after["auto"][:, k], cutoffs)
                row.append(float(np.mean(said == np.where(y[:, k] == 1, "absent", "present"))))
            conformal.append(row)
    mean = {name: float(np.mean(values)) for name, values in errors.items()}
    often = truth.sum(axis=0) >= 200
    worst = float(np.abs(np.mean(conformal, axis=0) - _ALPHA)[often].max())
    part = "published"
    return [
        told(part, "mean ECE-15 of the network's own probabilities", mean["raw"], ".4f"),
        told(part, "mean ECE-15, Platt a finding", mean["platt"], ".4f"),
        at_most(part, "mean ECE-15, automatic choice", mean["auto"], 0.0060, ".4f"),
        Figure(
            part,
            "NLL before → after",
            f"{mean['nll_raw']:.4f} → {mean['nll']:.4f}",
            "no worse",
            mean["nll"] <= mean["nll_raw"],
        ),
        Figure(
            part,
            "above 0.9 and wrong, a half, before → after",
            f"{mean['sure_raw']:.0f} → {mean['sure']:.0f}",
            "≤ a fifth",
            mean["sure"] <= mean["sure_raw"] / 5,
        ),
        at_most(part, f"conformal error, largest |error − {_ALPHA}|", worst, 0.01, ".4f"),
    ]


def referral(
    of: str, logits: "np.ndarray", truth: "np.ndarray", patients: "np.ndarray", share: float = 0.2
) -> list[Figure]:
    """Refer a share of images, fitted on one half of the patients and judged on the other, twenty halves.

    Args:
        of: whose logits they are.
        logits: (N, F).
        truth: (N, F): 1, 0, NaN unknown.
        patients: (N,).
        share: the budget.
    """
    import numpy as np

    from thorax.calibration.choice import choose
    from thorax.calibration.conformal import answers, fit_cutoffs
    from thorax.calibration.operating import Rule, operating_point
    from thorax.calibration.referral import doubt, fit_rule, wrong

    names, shares, all_wrong, kept_wrong = np.unique(patients), [], [], []
    for seed in range(10):
        half = np.isin(patients, np.random.default_rng(seed).permutation(names)[: len(names) // 2])
        for fitted, held in ((half, ~half), (~half, half)):
            chosen = choose(logits[fitted], truth[fitted], patients[fitted], method="platt")
            p = np.stack([one.calibrator.probabilities(logits[:, k]) for k, one in enumerate(chosen)], axis=1)
            said = []
            for k in range(p.shape[1]):
                known = fitted & ~np.isnan(truth[:, k])
                q, y = p[known, k], truth[known, k]
                said.append(
                    answers(p[:, k], fit_cutoffs(q, y, _ALPHA, _ALPHA, operating_point(q, y, Rule()).threshold))
                )
            words = np.stack(said, axis=1)
            cutoff = fit_rule(p[fitted], truth[fitted], words[fitted], share, None).cutoff
            handed = doubt(p[held], words[held]).sum(axis=1) > cutoff
            mistakes = wrong(words[held], truth[held])
            shares.append(float(handed.mean()))
            all_wrong.append(float(np.nanmean(mistakes)))
            kept_wrong.append(float(np.nanmean(mistakes[~handed])))
    part, off = "referral", abs(np.mean(shares) - share)
    spared = np.subtract(all_wrong, kept_wrong)
    low, high = np.quantile(spared, [0.025, 0.975])
    return [
        Figure(
            part,
            f"{of}: referred, budget {share:.0%}",
            f"{np.mean(shares):.1%} (halves {min(shares):.1%} to {max(shares):.1%})",
            "± 2 points",
            bool(off <= 0.02),
        ),
        Figure(part, f"{of}: wrong answers, all → kept", f"{np.mean(all_wrong):.3f} → {np.mean(kept_wrong):.3f}"),
        Figure(part, f"{of}: spared, 95% of halves", f"{low:.3f} to {high:.3f}", "> 0", bool(low > 0)),
    ]


def published_referral(folder: Path) -> list[Figure]:
    """Refer by the published network's probabilities."""
    from thorax.calibration.calibrators import logit

    p, truth, patients = read_published(folder)
    return referral("published network", logit(p), truth, patients)


def speed(images: int = 22_433, findings: int = 14) -> list[Figure]:
    """Time the bootstrap, the report page and the explanations."""
    import tempfile

    import numpy as np

    from thorax.calibration.calibrators import sigmoid
    from thorax.calibration.outputs import Outputs
    from thorax.calibration.run import fit
    from thorax.evaluation.figures_of_merit import Scores, figures
    from thorax.evaluation.report import write_report
    from thorax.evaluation.resampling import patient_weights
    from thorax.evaluation.run import measure
    from thorax.findings import NIH14
    from thorax.settings import Calibration, Evaluation

    random = np.random.default_rng(0)
    logits = random.normal(-2.5, 1.2, size=(images, findings))
    truth = (random.random((images, findings)) < sigmoid(logits)).astype(float)
    patients = (np.arange(images) // 3.6).astype(int).astype(str)
    p = sigmoid(logits)
    clock = Clock()
    weights = patient_weights(patients, 1000, 0)
    figures(Scores(truth, p, p, np.full(findings, 0.1), patients), weights)
    bootstrap = clock.read()

    rows = slice(0, 2000)
    outputs = Outputs(
        np.arange(images)[rows].astype(str), patients[rows], logits[rows], random.normal(size=(2000, 64)), truth[rows]
    )
    calibration = fit(NIH14[:findings], outputs, outputs.features, Calibration())
    import pandas as pd

    people = pd.DataFrame({"sex": random.choice(["F", "M"], 2000), "age": random.integers(18, 90, 2000)})
    evaluated = measure(
        outputs, calibration, people, pd.DataFrame(columns=["image_id", "finding"]), Evaluation(bootstrap=100)
    )
    evaluated.facts.update(title="bench", synthetic=True)
    with tempfile.TemporaryDirectory() as place:
        write_report(evaluated, None, Path(place))  # the first draws the fonts' cache
        clock = Clock()
        write_report(evaluated, None, Path(place))
        page, size = clock.read(), (Path(place) / "report.html").stat().st_size / 1e6
    part = "speed"
    return [
        Figure(
            part,
            f"1,000 replicates of all metrics, {images:,} × {findings}",
            str(bootstrap),
            "≤ 20 s",
            bootstrap.processor <= 20,
        ),
        Figure(part, f"report page, {findings} findings", str(page), "≤ 10 s", page.processor <= 10),
        at_most(part, "its size", size, 5, ".1f", " MB"),
        *_explanations(findings),
    ]


def _explanations(findings: int, side: int = 224, rounds: int = 7) -> list[Figure]:
    """Time the maps of all findings beside the forward pass that gives them, and beside the library's Grad-CAM."""
    import numpy as np
    import torch

    from thorax.explain.gradients import gradient_map
    from thorax.models import build

    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = build("densenet121", findings).eval()
    image = np.random.default_rng(0).random((side, side)).astype(np.float32)
    batch = torch.from_numpy(image[None, None])
    times: dict[str, list[float]] = {"forward": [], "with maps": [], "grad-cam": []}
    with torch.no_grad():
        network(batch)
    for _ in range(rounds):  # in turns, the least of each: what else the machine does only adds
        for name in times:
            start = time.process_time()
            if name == "grad-cam":
                theirs = gradient_map(network, image, 0)
            else:
                with torch.no_grad():
                    output = network(batch)
                    if name == "with maps":
                        maps = network.maps(output.feature_map)
            times[name].append(time.process_time() - start)
    start = time.process_time()
    for _ in range(200):
        network.maps(output.feature_map.detach())
    alone = (time.process_time() - start) / 200
    forward, grad_cam = min(times["forward"]), min(times["grad-cam"])
    ours = (maps[0, 0] - network.head.bias[0]).detach().numpy() / maps.shape[-1] ** 2
    difference = float(np.abs(ours - theirs).max())
    times_ms = [f"{1000 * value:.0f}" for value in (forward, min(times["with maps"]), grad_cam)]
    part = "speed"
    return [
        at_most(part, f"maps of {findings} findings, of a forward pass", alone / forward, 0.05, ".1%"),
        Figure(part, "forward pass, with maps, Grad-CAM of one finding", f"{', '.join(times_ms)} ms"),
        told(part, f"Grad-CAM of {findings} findings, of a forward pass", findings * grad_cam / forward, ".0f", "×"),
        at_most(part, "maps less Grad-CAM before its rectifier, at most", difference, 1e-4, ".1e"),
    ]


def read_published(folder: Path) -> "tuple[np.ndarray, np.ndarray, np.ndarray]":
    """Return a published network's probabilities (N, 14), the truth (N, 14) and the patients (N,)."""
    import pandas as pd

    predictions = pd.read_csv(folder / "labels" / "chexnet_predictions.csv.gz")
    labels = pd.read_csv(folder / "labels" / "Data_Entry_2017_v2020.csv.gz").set_index("Image Index")
    labels = labels.loc[predictions["Image Index"]]
    findings = [name.removeprefix("prob_") for name in predictions.columns[1:]]
    truth = labels["Finding Labels"].str.get_dummies("|")[findings].to_numpy(float)
    return predictions.iloc[:, 1:].to_numpy(), truth, labels["Patient ID"].to_numpy()
