"""Which DICOM images are taken for chest radiographs."""

from typing import Literal

from thorax.settings.base import Section


class Dicom(Section):
    """Which DICOM images are read; tags that are empty or unknown leave the choice to the picture.

    `body_parts` are names of `thorax/imaging/dicom/body_parts.json`, each with its words in many languages; any other
    entry is taken as a word itself.
    """

    modalities: tuple[str, ...] = ("CR", "DX", "DR", "RG", "RF", "XA", "OT", "SC", "XR")
    body_parts: tuple[str, ...] = ("chest", "lung", "heart", "ribs", "thoracic spine", "whole body")
    views: tuple[Literal["PA", "AP", "LATERAL", "unknown"], ...] = ("PA", "AP", "LATERAL", "unknown")
    for_processing: Literal["refuse", "read"] = "refuse"
