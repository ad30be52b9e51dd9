"""The one place where settings are read: `params.yaml` into typed, frozen objects, a module a part of the system."""

from thorax.settings.base import Count, Positive, Section, Share
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
from thorax.settings.registry import Gates, Registry
from thorax.settings.serving import Serve
from thorax.settings.training import Architecture, Augment, Train
from thorax.settings.trust import Calibration, Evaluation, Select

__all__ = [
    "CRITICAL",
    "Architecture",
    "Augment",
    "Calibration",
    "Count",
    "Data",
    "Evaluation",
    "Gates",
    "Monitor",
    "Paths",
    "PhantomDefaults",
    "Pipeline",
    "Positive",
    "Preprocess",
    "Registry",
    "Section",
    "Select",
    "Serve",
    "Settings",
    "Share",
    "Split",
    "TableColumns",
    "Train",
    "UncertainPolicy",
    "Uncertainty",
    "Validation",
    "find_home",
    "load",
    "parse",
]
