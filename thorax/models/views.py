"""What a network says of an image in evaluation: its logits, features and maps, on one view of it or on several."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from thorax.models.network import Network

#: Shift across and down (share of the image), scale, and degrees of each view, in the order in which they are taken.
_VIEWS = (
    (0.04, 0.0, 1.0, 0.0),
    (-0.04, 0.0, 1.0, 0.0),
    (0.0, 0.0, 1.06, 0.0),
    (0.0, 0.0, 0.94, 0.0),
    (0.0, 0.04, 1.0, 0.0),
    (0.0, -0.04, 1.0, 0.0),
    (0.0, 0.0, 1.0, 5.0),
    (0.0, 0.0, 1.0, -5.0),
)


class Views(nn.Module):
    """Moved copies of images, the same for every image: test-time augmentation.

    Args:
        count: how many, 1 to 8.
        size: image side S, px.
    """

    grids: Tensor

    def __init__(self, count: int, size: int) -> None:
        super().__init__()
        matrices = []
        for across, down, scale, degrees in _VIEWS[:count]:
            cosine, sine = (part(math.radians(degrees)) / scale for part in (math.cos, math.sin))
            matrices.append([[cosine, -sine, 2 * across], [sine, cosine, 2 * down]])
        grids = functional.affine_grid(torch.tensor(matrices), [len(matrices), 1, size, size], align_corners=False)
        self.register_buffer("grids", grids, persistent=False)

    def forward(self, image: Tensor) -> Iterator[Tensor]:
        """Yield the views, each (N, 1, S, S), of images of that shape."""
        for grid in self.grids.unbind():
            everyone = grid[None].expand(image.shape[0], -1, -1, -1)
            yield functional.grid_sample(image, everyone, padding_mode="zeros", align_corners=False)


class Explained(NamedTuple):
    """An answer with its explanation.

    Attributes:
        logits: (N, F); the mean over the views.
        features: (N, D), likewise; the head makes the logits of them, but for what the context adds.
        maps: (N, F, h, w), class activation maps of the image itself, whose spatial mean is the logits.
        boxes: (N, F, 4), x, y, width and height as fractions of the image; None where the network has no box head.
    """

    logits: Tensor
    features: Tensor
    maps: Tensor
    boxes: Tensor | None


def explain(network: Network, image: Tensor, views: Views | None = None, context: Tensor | None = None) -> Explained:
    """Answer images, with the average over moved copies where views are given.

    The head is linear, so the mean of the logits is the head's answer to the mean of the features; the maps are those
    of the image itself, raised evenly by what the other views and the context changed of each logit.

    Args:
        network: in evaluation mode.
        image: (N, 1, S, S), 0 to 1.
        views: of that size.
        context: (N, C) or (1, C), what is known beside the image.
    """
    own = network(image, context)
    maps = network.maps(own.feature_map.float())
    if views is None and context is None:
        return Explained(own.logits, own.features, maps, own.boxes)
    features, plain = own.features, network.head(own.features)
    if views is not None:
        features = torch.stack([features, *(network(view).features for view in views(image))]).mean(dim=0)
    logits = network.head(features) + (own.logits - plain)
    return Explained(logits, features, maps + (logits - plain)[:, :, None, None], own.boxes)
