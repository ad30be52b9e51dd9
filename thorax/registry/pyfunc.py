"""The registered model as MLflow's pyfunc: a bundle behind `mlflow.pyfunc.load_model`, with no pickle anywhere.

model = mlflow.pyfunc.load_model("models:/thorax@champion")
model.predict(pandas.DataFrame({"path": ["chest.png"]}))
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from thorax.bundle import Bundle
from thorax.errors import InputError
from thorax.imaging import Radiograph, read_image, read_image_bytes
from thorax.prediction import Prediction

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

#: Images scored at once: enough to fill the processor, few enough for any memory.
_BATCH = 16


class Model:
    """What `load_model` wraps."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Answer for each image, a row each.

        Args:
            model_input: a DataFrame with a column `path` (files) or `image` (a file's bytes, or they in base64), a
                sequence of paths, or an array of (N, H, W): uint8, or floating in [0, 1], air dark.
            params: taken for MLflow's sake; there are none.

        Returns:
            For each finding `p_` (calibrated probability), `d_` (whether it reaches the operating point), `c_` (the
            answer: present, absent or uncertain) and `u_` (uncertainty), then `ood_score`, `ood`, `refer` and
            `summary`.

        Raises:
            InputError: no such column, or an array of another shape or range.
            ImageError: a file that is no radiograph.
        """
        radiographs = _radiographs(model_input)
        rows: list[dict[str, Any]] = []
        for start in range(0, len(radiographs), _BATCH):
            batch = [make() for make in radiographs[start : start + _BATCH]]
            rows += [_row(prediction) for prediction in self.bundle.predict(batch)]
        return pd.DataFrame(rows)


def signature(findings: Sequence[str]) -> "ModelSignature":
    """Return what MLflow's pages say of the answer's columns.

    Nothing is said of the input: it comes in several forms, and MLflow would hold callers to one.
    """
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, Schema

    of_each = {"p_": "double", "d_": "boolean", "c_": "string", "u_": "double"}
    columns = {f"{prefix}{finding}": kind for finding in findings for prefix, kind in of_each.items()}
    columns |= {"ood_score": "double", "ood": "boolean", "refer": "boolean", "summary": "string"}
    return ModelSignature(outputs=Schema([ColSpec(kind, name) for name, kind in columns.items()]))


def _load_pyfunc(path: str) -> Model:
    """Load a bundle; MLflow calls this by name."""
    return Model(Bundle.load(Path(path)))


def _radiographs(given: Any) -> list[Any]:
    """Return one function an image that reads it, so that only a batch is in memory at once."""
    if isinstance(given, pd.DataFrame):
        if "path" in given.columns:
            return [_reading(path) for path in given["path"]]
        if "image" in given.columns:
            return [_reading(image) for image in given["image"]]
        raise InputError(
            f"The table has the columns {', '.join(map(str, given.columns))}.",
            "Give a column `path` (files) or `image` (a file's bytes, or they in base64).",
        )
    if isinstance(given, np.ndarray) and given.dtype.kind in "uif":
        return _arrays(given)
    if isinstance(given, (str, Path, bytes)):
        return [_reading(given)]
    if isinstance(given, Sequence):
        return [_reading(item) for item in given]
    raise InputError(f"Cannot read images from {type(given).__name__}.", "Give paths, a table, or an array (N, H, W).")


def _reading(item: Any) -> Any:
    if isinstance(item, np.ndarray):
        return _arrays(item[None])[0]
    if isinstance(item, Path) or (isinstance(item, str) and not _is_base64(item)):
        return lambda: read_image(Path(item))
    data = item if isinstance(item, bytes) else base64.b64decode(item)
    return lambda: read_image_bytes(data)


def _is_base64(text: str) -> bool:
    """Tell a file's bytes in base64 from a path: no path is this long without a dot."""
    if len(text) < 100 or "." in text:
        return False
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _arrays(given: np.ndarray) -> list[Any]:
    if given.ndim == 4 and 1 in (given.shape[1], given.shape[3]):
        given = given.reshape(given.shape[0], *(side for side in given.shape[1:] if side != 1))
    if given.ndim != 3:
        raise InputError(f"An array of images must be of shape (N, H, W); it is {given.shape}.")
    top = 255.0 if given.dtype == np.uint8 else 1.0
    if given.dtype.kind != "f" and given.dtype != np.uint8:
        raise InputError(f"An array of images must be uint8, or floating in [0, 1]; it is {given.dtype}.")
    scaled = given.astype(np.float32) / np.float32(top)
    if not np.isfinite(scaled).all() or scaled.min(initial=0.0) < 0 or scaled.max(initial=0.0) > 1:
        raise InputError("An array of floating images must lie in [0, 1].", "Divide by the largest grey level.")
    bits = 8 if given.dtype == np.uint8 else 16
    return [
        lambda pixels=pixels: Radiograph(
            pixels=pixels, width=pixels.shape[1], height=pixels.shape[0], bits=bits, kind="PNG"
        )
        for pixels in scaled
    ]


def _row(prediction: Prediction) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for answer in prediction.findings:
        row |= {
            f"p_{answer.finding}": answer.probability,
            f"d_{answer.finding}": answer.decision,
            f"c_{answer.finding}": answer.answer,
            f"u_{answer.finding}": answer.uncertainty,
        }
    novelty = prediction.novelty
    return row | {
        "ood_score": novelty.score,
        "ood": novelty.out,
        "refer": prediction.refer,
        "summary": prediction.summary,
    }
