"""Make a bundle from what the training steps left: copy, prove, describe, and seal with digests."""

import platform
import shutil
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from thorax.bundle import examples, measuring, reference, verify
from thorax.bundle.precision import Record, feed
from thorax.bundle.scope import Scope
from thorax.bundle.session import open_session
from thorax.bundle.watched import FILE, learn
from thorax.errors import BundleError
from thorax.files import atomic_folder, digest_folder, digest_json, read_json, write_json, write_text
from thorax.prediction import now
from thorax.preprocessing.store import ImageStore

if TYPE_CHECKING:
    from thorax.calibration import Calibration

_FROM_TRAINING = ("weights.safetensors", "model.onnx", "head.safetensors")
_FROM_CALIBRATION = ("calibration.json", "ood.safetensors")
_FROM_EVALUATION = ("evaluation.json", "report.html")
_LIBRARIES = ("thorax", "torch", "torchvision", "onnxruntime", "openvino", "numpy", "opencv-python-headless", "pillow")
_PROOFS = 4
#: Images that are averaged into one stored input where the data are of patients.
_BLEND = 16


def write_bundle(
    out: Path,
    *,
    train_dir: Path,
    calibration_dir: Path,
    evaluation_dir: Path,
    store_dir: Path,
    lineage: dict[str, Any],
) -> Path:
    """Make a bundle; nothing is left at `out` unless it is whole and proves itself.

    Args:
        out: the folder to make; replaced where it exists.
        train_dir: output of training: weights, graph, head, `outputs-*.npz`.
        calibration_dir: output of calibration.
        evaluation_dir: output of evaluation.
        store_dir: the image store that the network was trained on.
        lineage: where the model comes from: git commit, data revision, digests, run ids; JSON values.

    Raises:
        BundleError: a part is missing, or the parts do not belong together.
    """
    from thorax.calibration import Calibration
    from thorax.evaluation.card import write_card

    network = read_json(train_dir / "network.json")
    store = ImageStore.open(store_dir)
    findings = tuple(network["findings"])
    if findings != tuple(store.findings):
        raise BundleError(
            f"{train_dir} was trained on {', '.join(findings)}; the store {store_dir} holds "
            f"{', '.join(store.findings)}.",
            "Give the store that this network was trained on.",
        )
    with atomic_folder(out) as folder:
        for source, names in (
            (train_dir, _FROM_TRAINING),
            (calibration_dir, _FROM_CALIBRATION),
            (evaluation_dir, _FROM_EVALUATION),
        ):
            _copy(source, names, folder)
        calibration = Calibration.load(folder)
        if tuple(calibration.findings) != findings:
            raise BundleError(f"{calibration_dir} calibrates {', '.join(calibration.findings)}, not these findings.")
        _prove(folder, store)
        usual = learn(train_dir, len(findings))
        usual.save(folder / FILE)
        reference.write(folder / "reference.parquet", train_dir, store, calibration, usual)
        if store.info.get("synthetic"):
            examples.write(folder / "examples", train_dir, store, calibration)
        info = _describe(network, store, lineage)
        record = _measure(folder, store, calibration)
        info["precision"] = record.model_dump(mode="json")
        evaluation = read_json(folder / "evaluation.json")
        write_text(folder / "model_card.md", f"{write_card(evaluation, info)}\n{measuring.told(record)}")
        info["digests"] = digest_folder(folder, skip=frozenset({"bundle.json"}))
        write_json(folder / "bundle.json", info)
    return out


def _copy(source: Path, names: tuple[str, ...], folder: Path) -> None:
    for name in names:
        if not (source / name).is_file():
            raise BundleError(f"{source} lacks {name}.", "Run the step that makes it again.")
        shutil.copyfile(source / name, folder / name)
    for extra in source.glob("model.onnx.*") if "model.onnx" in names else ():
        shutil.copyfile(extra, folder / extra.name)  # large graphs keep their weights beside them


def _describe(network: dict[str, Any], store: ImageStore, lineage: dict[str, Any]) -> dict[str, Any]:
    versions = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "format": verify.FORMAT,
        "name": "thorax",
        "architecture": network["architecture"],
        "findings": list(network["findings"]),
        "size": int(store.size),
        "preprocessing": {"size": int(store.size)} | dict(store.info["preprocessing"]),
        "revision": str(store.info.get("revision", "")),
        "scope": Scope.of(store.rows.iloc[store.indices("train")]).model_dump(mode="json"),
        "vocabulary": store.info.get("vocabulary", {}),
        "source": str(store.info.get("source", "")),
        "synthetic": bool(store.info.get("synthetic")),
        "split_digest": str(store.info.get("split_digest", "")),
        "manifest_digest": str(store.info.get("manifest_digest", "")),
        "network": {key: value for key, value in network.items() if key not in ("findings", "head")},
        "versions": versions,
        "created": now().isoformat(timespec="seconds"),
        "lineage": lineage,
        "lineage_digest": digest_json(lineage),
    }


def _measure(folder: Path, store: ImageStore, calibration: "Calibration") -> Record:
    """Measure what a lower precision changes, on images of the calibration and test splits."""
    rows = np.concatenate([store.indices(split) for split in reference.SPLITS])
    chosen = np.sort(np.random.default_rng(0).permutation(rows)[: measuring.IMAGES])
    views = ["unknown" if pd.isna(view) else str(view) for view in store.rows["view"].iloc[chosen]]
    return measuring.measure(folder / "model.onnx", calibration, store.images(chosen), views)


def _prove(folder: Path, store: ImageStore) -> None:
    """Store a few inputs with the logits that the graph gives for them.

    Of patients no single image is stored: each input is the mean of several, which still looks like a chest to the
    network and like nobody in particular.
    """
    rows = store.indices("test")
    if not len(rows):
        raise BundleError("The store has no test images, so the bundle cannot prove itself.")
    chosen = np.random.default_rng(0).permutation(rows)
    if store.info.get("synthetic"):
        inputs = store.images(chosen[:_PROOFS])
    else:
        groups = [np.resize(np.roll(chosen, -i * _BLEND), _BLEND) for i in range(_PROOFS)]
        inputs = np.stack([store.images(group).mean(axis=0).round().astype(np.uint8) for group in groups])
    session = open_session(folder / "model.onnx", threads=1)
    logits = session.run(["logits"], feed(inputs))[0]
    if not np.isfinite(logits).all():
        raise BundleError(f"{folder / 'model.onnx'} answers with values that are not finite.")
    np.savez_compressed(folder / "proof.npz", inputs=inputs, logits=logits.astype(np.float32))
