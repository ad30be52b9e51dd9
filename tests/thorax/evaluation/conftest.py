"""A trained, calibrated network and its store, made by hand in the pipeline's own layout."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from graph_factory import write_graph
from safetensors.numpy import save_file

from thorax.calibration import calibrate
from thorax.calibration.calibrators import sigmoid
from thorax.settings import Calibration

FINDINGS = ("Effusion", "Edema", "Cardiomegaly")
SIDE = 64


class Folders(NamedTuple):
    """What the steps before evaluate leave."""

    train: Path
    calibration: Path
    store: Path


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """Three findings on 240 test images of 120 patients; the maps peak at the boxes of those who have a finding."""
    return make_folders(tmp_path)


@pytest.fixture(scope="session")
def maker() -> Callable[..., Folders]:
    """The same with arguments."""
    return make_folders


def make_folders(root: Path, n: int = 240, seed: int = 5, no_finding: bool = False) -> Folders:
    folders = Folders(root / "train", root / "calibration", root / "store")
    folders.train.mkdir(parents=True)
    random = np.random.default_rng(seed)
    weight = random.normal(size=(3, 16))
    arrays: dict[str, dict[str, np.ndarray]] = {}
    for split, count in (("train", 400), ("calibration", 300), ("test", n)):
        features = random.normal(size=(count, 16))
        score = features @ weight.T / 2
        truth = (random.random((count, 3)) < sigmoid(1.8 * score - 1.0)).astype(np.float32)
        maps = random.normal(0, 0.1, size=(count, 3, 6, 6))
        maps[:, :, 2, 3] += 3 * truth
        maps += (0.6 * score - maps.mean(axis=(2, 3)))[:, :, None, None]
        arrays[split] = {
            "image_id": np.array([f"{split}{i}.png" for i in range(count)]),
            "patient_id": np.array([f"{split}{i // 2}" for i in range(count)]),
            "logits": (0.6 * score).astype(np.float32),
            "features": features.astype(np.float32),
            "truth": truth,
            "maps": maps.astype(np.float16),
        }
        np.savez(folders.train / f"outputs-{split}.npz", **arrays[split])
    network = {
        "findings": list(FINDINGS),
        "architecture": "custom_cnn",
        "parameters": 1234,
        "seconds": 3.0,
        "dropout": 0.3,
    }
    (folders.train / "network.json").write_text(json.dumps(network))
    save_file(
        {"weight": (0.3 * weight).astype(np.float32), "bias": np.zeros(3, dtype=np.float32)},
        str(folders.train / "head.safetensors"),
    )
    calibrate(folders.train, Calibration(), folders.calibration)
    write_graph(folders.train / "model.onnx")
    _write_store(folders.store, arrays["test"], random, no_finding)
    return folders


def _write_store(store: Path, test: dict[str, np.ndarray], random: np.random.Generator, no_finding: bool) -> None:
    store.mkdir()
    n = len(test["image_id"])
    order = random.permutation(n)  # the store need not be in the network's order
    np.save(store / "images-00000.npy", random.integers(0, 255, (n, SIDE, SIDE), dtype=np.uint8))
    rows = pd.DataFrame(
        {
            "image_id": test["image_id"][order],
            "patient_id": test["patient_id"][order],
            "view": np.where(np.arange(n) % 3 == 0, "AP", "PA"),
            "age": np.linspace(20, 90, n, dtype=np.float32),
            "sex": np.where(np.arange(n) % 2 == 0, "F", "M"),
            "split": "test",
            "shard": 0,
            "row": np.arange(n),
            "filter_no_finding": no_finding & (test["truth"][order].sum(axis=1) == 0),
        }
    )
    rows.loc[:1, "view"] = "LATERAL"
    for column, finding in enumerate(FINDINGS):
        rows[f"truth:{finding}"] = test["truth"][order, column]
    rows.to_parquet(store / "rows.parquet")
    boxes = [
        (name, finding, 0.45, 0.3, 0.25, 0.25)
        for row, name in enumerate(test["image_id"])
        for column, finding in enumerate(FINDINGS)
        if test["truth"][row, column] == 1
    ]
    pd.DataFrame(boxes, columns=["image_id", "finding", "x", "y", "w", "h"]).to_parquet(store / "boxes.parquet")
    info = {
        "version": 1,
        "size": SIDE,
        "findings": list(FINDINGS),
        "count": n,
        "shards": [{"file": "images-00000.npy", "rows": n, "sha256": ""}],
        "source": "phantom",
        "synthetic": True,
        "revision": "abc.dir",
    }
    (store / "store.json").write_text(json.dumps(info))
