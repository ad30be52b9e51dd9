"""How far phantoms are from real radiographs, measured.

    python -m thorax.datasets.phantom.realism FOLDER [--count 400] [--size 128] [--seed 0]

FOLDER holds real frontal radiographs (PNG or JPEG). Printed as JSON: distances of grey-level histograms and of power
spectra, and how well a logistic regression on these and a small convolutional network tell phantoms from the real.
An AUROC of 0.5 would mean that they cannot.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.stats import wasserstein_distance

from thorax.errors import InputError

#: Cut off on every side before telling apart: marks, letters and collimation would give phantoms away at once.
MARGIN = 0.14


def read_folder(folder: Path, count: int, size: int, seed: int) -> np.ndarray:
    """Return up to `count` images of a folder, at random, uint8 (n, size, size).

    Raises:
        InputError: the folder holds fewer than 20 images.
    """
    paths = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in (".png", ".jpg", ".jpeg"))
    if len(paths) < 20:
        raise InputError(f"{folder} holds {len(paths)} images.", "At least 20 are needed to compare.")
    chosen = np.random.default_rng(seed).permutation(len(paths))[:count]
    images = []
    for index in chosen:
        with Image.open(paths[index]) as image:
            images.append(np.asarray(image.convert("L").resize((size, size), Image.Resampling.BOX)))
    return np.stack(images)


def draw_phantoms(count: int, size: int, seed: int) -> np.ndarray:
    """Return phantoms of the default population, rendered at twice the size and reduced, uint8 (count, size, size)."""
    from thorax.datasets.phantom.population import cases
    from thorax.datasets.phantom.recipe import Recipe
    from thorax.datasets.phantom.render import render

    pictures = (render(case.subject, 2 * size).image8 for case in cases(Recipe(count=count, seed=seed)))
    return np.stack([np.asarray(Image.fromarray(one).reduce(2)) for one in pictures])


def radial_spectrum(images: np.ndarray) -> np.ndarray:
    """Return each image's mean log10 power at each spatial frequency, float (n, size // 2), cycles per image from 0.

    A Hann window keeps the image's edges from looking like detail; the mean grey level is taken out first.
    """
    scaled = images.astype(np.float64) / 255
    size = images.shape[-1]
    window = np.hanning(size)
    power = np.abs(np.fft.rfft2((scaled - scaled.mean((1, 2), keepdims=True)) * np.outer(window, window))) ** 2
    radius = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None]) * size
    bins = np.minimum(radius.round().astype(int), size // 2)
    rings = np.bincount(bins.ravel())
    logs = np.log10(power + 1e-8).reshape(len(images), -1)
    return np.stack([np.bincount(bins.ravel(), one) / rings for one in logs])[:, : size // 2]


def grey_distance(real: np.ndarray, phantoms: np.ndarray) -> float:
    """Return the earth mover's distance between two pooled grey-level histograms, in shares of the grey scale."""
    levels = np.arange(256) / 255
    counts = [np.bincount(images.ravel(), minlength=256) for images in (real, phantoms)]
    return float(wasserstein_distance(levels, levels, *counts))


def _auroc_of_features(features: np.ndarray, truth: np.ndarray) -> float:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    return float(roc_auc_score(truth, cross_val_predict(model, features, truth, cv=5, method="decision_function")))


def _auroc_of_network(images: np.ndarray, truth: np.ndarray, seed: int, epochs: int = 6) -> float:
    """Train a network of three convolutions on two thirds of the images, standardised each; return the rest's AUROC."""
    import torch
    from sklearn.metrics import roc_auc_score
    from torch import nn

    torch.manual_seed(seed)
    scaled = torch.from_numpy(images).float()[:, None]
    scaled = (scaled - scaled.mean((2, 3), keepdim=True)) / scaled.std((2, 3), keepdim=True).clamp(min=1)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(images)))
    train, test = order[: 2 * len(order) // 3], order[2 * len(order) // 3 :]
    target = torch.from_numpy(truth.astype(np.float32))
    network = nn.Sequential(
        *(nn.Conv2d(1, 12, 5, 2, 2), nn.ReLU(), nn.Conv2d(12, 24, 3, 2, 1), nn.ReLU(), nn.Conv2d(24, 32, 3, 2, 1)),
        *(nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 1)),
    )
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(epochs):
        for batch in train[torch.randperm(len(train))].split(32):
            loss = nn.functional.binary_cross_entropy_with_logits(network(scaled[batch])[:, 0], target[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        return float(roc_auc_score(truth[test.numpy()], network(scaled[test])[:, 0].numpy()))


def measure(folder: Path, count: int = 400, size: int = 128, seed: int = 0) -> dict[str, Any]:
    """Compare phantoms with a folder of real radiographs.

    Args:
        folder: PNG or JPEG images, searched with its subfolders.
        count: images of each kind.
        size: pixels at which they are compared.
        seed: which real images, which phantoms, which folds.

    Returns:
        `grey_distance` (share of the grey scale), `grey_quantiles` and `spectrum` (log10 power) of each kind,
        `spectrum_distance` (mean absolute difference of the mean log10 power), `auroc` of three judges.
    """
    real = read_folder(folder, count, size, seed)
    phantoms = draw_phantoms(len(real), size, seed)
    spectra = [radial_spectrum(images) for images in (real, phantoms)]
    gap = spectra[0].mean(axis=0) - spectra[1].mean(axis=0)
    both, truth = np.concatenate([real, phantoms]), np.repeat([0, 1], [len(real), len(phantoms)])
    cut = round(MARGIN * size)
    inner = both[:, cut : size - cut, cut : size - cut]
    histograms = np.stack([np.bincount(one.ravel() >> 4, minlength=16) / one.size for one in inner])
    shown = [k for k in (1, 2, 4, 8, 16, 32, 48, 60) if k < size // 2]
    levels = (5, 25, 50, 75, 95)
    return {
        "images": len(real),
        "size": size,
        "grey_distance": grey_distance(real, phantoms),
        "grey_quantiles": {
            "of": list(levels),
            "real": (np.percentile(real, levels) / 255).round(3).tolist(),
            "phantom": (np.percentile(phantoms, levels) / 255).round(3).tolist(),
        },
        "spectrum_distance": float(np.abs(gap[1:]).mean()),
        "spectrum": {
            "cycles": shown,
            "real": spectra[0].mean(axis=0)[shown].round(2).tolist(),
            "phantom": spectra[1].mean(axis=0)[shown].round(2).tolist(),
        },
        "auroc": {
            "grey levels": _auroc_of_features(histograms, truth),
            "power spectrum": _auroc_of_features(radial_spectrum(inner)[:, 1:], truth),
            "small network": _auroc_of_network(inner, truth, seed),
        },
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description="Compare phantoms with real radiographs.")
    parser.add_argument("folder", type=Path)
    for name, default in (("count", 400), ("size", 128), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    sys.stdout.write(json.dumps(measure(**vars(parser.parse_args(arguments))), indent=2) + "\n")


if __name__ == "__main__":
    main()
