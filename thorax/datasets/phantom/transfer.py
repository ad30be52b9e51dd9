"""Do phantoms help the real task? Training on real radiographs after phantoms, against training from scratch."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from thorax.datasets.phantom.population import cases
from thorax.datasets.phantom.recipe import make_recipe
from thorax.datasets.phantom.render import render
from thorax.datasets.phantom.subject import Subject
from thorax.errors import InputError
from thorax.findings import NIH14
from thorax.workers import ordered_map

ARCHITECTURE = "custom_cnn"

_REPLICATES = 1000


@dataclass(frozen=True)
class RealData:
    """Real radiographs as the study needs them.

    Attributes:
        images: uint8 (images, size, size).
        truth: bool (images, findings).
        patients: int64 (images,), the same number for images of the same patient.
        findings: of the columns of `truth`.
    """

    images: np.ndarray
    truth: np.ndarray
    patients: np.ndarray
    findings: tuple[str, ...]


def transfer_study(
    root: Path,
    phantoms: int = 2000,
    size: int = 64,
    epochs: int = 10,
    folds: int = 3,
    seeds: int = 3,
    min_positives: int = 60,
    workers: int = 1,
    keep: Path | None = None,
    scratch_epochs: int | None = None,
    advance: Callable[..., None] | None = None,
) -> dict[str, Any]:
    """Compare two starts on the same folds of real patients: random weights, and weights trained on phantoms.

    One network is trained on phantoms of all fourteen findings, once. Then, for each seed, patients are dealt into
    folds, and on each fold's complement the same network is trained twice with the same recipe, order and head: from
    scratch, and from the phantoms' backbone. The AUROC of each finding is taken on the fold that was left out, and
    averaged over folds.

    Args:
        root: a dataset in NIH's layout.
        phantoms: images to pretrain on.
        size: pixels, of phantoms and real images.
        epochs: of every training, on phantoms and on real images.
        folds: patient-grouped.
        seeds: repetitions, each with folds, order and random weights of its own.
        min_positives: findings with fewer real images are left out.
        workers: processes that render.
        scratch_epochs: of the training from scratch, where it shall see as many images as both trainings of the other.
        keep: where to keep the pretrained weights, for `train.pretrained: phantom`.
        advance: told of each of `trainings(folds, seeds)` when it is over.

    Returns:
        `mean` and `findings` {finding: {scratch, pretrained, difference {value, low, high}}}, the interval (95%) by
        bootstrap of patients and of seeds together; `by_seed` differences; `phantom_auroc` of the pretrained network on
        phantoms that it has not seen; images, patients, and the arguments.

    Raises:
        InputError: no dataset in NIH's layout there, or no finding with enough positives.
    """
    tell = advance or (lambda step=1: None)
    real = read_real(root, size, min_positives)
    pretrained, phantom_auroc = pretrain(phantoms, size, epochs, workers)
    if keep is not None:
        _keep(pretrained, keep)
    tell()
    sides: list[dict[str, Any]] = []
    for seed in range(seeds):
        fold_of = deal(real.patients, folds, seed)
        for fold in range(folds):
            answers = {}
            for start, weights, passes in (
                ("scratch", None, scratch_epochs or epochs),
                ("pretrained", pretrained, epochs),
            ):
                answers[start] = _train_real(real, fold_of != fold, fold_of == fold, weights, passes, seed)
                tell()
            sides.append({"seed": seed, "held": np.flatnonzero(fold_of == fold), **answers})
    return {
        **compare(real, sides, seeds),
        "phantom_auroc": phantom_auroc,
        "images": len(real.images),
        "patients": len(np.unique(real.patients)),
        "arguments": {
            "phantoms": phantoms,
            "size": size,
            "epochs": epochs,
            "scratch_epochs": scratch_epochs or epochs,
            "folds": folds,
            "seeds": seeds,
            "architecture": ARCHITECTURE,
        },
    }


def trainings(folds: int, seeds: int) -> int:
    """Return how many networks a study trains."""
    return 1 + 2 * folds * seeds


def read_real(root: Path, size: int, min_positives: int) -> RealData:
    """Read a dataset in NIH's layout with the project's own adapter and preprocessing.

    Raises:
        InputError: it cannot be read, or no finding has enough positives.
    """
    from thorax.datasets import nih
    from thorax.imaging import read_image, to_network_input

    manifest = nih.read(Path(root)).manifest
    manifest = manifest[manifest["path"] != ""]
    truth = manifest[list(NIH14)].to_numpy() == 1
    kept = np.flatnonzero((truth.sum(axis=0) >= min_positives) & ((~truth).sum(axis=0) >= min_positives))
    if not len(kept):
        raise InputError(f"No finding of {root} has {min_positives} positive images.", "Give a larger dataset.")
    pictures = [to_network_input(read_image(Path(root) / path).pixels, size) for path in manifest["path"]]
    patients = np.unique(manifest["patient_id"].to_numpy(dtype=str), return_inverse=True)[1]
    return RealData(np.stack(pictures), truth[:, kept], patients, tuple(NIH14[place] for place in kept))


def pretrain(count: int, size: int, epochs: int, workers: int) -> tuple[Any, float]:
    """Train the network on phantoms of all findings, at rates that give 1.5 findings an image.

    Returns:
        The network, and its mean AUROC on 400 other phantoms.
    """
    import torch

    from thorax.datasets.phantom.learner import answer, learn
    from thorax.models import build

    recipe = make_recipe(count=count + 400, size=size, seed=101, findings="nih14", severity=(0.25, 1.0))
    subjects = [case.subject for case in cases(recipe)]
    images = np.stack(list(ordered_map(_picture, ((subject, size) for subject in subjects), workers)))
    truth = np.array([[name in subject.findings for name in NIH14] for subject in subjects])
    torch.manual_seed(101)
    network = build(ARCHITECTURE, len(NIH14))
    _normalise(network, images[:count])
    learn(network, images[:count], _binary(truth[:count]), epochs, seed=101)
    areas = weighted_auroc(answer(network, images[count:]), truth[count:], np.ones((1, 400)))
    return network, float(np.nanmean(areas))


def _picture(subject: Subject, size: int) -> np.ndarray:
    return render(subject, size).image8


def _train_real(
    real: RealData, train: np.ndarray, test: np.ndarray, pretrained: Any, epochs: int, seed: int
) -> np.ndarray:
    """Train on some rows and return the logits of others; the head is fresh and the same for both starts."""
    import torch

    from thorax.datasets.phantom.learner import answer, learn
    from thorax.models import build

    torch.manual_seed(seed)
    network = build(ARCHITECTURE, len(real.findings))
    _normalise(network, real.images[train])
    if pretrained is not None:
        network.backbone.load_state_dict(pretrained.backbone.state_dict())
    learn(network, real.images[train], _binary(real.truth[train]), epochs, seed)
    return answer(network, real.images[test])


def _normalise(network: Any, images: np.ndarray) -> None:
    network.normalise_by(float(images.mean() / 255), float(images.std() / 255))


def _binary(truth: np.ndarray) -> Any:
    import torch

    target = torch.from_numpy(truth.astype(np.float32))
    return lambda chosen, logits: torch.nn.functional.binary_cross_entropy_with_logits(logits, target[chosen])


def _keep(network: Any, path: Path) -> None:
    from safetensors.torch import save_file

    from thorax.files import atomic_path

    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    with atomic_path(path) as temporary:
        save_file(state, temporary, {"architecture": ARCHITECTURE, "synthetic": "true"})


def deal(patients: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Deal patients into folds; return each image's fold, int64."""
    count = int(patients.max()) + 1
    order = np.random.default_rng(seed).permutation(count)
    return (order % folds)[patients]


