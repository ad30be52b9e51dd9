"""Random changes of a whole batch at once, on the device that it is trained on."""

import torch
from torch import Tensor
from torch.nn import functional

from thorax import settings


def augment(
    images: Tensor,
    amounts: settings.Augment,
    generator: torch.Generator,
    boxes: Tensor | None = None,
    part: tuple[int, int, int] | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Rotate, shift, scale, mirror, brighten, stretch and roughen each image of a batch at random, and move its boxes.

    Every image draws its own values, each uniform between minus and plus the amount. What comes in from outside the
    image is black, as air is.

    Args:
        images: (N, 1, S, S), float, 0 to 1.
        amounts: how much of each change; zeros leave the batch as it is.
        generator: of the CPU, so that every device draws the same values.
        boxes: (N, F, 4), x, y, width and height as fractions of the image, NaN where there is none.
        part: first image, step and number of images of the whole batch that this is a part of, so that the parts draw
            what the whole batch would; None where it is the whole.

    Returns:
        The images, of the same shape and range, and the boxes: what encloses each box once it is turned, cut at the
        image's edges, and NaN where nothing of it is left inside.
    """
    first, step, count = part or (0, 1, len(images))
    draw = (torch.rand((count, 8), generator=generator) * 2 - 1)[first::step]
    images = _move(images, amounts, draw)
    if amounts.contrast or amounts.brightness:
        gain = _each(1 + amounts.contrast * draw[:, 4], images)
        offset = _each(amounts.brightness * draw[:, 5], images)
        middle = images.mean(dim=(1, 2, 3), keepdim=True)
        images = torch.addcmul(middle * (1 - gain) + offset, images, gain)
    if amounts.noise:
        level = amounts.noise * draw[:, 6].abs()
        roughness = torch.randn((count, *images.shape[1:]), generator=generator)[first::step]
        images = images + roughness.to(images.device) * _each(level, images)
    return images.clamp(0, 1), None if boxes is None else _move_boxes(boxes, amounts, draw)


def _move(images: Tensor, amounts: settings.Augment, draw: Tensor) -> Tensor:
    """Turn, scale, shift and mirror in one resampling."""
    if not (amounts.rotate or amounts.shift or amounts.scale or amounts.flip):
        return images
    grid = sampling_grid(_matrices(amounts, draw).to(images.device, images.dtype), images.shape[-1])
    return functional.grid_sample(images, grid, padding_mode="zeros", align_corners=False)


def sampling_grid(matrices: Tensor, side: int) -> Tensor:
    """Return what `torch.nn.functional.affine_grid` does for square images, on a CPU in a sixth of its time.

    An affine map is a sum of what the column and what the row add, so one addition a coordinate is enough where
    `affine_grid` multiplies matrices; beside a small network that is a thirtieth of the step.

    Args:
        matrices: (N, 2, 3), for coordinates from −1 to 1.
        side: of the images, px.

    Returns:
        (N, side, side, 2), for each pixel of the result the place in the image that it comes from.
    """
    middles = (2 * torch.arange(side, device=matrices.device, dtype=matrices.dtype) + 1) / side - 1
    grid = matrices.new_empty((len(matrices), side, side, 2))
    for axis in (0, 1):
        across = matrices[:, axis, 0, None] * middles
        down = matrices[:, axis, 1, None] * middles + matrices[:, axis, 2, None]
        torch.add(across[:, None, :], down[:, :, None], out=grid[..., axis])
    return grid


def _matrices(amounts: settings.Augment, draw: Tensor) -> Tensor:
    """Return (N, 2, 3): for each pixel of the result, where in the image it comes from.

    Coordinates run from −1 to 1, so a shift by a share of the image is twice that share.
    """
    angle = torch.deg2rad(amounts.rotate * draw[:, 0])
    scale = 1 / (1 + amounts.scale * draw[:, 1])
    side = torch.where(draw[:, 7] > 0, -1.0, 1.0) if amounts.flip else torch.ones(len(draw))
    cosine, sine = torch.cos(angle) * scale, torch.sin(angle) * scale
    across = torch.stack([cosine * side, -sine, 2 * amounts.shift * draw[:, 2]], dim=1)
    down = torch.stack([sine * side, cosine, 2 * amounts.shift * draw[:, 3]], dim=1)
    return torch.stack([across, down], dim=1)


def _move_boxes(boxes: Tensor, amounts: settings.Augment, draw: Tensor) -> Tensor:
    """Send the corners of each box where their pixels went, and enclose them."""
    matrices = _matrices(amounts, draw)
    onward = torch.linalg.inv(matrices[:, :, :2])
    x, y, width, height = boxes.unbind(dim=2)
    corners = torch.stack(
        [torch.stack([x + width * right, y + height * low], dim=2) for right in (0, 1) for low in (0, 1)], dim=2
    )
    moved = torch.einsum("nij,nfkj->nfki", onward, corners * 2 - 1 - matrices[:, None, None, :, 2])
    moved = ((moved + 1) / 2).clamp(0, 1)
    low, high = moved.amin(dim=2), moved.amax(dim=2)
    gone = ((high - low) <= 0).any(dim=2, keepdim=True)
    return torch.cat([low, high - low], dim=2).masked_fill(gone, torch.nan)


def _each(values: Tensor, images: Tensor) -> Tensor:
    """Shape one value an image so that it meets (N, 1, S, S)."""
    return values.to(images.device, images.dtype)[:, None, None, None]
