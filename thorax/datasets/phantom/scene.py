"""One subject's chest as layers, before it is projected into a picture; what findings change."""

from dataclasses import dataclass

import numpy as np

from thorax.datasets.phantom import organs
from thorax.datasets.phantom.anatomy import Anatomy
from thorax.datasets.phantom.bones import ribs
from thorax.datasets.phantom.grid import Grid, fractal, stream
from thorax.datasets.phantom.physics import WATER
from thorax.datasets.phantom.shoulders import clavicles, shoulders
from thorax.datasets.phantom.spine import spine
from thorax.datasets.phantom.vessels import vessels


@dataclass
class Scene:
    """Layers of one chest; every array is (size, size).

    Attributes:
        anatomy: the numbers from which the layers were drawn.
        grid: the plane.
        lung: float32, thickness of lung along each beam, units.
        field: bool, the lung fields above the diaphragm, heart included.
        lungs: bool, the lung fields without heart and mediastinum.
        heart: bool, the heart's silhouette.
        density: float32, density of the lung along each beam relative to water; findings change this.
        vessels: float32, attenuation of the pulmonary vessels; findings may fade them.
        added: float32, attenuation of everything else that a finding brings: fluid, lines, metal.
        tissue: float32, thickness of the body with its organs of water.
        bone: float32, attenuation of bones.
    """

    anatomy: Anatomy
    grid: Grid
    lung: np.ndarray
    field: np.ndarray
    lungs: np.ndarray
    heart: np.ndarray
    density: np.ndarray
    vessels: np.ndarray
    added: np.ndarray
    tissue: np.ndarray
    bone: np.ndarray

    def attenuation(self) -> np.ndarray:
        """Return the line integral of attenuation, float32 (size, size)."""
        water = self.tissue - self.lung * (1 - np.clip(self.density, 0, 1))
        return np.clip(WATER * water + self.bone + self.vessels + self.added, 0, None)

    def stream(self, name: str) -> np.random.Generator:
        """Return the random stream of one finding."""
        return stream(self.anatomy.subject.seed, name)


def build(anatomy: Anatomy, size: int) -> Scene:
    """Draw a subject's organs from its anatomy, before findings that lie in the lungs are added."""
    grid = Grid(size, anatomy.zoom, anatomy.centre, anatomy.top)
    seed = anatomy.subject.seed
    lung, field = organs.lungs(anatomy, grid)
    middle, heart = organs.heart(anatomy, grid)
    aerated = np.clip(lung - middle, 0, None)
    body = organs.torso(anatomy, grid)
    tissue = body + organs.breasts(anatomy, grid) - organs.airway(anatomy, grid) - organs.stomach(anatomy, grid)
    # Muscle, fat and skin folds: large soft shapes.
    tissue *= 1 + np.float32(0.022) * fractal(stream(seed, "tissue"), size, 4, 256, 0.62) * (body > 0)
    density = np.float32(anatomy.density) * (
        1 + np.float32(0.06) * fractal(stream(seed, "parenchyma"), size, 16, 512, 0.85)
    )
    # Blood pools at the bases of a standing subject.
    density *= 0.9 + 0.2 * np.clip((grid.v - np.float32(anatomy.apex.mean())) / 0.55, 0, 1)
    share = aerated / np.float32(0.36 * anatomy.depth)
    bone = ribs(anatomy, grid) + clavicles(anatomy, grid) + shoulders(anatomy, grid) + spine(anatomy, grid)
    return Scene(
        anatomy=anatomy,
        grid=grid,
        lung=aerated,
        field=field,
        lungs=field & (middle < 0.35 * lung),
        heart=heart,
        density=density,
        vessels=vessels(anatomy, grid, np.clip(share, 0, 1)),
        added=np.zeros((size, size), np.float32),
        tissue=tissue,
        bone=bone,
    )