def compare(real: RealData, sides: list[dict[str, Any]], seeds: int) -> dict[str, Any]:
    """Average the AUROC over folds and seeds, and take the interval of the difference by bootstrap.

    Args:
        real: the data.
        sides: a fold each: `seed`, `held` (rows left out), and the logits of `scratch` and of `pretrained` for them.
        seeds: how many.
    """
    rng = np.random.default_rng(0)
    people = int(real.patients.max()) + 1
    drawn = np.vstack([np.ones(people), rng.multinomial(people, np.full(people, 1 / people), _REPLICATES)])
    areas: dict[str, np.ndarray] = {}
    for start in ("scratch", "pretrained"):
        by_seed = []
        for seed in range(seeds):
            folds = [
                weighted_auroc(side[start], real.truth[side["held"]], drawn[:, real.patients[side["held"]]])
                for side in sides
                if side["seed"] == seed
            ]
            by_seed.append(np.nanmean(folds, axis=0))
        areas[start] = np.stack(by_seed)  # (seeds, 1 + replicates, findings)
    chosen = np.vstack([np.arange(seeds), rng.integers(0, seeds, (_REPLICATES, seeds))])
    spread = {
        start: np.stack([area[chosen[row], row].mean(axis=0) for row in range(_REPLICATES + 1)])
        for start, area in areas.items()
    }
    difference = areas["pretrained"][:, 0].mean(axis=1) - areas["scratch"][:, 0].mean(axis=1)
    return {
        "mean": _line(spread["scratch"].mean(axis=1), spread["pretrained"].mean(axis=1)),
        "findings": {
            name: _line(spread["scratch"][:, column], spread["pretrained"][:, column])
            for column, name in enumerate(real.findings)
        },
        "by_seed": [float(value) for value in difference],
    }


def _line(scratch: np.ndarray, pretrained: np.ndarray) -> dict[str, Any]:
    gain = pretrained - scratch
    low, high = np.quantile(gain[1:], [0.025, 0.975])
    return {
        "scratch": float(scratch[0]),
        "pretrained": float(pretrained[0]),
        "difference": {"value": float(gain[0]), "low": float(low), "high": float(high)},
    }


def weighted_auroc(scores: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the AUROC of every finding under every weighting of the images.

    Args:
        scores: (images, F); ties count by their order, so they should be rare, as those of logits are.
        truth: bool (images, F).
        weights: (W, images), 0 or above, such as how often a bootstrap drew each image.

    Returns:
        (W, F); NaN where a weighting leaves no positive or no negative.
    """
    areas = np.full((len(weights), scores.shape[1]), np.nan)
    for column in range(scores.shape[1]):
        order = np.argsort(scores[:, column], kind="stable")
        present = truth[order, column]
        drawn = weights[:, order]
        below = np.cumsum(drawn * ~present, axis=1)
        positives, negatives = (drawn * present).sum(axis=1), below[:, -1]
        wins = (drawn * present * below).sum(axis=1)
        enough = (positives > 0) & (negatives > 0)
        areas[enough, column] = wins[enough] / (positives[enough] * negatives[enough])
    return areas
