"""What a model answered on its test patients, kept with its version, so that two models can be compared later.

A stored metric of an old split is no comparison. This is: the same images, of patients that neither model has learnt
from. Images and patients appear as digests alone.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from thorax.errors import InputError
from thorax.files import atomic_path
from thorax.registry import paired
from thorax.settings import Evaluation

if TYPE_CHECKING:
    from collections.abc import Callable

FILE = "evidence.npz"
#: Splits whose patients a model has learnt from, in its weights, its epochs or its calibrators.
_LEARNT = ("train", "validation", "calibration")


@dataclass(frozen=True)
class Evidence:
    """A model's answers on its test split.

    Attributes:
        findings: F names.
        images: (N,) digests of image ids.
        patients: (N,) digests of patient ids.
        probabilities: (N, F) calibrated, float32.
        truth: (N, F) float32: 1 present, 0 absent, NaN unknown.
        learnt: (M,) digests of the patients that the model has learnt from.
        groups: attribute (sex, age, view) → the group (N,) of each image, as far as it is known.
    """

    findings: tuple[str, ...]
    images: np.ndarray
    patients: np.ndarray
    probabilities: np.ndarray
    truth: np.ndarray
    learnt: np.ndarray
    groups: Mapping[str, np.ndarray] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write it as npz without pickle."""
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            arrays: dict[str, Any] = {name: getattr(self, name) for name in _ARRAYS}
            arrays |= {_GROUP + name: values for name, values in self.groups.items()}
            np.savez_compressed(stream, findings=np.array(self.findings), **arrays)

    @classmethod
    def load(cls, path: Path) -> "Evidence":
        """Read it.

        Raises:
            InputError: it is missing or damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                groups = {n.removeprefix(_GROUP): arrays[n] for n in arrays.files if n.startswith(_GROUP)}
                kept = {name: arrays[name] for name in _ARRAYS}
                return cls(tuple(arrays["findings"].tolist()), **kept, groups=groups)
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise InputError(f"The answers kept at {path} cannot be read: {error}.") from error


_ARRAYS, _GROUP = ("images", "patients", "probabilities", "truth", "learnt"), "group:"


def collect(network: Path, calibration: Path, store: Path) -> Evidence:
    """Gather a model's evidence from what the training steps left.

    Args:
        network: output of training, with `outputs-test.npz`.
        calibration: output of calibration.
        store: the image store, which says who was in which split.

    Raises:
        InputError: a part is missing or damaged.
    """
    from thorax.calibration import Calibration
    from thorax.calibration.outputs import read_outputs
    from thorax.evaluation.subgroups import groups_of
    from thorax.preprocessing.store import ImageStore

    calibrators = Calibration.load(calibration)
    outputs = read_outputs(network / "outputs-test.npz", len(calibrators.findings))
    rows = ImageStore.open(store).rows
    tested = rows.set_index(rows["image_id"].astype(str)).reindex(outputs.image_id.astype(str))
    return Evidence(
        findings=tuple(calibrators.findings),
        images=digests(outputs.image_id),
        patients=digests(outputs.patient_id),
        probabilities=calibrators.probabilities(outputs.logits).astype(np.float32),
        truth=outputs.truth.astype(np.float32),
        learnt=np.unique(digests(rows["patient_id"][rows["split"].isin(_LEARNT)].astype(str))),
        # As text of fixed length: arrays of Python objects could only be kept by pickle.
        groups={name: np.asarray(values, dtype=np.str_) for name, values in groups_of(tested).items()},
    )


def digests(names: Iterable[str]) -> np.ndarray:
    """Return (N,) short digests of ids, as bytes."""
    return np.array([hashlib.sha256(str(name).encode()).hexdigest()[:24].encode() for name in names], dtype="S24")


def weigh(
    challenger: Evidence,
    champion: Evidence,
    settings: Evaluation,
    rescore: "Callable[[np.ndarray], np.ndarray] | None" = None,
) -> paired.Comparison | str:
    """Compare two models on the challenger's test images, or say why they cannot be compared.

    Args:
        challenger: the new model's evidence.
        champion: the present one's.
        settings: replicates, confidence and seed of the bootstrap.
        rescore: scores images, given by their digests (n,), with the champion: probabilities (n, F of the champion);
            without it only images in both test splits are compared.
    """
    missing = [name for name in champion.findings if name not in challenger.findings]
    if missing:
        return f"the champion answers for {', '.join(missing)}, which this model does not: they cannot be compared"
    eligible = ~np.isin(challenger.patients, champion.learnt)
    if not eligible.any():
        return "the champion has learnt from every patient of this test split: they cannot be compared"
    place = {image: at for at, image in enumerate(champion.images.tolist())}
    positions = np.flatnonzero(eligible)
    stored = np.array([place.get(image, -1) for image in challenger.images[positions].tolist()])
    scores = np.full((len(positions), len(champion.findings)), np.nan)
    scores[stored >= 0] = champion.probabilities[stored[stored >= 0]]
    if rescore is not None and (stored < 0).any():
        scores[stored < 0] = rescore(challenger.images[positions[stored < 0]])
    usable = np.isfinite(scores).all(axis=1)
    if not usable.any():
        return "the two test splits have no image in common: they cannot be compared"
    columns = [challenger.findings.index(name) for name in champion.findings]
    chosen = positions[usable]
    try:
        return paired.compare(
            challenger.truth[chosen][:, columns],
            challenger.probabilities[chosen][:, columns],
            scores[usable],
            challenger.patients[chosen],
            champion.findings,
            replicates=settings.bootstrap,
            confidence=settings.confidence,
            seed=settings.seed,
        )
    except InputError as error:
        return f"too few test images in common to compare with the champion: {error.message}"
