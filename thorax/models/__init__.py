"""Network architectures under one forward contract: logits, pooled features and the feature map from one pass."""

from thorax.models.network import Network, NetworkOutput
from thorax.models.registry import ARCHITECTURES, build, specification
from thorax.models.views import Explained, Views, explain

__all__ = [
    "ARCHITECTURES",
    "Explained",
    "Network",
    "NetworkOutput",
    "Views",
    "build",
    "explain",
    "specification",
]
