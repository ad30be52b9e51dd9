"""Reading radiographs from PNG, JPEG, TIFF and DICOM, and turning them into what a network reads."""

from thorax.imaging.preparation import WHOLE, Crop, Frame, Placement, Resize, frame_of, place, to_network_input
from thorax.imaging.radiograph import Radiograph
from thorax.imaging.reading import MAX_BYTES, MAX_PIXELS, SUFFIXES, claimed_pixels, read_image, read_image_bytes
from thorax.imaging.statistics import STATISTICS, statistics

__all__ = [
    "MAX_BYTES",
    "MAX_PIXELS",
    "STATISTICS",
    "SUFFIXES",
    "WHOLE",
    "Crop",
    "Frame",
    "Placement",
    "Radiograph",
    "Resize",
    "claimed_pixels",
    "frame_of",
    "place",
    "read_image",
    "read_image_bytes",
    "statistics",
    "to_network_input",
]
