"""Samples of logits that stand for a trained network's."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from thorax.calibration.calibrators import sigmoid

FINDINGS = ("Effusion", "Edema", "Cardiomegaly")


@pytest.fixture
def sample() -> Callable[..., tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """A maker of (logits, truth, patients): the true logit is `slope · logit + intercept`, two images a patient."""

    def make(
        n: int = 4000, slope: float = 2.0, intercept: float = -1.0, seed: int = 0
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        random = np.random.default_rng(seed)
        logits = random.normal(0, 1.2, size=(n, 1))
        truth = (random.random((n, 1)) < sigmoid(slope * logits + intercept)).astype(float)
        return logits, truth, np.array([f"p{i // 2}" for i in range(n)])

    return make


@pytest.fixture
def train_dir(tmp_path: Path) -> Path:
    """A training's folder as the train step leaves it: focal-like logits, under-confident and shifted."""
    folder = tmp_path / "train"
    folder.mkdir()
    random = np.random.default_rng(3)
    weight = random.normal(size=(3, 16))
    for split, n in (("train", 600), ("calibration", 400), ("test", 300)):
        features = random.normal(size=(n, 16))
        score = features @ weight.T / 2
        truth = (random.random((n, 3)) < sigmoid(1.8 * score - 1.0)).astype(np.float32)
        np.savez(
            folder / f"outputs-{split}.npz",
            image_id=np.array([f"{split}{i}" for i in range(n)]),
            patient_id=np.array([f"{split}{i // 2}" for i in range(n)]),
            logits=(0.6 * score).astype(np.float32),
            features=features.astype(np.float32),
            truth=truth,
        )
    (folder / "network.json").write_text(json.dumps({"findings": list(FINDINGS), "architecture": "custom_cnn"}))
    return folder
