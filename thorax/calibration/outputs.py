"""Read what a training left of a split: logits, pooled features, truth, and who the patient was."""

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from thorax.errors import InputError


@dataclass(frozen=True)
class Outputs:
    """A network's outputs on one split; row i of every array is image i.

    Attributes:
        image_id: (N,) unicode.
        patient_id: (N,) unicode.
        logits: (N, F) float64.
        features: (N, D) float32, pooled.
        truth: (N, F) float64: 1 present, 0 absent, NaN unknown.
        maps: (N, F, h, w) float16 class activation maps, or None where the split has none.
    """

    image_id: np.ndarray
    patient_id: np.ndarray
    logits: np.ndarray
    features: np.ndarray
    truth: np.ndarray
    maps: np.ndarray | None = None

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.image_id)


def read_outputs(path: Path | str, findings: int | None = None) -> Outputs:
    """Read an `outputs-<split>.npz`.

    Args:
        path: the file.
        findings: how many columns the logits must have; None takes what is there.

    Raises:
        InputError: it is missing or cut short, lacks an array, its arrays do not belong together, an image stands
            twice, or a logit is not a number. The message names the file and the row.
    """
    file = Path(path)
    try:
        with np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except FileNotFoundError as error:
        raise InputError(f"{file} does not exist.", "Train the network first.") from error
    except (OSError, ValueError, BadZipFile, EOFError) as error:
        raise InputError(f"{file} cannot be read: {error}", "It may be cut short; train again.") from error
    missing = [name for name in ("image_id", "patient_id", "logits", "features", "truth") if name not in arrays]
    if missing:
        raise InputError(f"{file} lacks {', '.join(missing)}.")
    outputs = Outputs(
        image_id=arrays["image_id"].astype(str),
        patient_id=arrays["patient_id"].astype(str),
        logits=arrays["logits"].astype(np.float64),
        features=arrays["features"].astype(np.float32),
        truth=arrays["truth"].astype(np.float64),
        maps=arrays.get("maps"),
    )
    check_outputs(outputs, str(file), findings)
    return outputs


def check_outputs(outputs: Outputs, origin: str, findings: int | None = None) -> None:
    """Refuse outputs whose arrays do not belong together; `origin` names them.

    Raises:
        InputError: see `read_outputs`.
    """
    rows = len(outputs.image_id)
    for name in ("patient_id", "logits", "features", "truth", "maps"):
        array = getattr(outputs, name)
        if array is not None and len(array) != rows:
            raise InputError(f"{origin}: {name} has {len(array)} rows and image_id {rows}.", "Train again.")
    if outputs.logits.ndim != 2 or outputs.logits.shape != outputs.truth.shape:
        raise InputError(f"{origin}: logits are {outputs.logits.shape} and truth is {outputs.truth.shape}.")
    if findings is not None and outputs.logits.shape[1] != findings:
        raise InputError(f"{origin} has {outputs.logits.shape[1]} findings where {findings} were expected.")
    ids, counts = np.unique(outputs.image_id, return_counts=True)
    if counts.size and counts.max() > 1:
        raise InputError(f"{origin}: image {str(ids[counts.argmax()])!r} stands {counts.max()} times.")
    bad = ~np.isfinite(outputs.logits)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise InputError(
            f"{origin}: the logit of image {str(outputs.image_id[row])!r}, finding {column + 1}, is "
            f"{outputs.logits[row, column]}.",
            "The network's training diverged, or the image is damaged; look at its learning curves.",
        )
    wrong = ~np.isin(outputs.truth, (0.0, 1.0)) & ~np.isnan(outputs.truth)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise InputError(
            f"{origin}: the truth of image {str(outputs.image_id[row])!r}, finding {column + 1}, is "
            f"{outputs.truth[row, column]}; it must be 1, 0 or unknown."
        )
