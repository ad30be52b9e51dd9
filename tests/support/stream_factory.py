"""Streams of predictions with the columns of the log, with and without drift."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd

FINDINGS = ("Effusion", "Edema", "Cardiomegaly")


def stream(rows: int, seed: int = 0, shift: float = 0.0) -> pd.DataFrame:
    """Return predictions whose columns depend on each other as in earnest.

    Args:
        rows: how many.
        seed: of the draws.
        shift: how far, in standard deviations, what makes Effusion probable has moved; it moves brightness a little.
    """
    rng = np.random.default_rng(seed)
    latent = rng.normal(0, 1, (rows, 3))
    latent[:, 0] += shift
    frame: dict[str, np.ndarray] = {}
    for name in ("brightness", "contrast", "sharpness", "noise", "border", "entropy"):
        frame[name] = rng.gamma(3, 1, rows) + 0.3 * latent[:, 0]
    frame["view"] = rng.choice(["PA", "AP"], rows, p=[0.6, 0.4])
    frame["age"] = rng.integers(20, 90, rows).astype(float)
    frame["sex"] = rng.choice(["F", "M"], rows)
    frame["ood_score"] = rng.gamma(5, 1, rows)
    frame["ood"] = (frame["ood_score"] > 10).astype(int)
    for j, finding in enumerate(FINDINGS):
        p = 1 / (1 + np.exp(-1.5 * latent[:, j]))
        frame[f"p_{finding}"] = p
        frame[f"d_{finding}"] = (p > 0.4).astype(int)
        frame[f"c_{finding}"] = np.where(p > 0.7, "present", np.where(p < 0.3, "absent", "uncertain"))
        frame[f"u_{finding}"] = -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
        for kind in ("heat_x", "heat_y", "heat_spread", "heat_outside", "heat_agreement"):
            frame[f"{kind}_{finding}"] = rng.normal(0.5, 0.1, rows)
    return pd.DataFrame(frame)


def logged(rows: int, seed: int = 0, shift: float = 0.0, version: str = "1") -> pd.DataFrame:
    """Return the same with what a log has besides: request, time, version."""
    frame = stream(rows, seed, shift)
    head = pd.DataFrame(
        {
            "request_id": [f"r{seed}-{i}" for i in range(rows)],
            "time": pd.date_range("2026-01-01", periods=rows, freq="min", tz="UTC"),
            "model_version": version,
            "image_digest": "0",
        }
    )
    return pd.concat([head, frame], axis=1)


def embedded(frame: pd.DataFrame, seed: int = 0, size: int = 4) -> pd.DataFrame:
    """Return a stream with embeddings, all components independent of each other and of the rest."""
    values = np.random.default_rng(1000 + seed).normal(0, 1, (len(frame), size))
    return frame.assign(**{f"e_{at:02d}": values[:, at] for at in range(size)})


def reference_bundle(folder: Path, rows: int = 800, seed: int = 2, auroc: float = 0.8) -> Path:
    """Write what monitoring reads of a bundle: the reference, two images a patient, and its own evaluation."""
    folder.mkdir(parents=True, exist_ok=True)
    reference = embedded(stream(rows, seed), seed).assign(group=np.arange(rows) // 2)
    reference.to_parquet(folder / "reference.parquet")
    metrics = {finding: {"auroc": {"value": auroc, "low": auroc - 0.05, "high": auroc + 0.05}} for finding in FINDINGS}
    (folder / "evaluation.json").write_text(json.dumps({"metrics": metrics}))
    return folder


def write_log(place: Path, frame: pd.DataFrame) -> Path:
    """Write a stream of `logged` as a prediction log, added to what is there."""
    from thorax.prediction_log import PredictionLog

    PredictionLog(place, [name.removeprefix("p_") for name in frame if name.startswith("p_")]).close()
    times = frame["time"].dt.strftime("%Y-%m-%dT%H:%M:%S.%f").str[:-3] + "Z"
    with closing(sqlite3.connect(place)) as database, database:
        frame.assign(time=times).to_sql("predictions", database, index=False, if_exists="append")
    return place
