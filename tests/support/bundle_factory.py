"""Make a small, honest bundle in a second: a convolutional network with fitted weights, without PyTorch.

Its first layer holds fixed filters, its last layer is a logistic regression on what they see of simple pictures: a
bright lower field for the first finding, stripes for the second, a bright disc for the third. The graph has the outputs
of every trained network, so all that follows (calibration, bundle, service) runs as it does in earnest.
"""

import json
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import onnx
import pandas as pd
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

from thorax.bundle import write_bundle
from thorax.settings import Calibration as CalibrationSettings
from thorax.settings import Evaluation as EvaluationSettings

FINDINGS = ("Effusion", "Edema", "Cardiomegaly")
SIZE = 64
SHARES = {"train": 0.5, "validation": 0.1, "calibration": 0.2, "test": 0.2}


def picture(present: np.ndarray, rng: np.random.Generator, size: int = SIZE) -> np.ndarray:
    """Return uint8 (size, size): something like a chest, with what `present` (3,) names."""
    y, x = np.mgrid[0:size, 0:size] / size
    image = 0.25 + 0.2 * np.cos((x - 0.5) * 6) + rng.normal(0, 0.05, (size, size))
    # Every strength is drawn, absent ones too, so that the task is learnable and not without error.
    strength = np.where(present, rng.uniform(0.3, 1, 3), rng.uniform(0, 0.45, 3))
    image += strength[0] * 0.45 * (y > 0.75) * (x > 0.5)
    image += strength[1] * 0.25 * (np.sin(y * size * 1.5) > 0) * (np.abs(y - 0.4) < 0.2)
    image += strength[2] * 0.4 * ((x - 0.55) ** 2 + (y - 0.6) ** 2 < 0.03)
    return (np.clip(image * rng.uniform(0.85, 1.1), 0, 1) * 255).astype(np.uint8)


def write_store(folder: Path, count: int = 320, seed: int = 0, synthetic: bool = True) -> None:
    """Write an image store in its layout."""
    rng = np.random.default_rng(seed)
    truth = (rng.random((count, 3)) < 0.35).astype(np.float32)
    images = np.stack([picture(row, rng) for row in truth])
    folder.mkdir(parents=True)
    np.save(folder / "images-00000.npy", images)
    splits = np.repeat(list(SHARES), (np.array(list(SHARES.values())) * count).astype(int))
    table = {
        "image_id": [f"i{i:04d}" for i in range(count)],
        "patient_id": [f"p{i // 2:04d}" for i in range(count)],
        "study_id": [f"s{i:04d}" for i in range(count)],
        "path": [f"images/i{i:04d}.png" for i in range(count)],
        "view": rng.choice(["PA", "AP"], count),
        "age": rng.integers(20, 95, count).astype(np.float32),
        "sex": rng.choice(["F", "M"], count),
        "split": splits,
        "shard": np.zeros(count, np.int32),
        "row": np.arange(count, dtype=np.int32),
    }
    for prefix in ("target:", "truth:"):
        table |= {f"{prefix}{name}": truth[:, j] for j, name in enumerate(FINDINGS)}
    pd.DataFrame(table).to_parquet(folder / "rows.parquet")
    boxes = {"image_id": pd.Series(dtype="string"), "finding": pd.Series(dtype="string")}
    pd.DataFrame(boxes | {k: pd.Series(dtype="float32") for k in "xywh"}).to_parquet(folder / "boxes.parquet")
    pd.DataFrame({"image_id": [], "path": [], "reason": []}).to_parquet(folder / "skipped.parquet")
    info = {
        "version": 1,
        "size": SIZE,
        "findings": list(FINDINGS),
        "count": count,
        "shards": [{"file": "images-00000.npy", "rows": count, "sha256": ""}],
        "preprocessing": {"size": SIZE, "resize": "squash", "clahe": False},
        "manifest_digest": "m",
        "split_digest": "s",
        "revision": "0" * 32,
        "source": "phantom" if synthetic else "nih",
        "synthetic": synthetic,
        "skipped": 0,
    }
    (folder / "store.json").write_text(json.dumps(info))


def _filters(rng: np.random.Generator) -> np.ndarray:
    """Return (12, 1, 7, 7): edges, blobs and noise."""
    y, x = np.mgrid[-3:4, -3:4] / 3
    named = [np.ones((7, 7)) / 49, y, x, np.sin(y * 4), np.cos(y * 5), np.exp(-(x**2 + y**2) * 3)]
    drawn = [rng.normal(0, 1, (7, 7)) for _ in range(6)]
    stack = np.stack(named + drawn)
    return (stack / np.abs(stack).sum(axis=(1, 2), keepdims=True))[:, None].astype(np.float32)


