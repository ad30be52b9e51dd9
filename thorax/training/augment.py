"""Random changes of a whole batch at once, on the device that it is trained on."""

import torch
from torch import Tensor
from torch.nn import functional

from thorax import settings


def augment(images: Tensor, amounts: settings.Augment, generator: torch.Generator) -> Tensor:
    """Rotate, shift, scale, mirror, brighten, stretch and roughen each image of a batch at random.

    Every image draws its own values, each uniform between minus and plus the amount. What comes in from outside the
    image is black, as air is.

    Args:
        images: (N, 1, S, S), float, 0 to 1.
        amounts: how much of each change; zeros leave the batch as it is.
        generator: of the CPU, so that every device draws the same values.

    Returns:
        (N, 1, S, S), float, 0 to 1.
    """
    draw = torch.rand((len(images), 8), generator=generator) * 2 - 1
    images = _move(images, amounts, draw)
    if amounts.contrast or amounts.brightness:
        gain, offset = 1 + amounts.contrast * draw[:, 4], amounts.brightness * draw[:, 5]
        middle = images.mean(dim=(1, 2, 3), keepdim=True)
        images = (images - middle) * _each(gain, images) + middle + _each(offset, images)
    if amounts.noise:
        level = amounts.noise * draw[:, 6].abs()
        roughness = torch.randn(images.shape, generator=generator)
        images = images + roughness.to(images.device) * _each(level, images)
    return images.clamp(0, 1)


def _move(images: Tensor, amounts: settings.Augment, draw: Tensor) -> Tensor:
    """Turn, scale, shift and mirror in one resampling."""
    if not (amounts.rotate or amounts.shift or amounts.scale or amounts.flip):
        return images
    angle = torch.deg2rad(amounts.rotate * draw[:, 0])
    scale = 1 / (1 + amounts.scale * draw[:, 1])
    side = torch.where(draw[:, 7] > 0, -1.0, 1.0) if amounts.flip else torch.ones(len(draw))
    cosine, sine = torch.cos(angle) * scale, torch.sin(angle) * scale
    # Rows of the matrices that say, for each pixel of the result, where in the image it comes from;
    # coordinates run from −1 to 1, so a shift by a share of the image is twice that share.
    across = torch.stack([cosine * side, -sine, 2 * amounts.shift * draw[:, 2]], dim=1)
    down = torch.stack([sine * side, cosine, 2 * amounts.shift * draw[:, 3]], dim=1)
    matrices = torch.stack([across, down], dim=1).to(images.device, images.dtype)
    grid = functional.affine_grid(matrices, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="zeros", align_corners=False)


def _each(values: Tensor, images: Tensor) -> Tensor:
    """Shape one value an image so that it meets (N, 1, S, S)."""
    return values.to(images.device, images.dtype)[:, None, None, None]
