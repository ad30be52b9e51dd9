"""Network architectures under one forward contract: logits, pooled features and the feature map from one pass."""

from thorax.models.network import Network, NetworkOutput
from thorax.models.registry import ARCHITECTURES, build, specification

__all__ = ["ARCHITECTURES", "Network", "NetworkOutput", "build", "specification"]
