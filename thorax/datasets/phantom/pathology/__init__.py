"""Findings: how each changes the anatomy before it is projected, and where."""

from collections.abc import Callable, Mapping

import numpy as np

from thorax.datasets.phantom.anatomy import Anatomy
from thorax.datasets.phantom.pathology import airspace, devices, diffuse, focal, pleura
from thorax.datasets.phantom.scene import Scene

#: Findings that change shapes before the organs are drawn: (anatomy, severity).
SHAPES: Mapping[str, Callable[[Anatomy, float], None]] = {
    "Emphysema": diffuse.hyperinflate,
    "Fibrosis": diffuse.shrink_lungs,
    "Atelectasis": airspace.lose_volume,
    "Pneumothorax": pleura.shift_for_pneumothorax,
    "Edema": airspace.redistribute_flow,
    "Cardiomegaly": diffuse.enlarge_heart,
}

#: What each finding does to the drawn chest: (scene, severity, stream) -> where, bool (size, size).
CHANGES: Mapping[str, Callable[[Scene, float, np.random.Generator], np.ndarray]] = {
    "Emphysema": diffuse.emphysema,
    "Fibrosis": diffuse.fibrosis,
    "Edema": airspace.edema,
    "Infiltration": airspace.infiltration,
    "Pneumonia": airspace.pneumonia,
    "Consolidation": airspace.consolidation,
    "Atelectasis": airspace.atelectasis,
    "Cardiomegaly": diffuse.cardiomegaly,
    "Hernia": focal.hernia,
    "Nodule": focal.nodule,
    "Mass": focal.mass,
    "Pneumothorax": pleura.pneumothorax,
    "Pleural_Thickening": pleura.pleural_thickening,
    "Effusion": pleura.effusion,
    "Support_Devices": devices.support_devices,
}
