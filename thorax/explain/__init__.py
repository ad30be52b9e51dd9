"""Heatmaps in closed form, overlays, boxes, gradient methods for comparison, and measures of faithfulness.

What is imported here is light (NumPy, OpenCV, Pillow): serving uses it. `thorax.explain.gradients` needs PyTorch.
"""

from thorax.explain.maps import box_from_map, class_activation_maps, heat, map_statistics, upsample
from thorax.explain.overlay import overlay, overlay_pixels, overlay_png

__all__ = [
    "box_from_map",
    "class_activation_maps",
    "heat",
    "map_statistics",
    "overlay",
    "overlay_pixels",
    "overlay_png",
    "upsample",
]
