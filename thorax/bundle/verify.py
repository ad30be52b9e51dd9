"""Whether a bundle is whole: every file present with the digest it was written with, and the graph proving itself."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from thorax.errors import BundleError, InputError
from thorax.files import digest_file, digest_json, read_json

FORMAT = 1
#: Files without which a folder is no bundle; others are covered by the digests in `bundle.json`.
REQUIRED = (
    "weights.safetensors",
    "model.onnx",
    "head.safetensors",
    "calibration.json",
    "ood.safetensors",
    "reference.parquet",
    "evaluation.json",
    "report.html",
    "model_card.md",
    "proof.npz",
)
#: How far a logit may lie from the stored one: other processors add in another order.
TOLERANCE = 1e-4
#: Figures that say how long something took.
CLOCKED = ("seconds", "images_per_second")
#: Keys of `bundle.json`, and files, that do not make a bundle another one.
_NOT_CONTENT = frozenset(
    {
        *("created", "lineage", "lineage_digest", "versions", "precision", "digests"),
        *("weights.safetensors", "head.safetensors", "evaluation.json", "report.html", "model_card.md"),
    }
)
_MEND = "Fetch the bundle again, or register the model anew."


def read_info(folder: Path) -> dict[str, Any]:
    """Read `bundle.json`.

    Raises:
        BundleError: it is missing, damaged, or of another format.
    """
    if not folder.is_dir():
        raise BundleError(f"There is no bundle at {folder}.", "Name the folder that holds bundle.json.")
    try:
        info = read_json(folder / "bundle.json")
    except InputError as error:
        raise BundleError(f"{folder} is not a bundle: {error.message}", _MEND) from error
    if not isinstance(info, dict) or not isinstance(info.get("digests"), dict):
        raise BundleError(f"{folder / 'bundle.json'} does not describe a bundle.", _MEND)
    if info.get("format") != FORMAT:
        raise BundleError(
            f"{folder / 'bundle.json'} has format {info.get('format')!r}; this version of Thorax reads {FORMAT}.",
            "Use the version of Thorax that wrote it, or register the model anew.",
        )
    return info


def identity(info: dict[str, Any]) -> str:
    """Return a bundle's own SHA-256 (hex): over its description, which holds the digest of every file."""
    return digest_json(info)


def content(folder: Path, info: dict[str, Any]) -> str:
    """Return the SHA-256 (hex) of what a bundle is: what it answers, from which data, and how it was evaluated.

    When it was made, by which run and how fast it was bear on it no more than the pages that show the same figures.
    The graph stands for the weights: the header of a weight file may list the same tensors in another order.
    """
    digests = {name: digest for name, digest in info["digests"].items() if name not in _NOT_CONTENT}
    made = {key: value for key, value in info.items() if key not in _NOT_CONTENT}
    return digest_json([_unclocked(made), digests, _unclocked(read_json(folder / "evaluation.json"))])


def _unclocked(tree: Any) -> Any:
    """Return a JSON tree without the figures that no two runs have in common."""
    if isinstance(tree, dict):
        return {key: _unclocked(value) for key, value in tree.items() if key not in CLOCKED}
    return [_unclocked(item) for item in tree] if isinstance(tree, list) else tree


def verify_files(folder: Path, digests: dict[str, str]) -> None:
    """Compare every file with its digest.

    Raises:
        BundleError: names the first file that is missing or changed.
    """
    for name in (*REQUIRED, *sorted(set(digests) - set(REQUIRED))):
        if name not in digests:
            raise BundleError(f"bundle.json in {folder} has no digest of {name}.", _MEND)
        if not (folder / name).is_file():
            raise BundleError(f"The bundle {folder} lacks {name}.", _MEND)
        if digest_file(folder / name) != digests[name]:
            raise BundleError(f"{folder / name} is not the file that was registered: its digest differs.", _MEND)


def verify_proof(folder: Path, run: Callable[[np.ndarray], np.ndarray], allowed: float | None = None) -> float:
    """Run the stored inputs and compare with the stored logits, which are of float32.

    Args:
        folder: of the bundle.
        run: takes uint8 inputs (N, S, S), gives logits (N, F).
        allowed: how far a logit may lie off, where the graph runs in a lower precision.

    Returns:
        The largest difference.

    Raises:
        BundleError: the graph does not give what it gave when it was written.
    """
    path = folder / "proof.npz"
    try:
        with np.load(path, allow_pickle=False) as proof:
            inputs, expected = proof["inputs"], proof["logits"]
    except (OSError, ValueError, KeyError) as error:
        raise BundleError(f"{path} cannot be read: {error}.", _MEND) from error
    found = run(inputs)
    if found.shape != expected.shape:
        raise BundleError(f"{folder} answers with shape {found.shape}; it was {expected.shape} when written.", _MEND)
    worst = float(np.abs(found - expected).max(initial=0.0))
    most = TOLERANCE * max(1.0, float(np.abs(expected).max(initial=0.0))) if allowed is None else allowed
    if not worst <= most:  # also catches not-a-number
        raise BundleError(f"{folder} does not prove itself: a stored logit is reproduced {worst:.2g} off.", _MEND)
    return worst
