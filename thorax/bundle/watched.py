"""What monitoring needs of the network itself: an image's features in few numbers, and where findings are looked for.

`watched.safetensors` in the bundle holds both. The embedding is a principal component analysis of the pooled features
of training images, each component scaled to a variance of one there: small enough for every row of the prediction log,
and enough to tell that images look different to the network. The usual heat is the mean heatmap of each finding over
the calibration images; how well a heatmap agrees with it tells of a network that has begun to look elsewhere.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from thorax.errors import BundleError
from thorax.explain import heat, upsample

FILE = "watched.safetensors"
#: Components that are kept; fewer where the network has fewer features.
COMPONENTS = 16
#: Cells a side of the usual heat.
GRID = 16


@dataclass(frozen=True)
class Watched:
    """What is usual.

    Attributes:
        mean: (D,) of the pooled features of training images.
        basis: (D, K), K ≤ 16: carries centred features to components of variance one.
        usual: (F, 16, 16), mean heat of each finding, each scaled to a sum of squares of one.
    """

    mean: np.ndarray
    basis: np.ndarray
    usual: np.ndarray

    def embed(self, features: np.ndarray) -> np.ndarray:
        """Return pooled features (N, D) as float64 (N, K)."""
        return (np.asarray(features, dtype=np.float64) - self.mean) @ self.basis

    def agreement(self, finding: int, map_: np.ndarray) -> float:
        """Return how well one finding's map (h, w) agrees with where it is usually looked for: cosine, 0 to 1."""
        found = _cells(map_)
        return float(np.clip(np.sum(found * self.usual[finding]), 0.0, 1.0))

    def save(self, path: Path) -> None:
        """Write the file."""
        from safetensors.numpy import save_file

        save_file(
            {name: np.ascontiguousarray(value, dtype=np.float32) for name, value in vars(self).items()}, str(path)
        )

    @classmethod
    def load(cls, path: Path) -> "Watched | None":
        """Read the file; None where the bundle was made before there was one.

        Raises:
            BundleError: it is damaged.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        if not path.is_file():
            return None
        try:
            return cls(**load_file(str(path)))
        except (SafetensorError, OSError, TypeError) as error:
            raise BundleError(f"{path} cannot be read: {error}", "Register the model anew.") from error


def fit(features: np.ndarray, maps: np.ndarray) -> Watched:
    """Learn what is usual.

    Args:
        features: (M, D), pooled, of training images.
        maps: (N, F, h, w), class activation maps of images that the network was not trained on.
    """
    values = np.asarray(features, dtype=np.float64)
    mean = values.mean(axis=0)
    # The eigenvectors of the covariance, the most varied first; what does not vary in training is left out.
    variances, vectors = np.linalg.eigh(np.cov(values - mean, rowvar=False).reshape(values.shape[1], -1))
    order = np.argsort(variances)[::-1][: min(COMPONENTS, len(values) - 1)]
    order = order[variances[order] > 1e-9 * max(float(variances.max()), 1e-12)]
    basis = vectors[:, order] / np.sqrt(variances[order])
    # An eigenvector has no sign of its own; the same data must give the same bytes.
    largest = basis[np.abs(basis).argmax(axis=0), np.arange(basis.shape[1])]
    usual = np.zeros((maps.shape[1], GRID, GRID))
    for image in maps:
        usual += np.stack([_cells(map_) for map_ in image.astype(np.float32)])
    norms = np.sqrt((usual**2).sum(axis=(1, 2), keepdims=True))
    return Watched(mean, basis * np.sign(largest), usual / np.maximum(norms, 1e-12))


def learn(train_dir: Path, findings: int) -> Watched:
    """Learn what is usual from what training left: features of its training images, maps of the calibration split.

    Raises:
        InputError: the outputs are missing.
        BundleError: they hold no maps.
    """
    from thorax.calibration.outputs import read_outputs

    held_out = read_outputs(train_dir / "outputs-calibration.npz", findings)
    if held_out.maps is None:
        raise BundleError(f"{train_dir / 'outputs-calibration.npz'} lacks maps.", "Train again.")
    return fit(read_outputs(train_dir / "outputs-train.npz", findings).features, held_out.maps)


def _cells(map_: np.ndarray) -> np.ndarray:
    """Return a map's heat on the common grid, with a sum of squares of one (zeros for a constant map)."""
    cells = upsample(heat(map_), (GRID, GRID)).astype(np.float64)
    norm = float(np.sqrt((cells**2).sum()))
    return cells / norm if norm > 0 else cells
