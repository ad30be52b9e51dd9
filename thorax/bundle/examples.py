"""A few phantoms to try the model on: one present a finding, one without any, one on which the model is unsure."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from thorax.bundle.reference import rows_of
from thorax.calibration.outputs import read_outputs
from thorax.files import write_json
from thorax.findings import SHIPPED

if TYPE_CHECKING:
    from thorax.calibration import Calibration
    from thorax.preprocessing.store import ImageStore

_POSITIVES = 3


def write(folder: Path, train_dir: Path, store: "ImageStore", calibration: "Calibration") -> None:
    """Write PNG images of the test split and `examples.json`: a list of {file, title, truth, kind}.

    Only ever called for synthetic data: no picture of a person goes into a bundle.
    """
    path = train_dir / "outputs-test.npz"
    outputs = read_outputs(path, len(store.findings))
    rows = rows_of(outputs, store, path)
    truth = store.truth(rows)
    probabilities = calibration.probabilities(outputs.logits)
    folder.mkdir()
    entries = []
    known = calibration.ood_score(outputs.features, store.images(rows)) <= calibration.ood_cutoff
    for number, (kind, title, index) in enumerate(_choose(truth, probabilities, known, calibration)):
        name = f"{number + 1}-{kind}.png"
        Image.fromarray(store.images(rows[[index]])[0]).save(folder / name)
        present = [f for f, value in zip(store.findings, truth[index], strict=True) if value == 1]
        entries.append({"file": name, "kind": kind, "title": title, "truth": present})
    write_json(folder / "examples.json", entries)


def _choose(
    truth: np.ndarray, probabilities: np.ndarray, known: np.ndarray, calibration: "Calibration"
) -> list[tuple[str, str, int]]:
    chosen: list[tuple[str, str, int]] = []
    taken: set[int] = set()

    def take(kind: str, title: str, scores: np.ndarray) -> None:
        scores = np.where(known, scores, scores - 10)  # a strange image only where there is no other
        best = next((int(i) for i in np.argsort(-scores) if i not in taken and np.isfinite(scores[i])), None)
        if best is not None:
            taken.add(best)
            chosen.append((kind, title, best))

    present = truth == 1
    alone = present.sum(axis=1) == 1
    for j, finding in enumerate(calibration.findings[:_POSITIVES]):
        take(
            "positive",
            f"Phantom with {SHIPPED.display(finding)}",
            np.where(present[:, j], probabilities[:, j] + alone, -np.inf),
        )
    clear = ~present.any(axis=1)
    take("negative", "Phantom without a finding", np.where(clear, -probabilities.max(axis=1), -np.inf))
    unsure = calibration.uncertainty(probabilities).max(axis=1)
    take("unsure", "Phantom on which the model is unsure", unsure)
    return chosen
