"""The one place where settings are read: `params.yaml` into typed, frozen objects, a module a part of the system."""

from thorax.settings.base import Count, Positive, Section, Share
from thorax.settings.cluster import Cluster, Resources
from thorax.settings.data import (
    CRITICAL,
    Data,
    PhantomDefaults,
    Preprocess,
    Split,
    TableColumns,
    UncertainPolicy,
    Uncertainty,
    Validation,
)
from thorax.settings.loading import Paths, Pipeline, Settings, find_home, load, parse
from thorax.settings.monitoring import Monitor
from thorax.settings.network import Network
from thorax.settings.presets import list_presets
from thorax.settings.reading import Dicom
from thorax.settings.registry import Gates, Registry
from thorax.settings.retraining import Retrain
from thorax.settings.serving import Serve
from thorax.settings.training import ARCHITECTURES, Architecture, Augment, Boxes, Train
from thorax.settings.trust import Calibration, Evaluation, Select
from thorax.settings.tuning import Range, Tune, with_values

__all__ = [
    "ARCHITECTURES",
    "CRITICAL",
    "Architecture",
    "Augment",
    "Boxes",
    "Calibration",
    "Cluster",
    "Count",
    "Data",
    "Dicom",
    "Evaluation",
    "Gates",
    "Monitor",
    "Network",
    "Paths",
    "PhantomDefaults",
    "Pipeline",
    "Positive",
    "Preprocess",
    "Range",
    "Registry",
    "Resources",
    "Retrain",
    "Section",
    "Select",
    "Serve",
    "Settings",
    "Share",
    "Split",
    "TableColumns",
    "Train",
    "Tune",
    "UncertainPolicy",
    "Uncertainty",
    "Validation",
    "find_home",
    "list_presets",
    "load",
    "parse",
    "with_values",
]
