"""How a phantom dataset lies on the disk: as NIH or CheXpert publish theirs, or as DICOM beside NIH's tables."""

from thorax.datasets.phantom.layouts.base import SYNTHETIC, Layout, Record
from thorax.datasets.phantom.layouts.chexpert import CheXpertLayout
from thorax.datasets.phantom.layouts.dicom import DicomLayout
from thorax.datasets.phantom.layouts.nih import NihLayout
from thorax.datasets.phantom.recipe import Recipe

__all__ = ["SYNTHETIC", "Layout", "Record", "make_layout"]


def make_layout(recipe: Recipe) -> Layout:
    """Return the layout that a recipe names."""
    kinds: dict[str, type[Layout]] = {"nih": NihLayout, "chexpert": CheXpertLayout, "dicom": DicomLayout}
    return kinds[recipe.layout](recipe)
