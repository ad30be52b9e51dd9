"""What every layout does: name a file, write an image, write the tables."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from thorax.datasets.phantom.population import Case
from thorax.datasets.phantom.recipe import Recipe

#: What every image says of itself, besides the word burnt into its corner.
SYNTHETIC = "SYNTHETIC: a computed phantom, not a radiograph of a person. Made by Thorax."

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Record:
    """What rendering told about a case.

    Attributes:
        boxes: finding to (x, y, w, h) as fractions of the image, for findings that cover a pixel.
        cardiothoracic_ratio: widest heart over widest inner thorax.
    """

    boxes: Mapping[str, Box]
    cardiothoracic_ratio: float


class Layout(ABC):
    """One published way to lay out a dataset.

    Attributes:
        suffix: of the image files.
        tables: paths of the label tables below the dataset's folder.
    """

    suffix: str
    tables: tuple[str, ...]

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    @abstractmethod
    def image_id(self, case: Case) -> str:
        """Return the name under which the adapters know the image."""

    @abstractmethod
    def path(self, case: Case) -> str:
        """Return the image's path below the dataset's folder, with forward slashes."""

    @abstractmethod
    def write_image(self, path: Path, case: Case, pixels: np.ndarray, image8: np.ndarray) -> None:
        """Write an image file.

        Args:
            path: where.
            case: whose.
            pixels: uint16 (size, size), 12 bit.
            image8: uint8 (size, size), the same in 8 bit.
        """

    @abstractmethod
    def published(self, case: Case) -> dict[str, float]:
        """Return what the tables say, under Thorax's names: 1, 0, −1 (uncertain), or absent where they are silent."""

    @abstractmethod
    def write_tables(self, folder: Path, rows: Iterable[tuple[Case, Record]]) -> None:
        """Write the label tables below `folder`, reading `rows` once."""

    def image_bytes(self) -> int:
        """Estimate the bytes of one image file."""
        return self.recipe.size**2
