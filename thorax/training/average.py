"""A moving average of the weights, which often answers better than the weights themselves."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from thorax.models import Network


class Average:
    """An exponential moving average of weights and statistics (Polyak and Juditsky 1992; Tarvainen and Valpola 2017).

    Early on it keeps less: the share kept after t steps is at most (1 + t) / (10 + t), so that it does not remember
    where training began.

    Args:
        network: whose weights are averaged; the average starts at them.
        decay: share that a step keeps, below 1.
    """

    def __init__(self, network: Network, decay: float) -> None:
        self._network, self._decay = network, decay
        self.weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take the network's weights in.

        Args:
            step: how many steps the run has taken before.
        """
        kept = min(self._decay, (1 + step) / (10 + step))
        for name, tensor in self._network.state_dict().items():
            if tensor.is_floating_point():
                self.weights[name].lerp_(tensor, 1 - kept)
            else:
                self.weights[name].copy_(tensor)

    def restore(self, weights: Mapping[str, Tensor]) -> None:
        """Go on from an average that was kept."""
        for name, tensor in weights.items():
            self.weights[name].copy_(tensor)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the average into the network for as long as the context lasts."""
        own = {name: tensor.clone() for name, tensor in self._network.state_dict().items()}
        self._network.load_state_dict(self.weights)
        try:
            yield
        finally:
            self._network.load_state_dict(own)
