"""Do phantoms teach? A small network's discrimination of every finding, by the severity with which it is drawn."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from thorax.datasets.phantom.population import cases
from thorax.datasets.phantom.recipe import make_recipe
from thorax.datasets.phantom.render import render, twin
from thorax.datasets.phantom.subject import Subject
from thorax.errors import InputError
from thorax.findings import NIH14
from thorax.workers import ordered_map

SEVERITIES = (0.1, 0.25, 0.5, 0.75, 1.0)


def severity_study(
    train_subjects: int = 120,
    test_subjects: int = 40,
    size: int = 64,
    epochs: int = 25,
    severities: Sequence[float] = SEVERITIES,
    seed: int = 1,
    workers: int = 1,
    shuffled: bool = False,
    advance: Callable[..., None] | None = None,
) -> dict[str, Any]:
    """Train a network to name the one finding of a phantom, and measure it at each severity.

    Every training subject is rendered once in health and once with each of the fourteen findings, at severities
    spread evenly over 0.1 to 1. Other subjects are rendered in health and with each finding at each severity: the
    AUROC of a finding compares the subjects who have it at one severity with the same subjects in health. Subjects
    differ in age, sex, habitus, view, exposure, noise and devices are left out.

    Args:
        train_subjects: rendered 15 times each.
        test_subjects: rendered 1 + 14 × `len(severities)` times each; the intervals depend on it.
        size: pixels.
        epochs: of training.
        severities: at which the findings are tested, rising.
        seed: of subjects and training.
        workers: processes that render.
        shuffled: permute the training labels among the images; then nothing can be learnt.
        advance: told of every image rendered.

    Returns:
        `findings`, `severities`, `auroc` {finding: [{value, low, high} a severity]}, 95% by bootstrap of the subjects,
        `paired` {finding: [share of the subjects in whom the finding scores above their own healthy image]},
        `train_images`, `test_images`, `size`, `epochs`, `shuffled`.

    Raises:
        InputError: fewer than ten subjects to train or test with.
    """
    from thorax.datasets.phantom.learner import answer

    if min(train_subjects, test_subjects) < 10:
        raise InputError("A study needs ten subjects or more to train with, and as many to test with.")
    people = [twin(case.subject) for case in cases(make_recipe(count=train_subjects + test_subjects, seed=seed))]
    rng = np.random.default_rng(seed)
    learners, tested = people[:train_subjects], people[train_subjects:]
    drawn = [(one, spread) for one in learners for spread in (rng.permutation(14) + rng.random(14)) / 14]
    subjects = [*learners, *(_ill(one, NIH14[i % 14], 0.1 + 0.9 * u) for i, (one, u) in enumerate(drawn))]
    truth = np.array([0] * train_subjects + [1 + i % 14 for i in range(len(drawn))])
    trials = [*tested, *(_ill(one, name, level) for name in NIH14 for level in severities for one in tested)]
    images = _pictures([*subjects, *trials], size, workers, advance)
    if shuffled:
        truth = rng.permutation(truth)
    network = _train(images[: len(subjects)], truth, epochs, seed)
    scores = answer(network, images[len(subjects) :]).reshape(-1, test_subjects, 1 + len(NIH14))
    auroc, paired = {}, {}
    for place, name in enumerate(NIH14, start=1):
        evidence = scores[..., place] - scores[..., 0]
        levels = evidence[1 + (place - 1) * len(severities) :][: len(severities)]
        auroc[name] = [_with_interval(level, evidence[0], seed) for level in levels]
        paired[name] = [float((level > evidence[0]).mean() + (level == evidence[0]).mean() / 2) for level in levels]
    return {
        "findings": list(NIH14),
        "severities": list(severities),
        "auroc": auroc,
        "paired": paired,
        "train_images": len(subjects),
        "test_images": len(trials),
        "size": size,
        "epochs": epochs,
        "shuffled": shuffled,
    }


def _ill(subject: Subject, finding: str, severity: float) -> Subject:
    from dataclasses import replace

    return replace(subject, findings={finding: float(severity)})


def _picture(subject: Subject, size: int) -> np.ndarray:
    return render(subject, size).image8


def _pictures(subjects: Sequence[Subject], size: int, workers: int, advance: Callable[..., None] | None) -> np.ndarray:
    """Return uint8 (subjects, size, size)."""
    images = np.empty((len(subjects), size, size), dtype=np.uint8)
    for row, image in enumerate(ordered_map(_picture, ((one, size) for one in subjects), workers)):
        images[row] = image
        if advance is not None:
            advance()
    return images


def _train(images: np.ndarray, truth: np.ndarray, epochs: int, seed: int) -> Any:
    """Train the project's small network to tell health (0) and the fourteen findings (1 to 14) apart."""
    import torch

    from thorax.datasets.phantom.learner import learn
    from thorax.models import build

    torch.manual_seed(seed)
    network = build("custom_cnn", 1 + len(NIH14), dropout=0.1)
    network.normalise_by(float(images.mean() / 255), float(images.std() / 255))
    target = torch.from_numpy(truth)
    return learn(
        network,
        images,
        lambda chosen, logits: torch.nn.functional.cross_entropy(logits, target[chosen]),
        epochs,
        seed,
        rate=3e-3,
    )


def _with_interval(ill: np.ndarray, well: np.ndarray, seed: int, replicates: int = 500) -> dict[str, float]:
    """Return the AUROC of ill against well, of the same subjects, and its 95% interval by bootstrap of the subjects."""
    wins = (ill[:, None] > well[None, :]) + 0.5 * (ill[:, None] == well[None, :])
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(len(ill), np.full(len(ill), 1 / len(ill)), replicates) / len(ill)
    drawn = np.einsum("ri,ij,rj->r", weights, wins, weights)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {"value": float(wins.mean()), "low": float(low), "high": float(high)}


def draw_study(study: dict[str, Any], out: Path) -> None:
    """Draw a study: a panel a finding, AUROC by severity with its interval.

    Args:
        study: what `severity_study` returned.
        out: the PNG to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from thorax.files import atomic_path

    figure = Figure(figsize=(12, 5.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 7, sharex=True, sharey=True)
    for axes, name in zip(panels.flat, study["findings"], strict=True):
        values = study["auroc"][name]
        axes.fill_between(
            study["severities"], [v["low"] for v in values], [v["high"] for v in values], color="#2b6cb0", alpha=0.2
        )
        axes.plot(study["severities"], [v["value"] for v in values], "o-", color="#2b6cb0", markersize=3)
        axes.axhline(0.5, color="0.6", linewidth=0.8, linestyle="--")
        axes.set_title(name.replace("_", " "), fontsize=9)
        axes.set_ylim(0.4, 1.02)
        axes.set_xlim(0, 1.05)
    figure.supxlabel("severity: 0.05 is barely visible, 1 is plain", fontsize=9)
    figure.supylabel("AUROC against the same subjects in health", fontsize=9)
    with atomic_path(out) as path:
        figure.savefig(path, format="png", dpi=130)
