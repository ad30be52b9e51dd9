"""What the network sees: a grid of augmented training images, for a person to look at before trusting a recipe."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from thorax.files import atomic_path

#: Images a side of the grid, and pixels between them.
_SIDE, _GAP = 4, 2


def draw_batch(images: Tensor, path: Path, boxes: Tensor | None = None) -> None:
    """Write the first sixteen images of a batch as a PNG, with the outlines of their boxes.

    Args:
        images: (N, 1, S, S), 0 to 1, as they go into the network.
        path: of the file.
        boxes: (N, F, 4), x, y, width and height as fractions, NaN where there is none.
    """
    shown = images[: _SIDE**2, 0].float().cpu().numpy()
    size = shown.shape[-1]
    rows = -(-len(shown) // _SIDE)
    sheet = np.full((rows * (size + _GAP) - _GAP, _SIDE * (size + _GAP) - _GAP), 0, dtype=np.uint8)
    corners = []
    for number, image in enumerate(shown):
        top, left = (place * (size + _GAP) for place in divmod(number, _SIDE))
        sheet[top : top + size, left : left + size] = np.round(image * 255).astype(np.uint8)
        corners.append((left, top))
    picture = Image.fromarray(sheet).convert("RGB")
    pen = ImageDraw.Draw(picture)
    for (left, top), regions in zip(corners, () if boxes is None else boxes.cpu().numpy(), strict=False):
        for x, y, width, height in regions[~np.isnan(regions).any(axis=1)]:
            pen.rectangle(
                (left + x * size, top + y * size, left + (x + width) * size, top + (y + height) * size),
                outline=(255, 160, 0),
            )
    with atomic_path(path) as temporary:
        picture.save(temporary, format="PNG")