def _graph(filters: np.ndarray, offset: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> onnx.ModelProto:
    """Two convolutions, one of them 1 × 1: its maps' mean is the logit, as in every network of the project."""
    nodes = [
        helper.make_node("Conv", ["image", "filters", "offset"], ["edges"], pads=[3, 3, 3, 3]),
        helper.make_node("Relu", ["edges"], ["rectified"]),
        helper.make_node("AveragePool", ["rectified"], ["field"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Conv", ["field", "weight", "bias"], ["maps"]),
        helper.make_node("ReduceMean", ["field", "axes"], ["features"], keepdims=0),
        helper.make_node("ReduceMean", ["maps", "axes"], ["logits"], keepdims=0),
    ]
    cells = SIZE // 8
    shapes = {"logits": [3], "features": [len(offset)], "maps": [3, cells, cells]}
    values = {
        "filters": filters,
        "offset": offset.astype(np.float32),
        "weight": weight[:, :, None, None].astype(np.float32),
        "bias": bias.astype(np.float32),
        "axes": np.array([2, 3], np.int64),
    }
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, SIZE, SIZE])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape]) for name, shape in shapes.items()],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def _logistic(x: np.ndarray, y: np.ndarray, penalty: float = 3.0) -> tuple[np.ndarray, float]:
    """Return slopes and intercept of a ridge logistic regression, by Newton's method."""
    design = np.column_stack([x, np.ones(len(x))]).astype(np.float64)
    ridge = np.diag([penalty] * x.shape[1] + [0.0])
    found = np.zeros(design.shape[1])
    for _ in range(12):
        p = 1 / (1 + np.exp(-design @ found))
        slope = design.T @ (p - y) + ridge @ found
        found -= np.linalg.solve(design.T @ (design * (p * (1 - p))[:, None]) + ridge, slope)
    return found[:-1], float(found[-1])


def write_training(folder: Path, store_dir: Path, seed: int = 1, sharpness: float = 1.0) -> None:
    """Write what a training leaves behind; `sharpness` scales the logits, so that two bundles can be told apart."""
    from thorax.bundle.session import open_session
    from thorax.preprocessing.store import ImageStore

    store = ImageStore.open(store_dir)
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    filters, offset = _filters(rng), rng.normal(0, 0.02, 12)
    graph = folder / "model.onnx"

    def outputs(indices: np.ndarray) -> dict[str, np.ndarray]:
        scaled = store.images(indices)[:, None].astype(np.float32) / 255
        names = ["logits", "features", "maps"]
        return dict(zip(names, open_session(graph, 1).run(names, {"image": scaled}), strict=True))

    onnx.save(_graph(filters, offset, np.zeros((3, 12)), np.zeros(3)), graph)
    train = store.indices("train")
    features, truth = outputs(train)["features"], store.truth(train)
    centre, scale = features.mean(axis=0), features.std(axis=0) + 1e-6
    weight, bias = np.zeros((3, 12)), np.zeros(3)
    for j in range(3):
        slopes, start = _logistic((features - centre) / scale, truth[:, j])
        weight[j] = sharpness * slopes / scale
        bias[j] = sharpness * start - weight[j] @ centre
    onnx.save(_graph(filters, offset, weight, bias), graph)
    head = {"weight": weight.astype(np.float32), "bias": bias.astype(np.float32)}
    save_file(head, folder / "head.safetensors")
    save_file({"filters": filters} | head, folder / "weights.safetensors")
    network: dict[str, Any] = {
        "architecture": "custom_cnn",
        "findings": list(FINDINGS),
        "size": SIZE,
        "channels": 1,
        "feature_dim": 12,
        "map_size": SIZE // 8,
    }
    (folder / "network.json").write_text(json.dumps(network))
    rows = store.rows
    for split in SHARES:
        indices = store.indices(split)
        arrays = outputs(indices)
        arrays["maps"] = arrays["maps"].astype(np.float16)
        np.savez(
            folder / f"outputs-{split}.npz",
            image_id=rows["image_id"].to_numpy()[indices].astype("U16"),
            patient_id=rows["patient_id"].to_numpy()[indices].astype("U16"),
            truth=store.truth(indices),
            **arrays,
        )


def write_steps(folder: Path, seed: int = 1, sharpness: float = 1.0, synthetic: bool = True) -> dict[str, Path]:
    """Write the outputs of every step before the bundle; return the arguments of `write_bundle`."""
    from thorax.calibration import calibrate
    from thorax.evaluation import evaluate

    places = {name: folder / name for name in ("store", "train", "calibration", "evaluation")}
    write_store(places["store"], synthetic=synthetic)
    write_training(places["train"], places["store"], seed, sharpness)
    places["calibration"].mkdir()
    calibrate(places["train"], CalibrationSettings(), places["calibration"], places["store"])
    with patch("thorax.evaluation.report.write_report", _without_figures):
        evaluate(
            places["train"],
            places["calibration"],
            places["store"],
            EvaluationSettings(bootstrap=10),
            places["evaluation"],
            title="Tiny",
            synthetic=synthetic,
        )
    return {f"{name}_dir": place for name, place in places.items()}


def _without_figures(evaluated: object, store: object, folder: Path) -> None:
    """Write a page that took no seconds to draw."""
    (folder / "report.html").write_text("<!doctype html><title>Evaluation</title>")


def make_bundle(folder: Path, seed: int = 1, sharpness: float = 1.0, synthetic: bool = True) -> Path:
    """Write a whole bundle at `folder / "bundle"` and return its place."""
    steps = write_steps(folder / "steps", seed, sharpness, synthetic)
    return write_bundle(folder / "bundle", lineage={"git": "0" * 40, "sharpness": sharpness}, **steps)
