"""DICOM radiographs through pydicom: what a viewer would show, and no tag that identifies a person.

The rule is that what a viewer shows is read: tags that are empty, unknown or contradictory leave the choice to other
tags and to the picture, and what was assumed is said. PS3.3 C.7.6.3, C.8.11 (the pixel modules of CR and DX) and C.11
(modality, values of interest and presentation) of the standard.
"""

from typing import TYPE_CHECKING

import numpy as np

from thorax.errors import ImageError
from thorax.imaging import checks, intensity
from thorax.imaging.dicom import facts, grey, stored
from thorax.imaging.dicom.parsing import claimed_size, damage, looks_bare, parse
from thorax.imaging.pose import pose
from thorax.imaging.preparation import thumbnail
from thorax.imaging.radiograph import Radiograph
from thorax.settings.reading import Dicom

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["claimed_size", "damage", "looks_bare", "parse", "read", "render", "upright"]

_MOST_PIXELS = 1 << 40


def read(data: bytes, max_pixels: int, accept: Dicom | None = None) -> Radiograph:
    """Read a chest radiograph from a DICOM file.

    Modality LUT or rescale, then VOI LUT or window, then the presentation's polarity; padding is made air, and the
    picture is turned upright by its patient orientation.

    Args:
        data: the whole file.
        max_pixels: refuse more than this, before any of them is decoded.
        accept: which modalities, body parts and views are taken; the settings' defaults where it is not given.

    Raises:
        ImageError: no radiograph of a chest, raw detector data, damaged, or too large.
    """
    with damage():
        return _read(parse(data), max_pixels, accept or Dicom())


def _read(dataset: "Dataset", max_pixels: int, accept: Dicom) -> Radiograph:
    assumptions = facts.require_modality(dataset, accept)
    said = facts.shown(dataset, accept)
    if said.chest is False:
        raise ImageError(said.refused)
    view, viewed = facts.view(dataset)
    if (view or "unknown") not in accept.views:
        raise ImageError(
            f"Its view is {view or 'not stated'}, and {', '.join(accept.views)} are taken.",
            "preprocess.dicom.views says which views are taken.",
        )
    how = stored.layout(dataset, max_pixels)
    pixels, colour, sentences = _shown(dataset, how)
    pixels = upright(pixels, dataset)
    small = thumbnail(pixels)
    if not how.stated and pose(small).verdict == "inverted":
        pixels, small = 1 - pixels, 1 - small
        how.assumptions[0] = "No tag says whether black or white is zero; by the picture, white is."
    found = checks.inspect(pixels, small, colour)
    if said.refused and view != "LATERAL" and found.keys() & {"chest", "blank"}:
        raise ImageError(said.refused)
    told = (said.assumption, viewed, facts.shape(dataset))
    height, width = pixels.shape
    return Radiograph(
        pixels=pixels,
        width=width,
        height=height,
        bits=min(how.stored, 16),
        kind="DICOM",
        view=view,
        age=facts.age(dataset),
        sex=facts.sex(dataset),
        pixel_spacing=facts.spacing(dataset),
        thumbnail=small,
        checks=found,
        acquisition=facts.acquisition(dataset),
        assumptions=tuple(filter(None, (*assumptions, *told, *how.assumptions, *sentences))),
    )


def render(dataset: "Dataset") -> np.ndarray:
    """Return the pixels as a viewer shows them: float32 (H, W) in [0, 1], air dark; not yet turned upright.

    Raises:
        ImageError: the pixels are truncated or damaged, or their compression cannot be decoded.
    """
    with damage():
        return _shown(dataset, stored.layout(dataset, _MOST_PIXELS))[0]


def _shown(dataset: "Dataset", how: stored.Layout) -> tuple[np.ndarray, float, list[str]]:
    """Return the picture, how colourful it is, and what was assumed."""
    levels = stored.levels(dataset, how)
    if how.grey:
        pixels, sentences = grey.rendered(levels, dataset, how)
        return pixels, 0.0, sentences
    found, colour = stored.grey_of(levels)
    return intensity.stretch(found, float(np.iinfo(levels.dtype).max)), colour, []


def upright(pixels: np.ndarray, dataset: "Dataset") -> np.ndarray:
    """Turn a frontal picture by PatientOrientation: the patient's left on the right, the feet below."""
    along, down = facts.orientation(dataset)
    if not along:
        return pixels
    if along in ("H", "F") and down not in ("H", "F"):
        pixels, along, down = pixels.T, down, along
    if down == "H":
        pixels = pixels[::-1]
    if along == "R":
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
