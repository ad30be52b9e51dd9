"""A small image store whose two findings are bright squares at known places, and a recipe that learns them."""

from pathlib import Path

import numpy as np
import pandas as pd

from thorax import settings
from thorax.files import write_json

SIZE = 32
FINDINGS = ("Effusion", "Edema")
#: Where the square of each finding lies: rows, columns.
PLACES = {"Effusion": (slice(20, 28), slice(4, 12)), "Edema": (slice(6, 14), slice(18, 26))}


def write_store(folder: Path, count: int = 160, seed: int = 0, **changes) -> Path:
    """Write a store of `count` images; `changes` replace columns of the rows by name."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    truth = (rng.random((count, 2)) < 0.4).astype(np.float32)
    images = rng.integers(40, 90, (count, SIZE, SIZE), dtype=np.uint8)
    for row in range(count):
        for column, finding in enumerate(FINDINGS):
            if truth[row, column]:
                images[row][PLACES[finding]] += 90
    splits = np.array(["train", "train", "train", "validation", "calibration", "test"])[np.arange(count) % 6]
    columns = {
        "image_id": [f"image-{row:04d}.png" for row in range(count)],
        "patient_id": [f"patient-{row // 2:04d}" for row in range(count)],
        "study_id": "1",
        "path": "",
        "view": "PA",
        "age": 50.0,
        "sex": "F",
        "split": splits,
        "shard": 0,
        "row": np.arange(count),
        "filter_no_finding": False,
    }
    for column, finding in enumerate(FINDINGS):
        columns[f"target:{finding}"] = columns[f"truth:{finding}"] = truth[:, column]
    rows = pd.DataFrame(columns)
    for name, values in changes.items():
        rows[name] = values
    np.save(folder / "images-00000.npy", images)
    rows.to_parquet(folder / "rows.parquet")
    pd.DataFrame(columns=["image_id", "finding", "x", "y", "w", "h"]).to_parquet(folder / "boxes.parquet")
    write_json(
        folder / "store.json",
        {
            "version": 1,
            "size": SIZE,
            "findings": list(FINDINGS),
            "count": count,
            "shards": [{"file": "images-00000.npy", "rows": count, "sha256": ""}],
            "preprocessing": {"size": SIZE, "resize": "squash", "clahe": False},
            "manifest_digest": "m",
            "split_digest": "s",
        },
    )
    return folder


def add_boxes(store: Path) -> Path:
    """Give every finding of the store its box."""
    rows = pd.read_parquet(store / "rows.parquet")
    boxes = []
    for finding in FINDINGS:
        down, across = PLACES[finding]
        corner = np.array([across.start, down.start, across.stop - across.start, down.stop - down.start]) / SIZE
        boxes += [(name, finding, *corner) for name in rows.loc[rows[f"truth:{finding}"] == 1, "image_id"]]
    pd.DataFrame(boxes, columns=["image_id", "finding", "x", "y", "w", "h"]).to_parquet(store / "boxes.parquet")
    return store


def quick_recipe(**changes) -> settings.Train:
    """A recipe that learns the squares in seconds; they have a place, so images are hardly moved."""
    quick = {
        "architectures": ("custom_cnn",),
        "epochs": 4,
        "batch_size": 16,
        "learning_rate": 3e-3,
        "precision": "float32",
        "device": "cpu",
        "threads": 1,
        "overrides": {},
        "augment": settings.Augment(rotate=0, shift=0.03, scale=0),
    }
    return settings.Train(**(quick | changes))
