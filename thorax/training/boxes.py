"""What the box head learns: readers' boxes as targets, and the loss between boxes."""

from typing import Any

import numpy as np
import torch
from torch import Tensor


def box_targets(store: Any) -> np.ndarray | None:
    """Return the box of every finding of every stored image, or None where the store has none.

    Args:
        store: an open `ImageStore`.

    Returns:
        (images, F, 4) float32: x, y, width and height as fractions of the image, the largest where a reader drew
        several; NaN where there is none.
    """
    table = store.boxes
    if not len(table):
        return None
    rows = {str(name): row for row, name in enumerate(store.rows["image_id"])}
    columns = {name: column for column, name in enumerate(store.findings)}
    kept = table[table["image_id"].isin(rows) & table["finding"].isin(columns)]
    if not len(kept):
        return None
    targets = np.full((len(store.rows), len(columns), 4), np.nan, dtype=np.float32)
    areas = kept["w"].astype(float) * kept["h"].astype(float)
    for _, box in kept.loc[areas.sort_values(kind="stable").index].iterrows():
        corner = [float(box[name]) for name in ("x", "y", "w", "h")]
        targets[rows[str(box["image_id"])], columns[box["finding"]]] = corner
    return targets


def box_entries(predicted: Tensor, targets: Tensor, kind: str) -> tuple[Tensor, Tensor]:
    """Return the loss of each box, and where there is one.

    Args:
        predicted: (N, F, 4), x, y, width and height as fractions of the image.
        targets: (N, F, 4), NaN where there is none.
        kind: "mse": mean squared error of the four numbers. "giou": one minus the generalised intersection over union
            (Rezatofighi et al. 2019, CVPR), from 0 to 2.

    Returns:
        (N, F), 0 where there is no box; and a mask of the same shape.
    """
    there = ~torch.isnan(targets).any(dim=2)
    wanted = torch.where(there[:, :, None], targets, predicted.detach().float())
    found = predicted.float()
    each = (found - wanted).square().mean(dim=2) if kind == "mse" else 1 - generalised_iou(found, wanted)
    return torch.where(there, each, torch.zeros_like(each)), there


def generalised_iou(one: Tensor, other: Tensor) -> Tensor:
    """Return the generalised intersection over union of boxes (..., 4) in x, y, width, height; from −1 to 1."""
    low = torch.maximum(one[..., :2], other[..., :2])
    high = torch.minimum(one[..., :2] + one[..., 2:], other[..., :2] + other[..., 2:])
    both = (high - low).clamp_min(0).prod(dim=-1)
    either = one[..., 2:].prod(dim=-1) + other[..., 2:].prod(dim=-1) - both
    low = torch.minimum(one[..., :2], other[..., :2])
    high = torch.maximum(one[..., :2] + one[..., 2:], other[..., :2] + other[..., 2:])
    around = (high - low).prod(dim=-1)
    tiny = 1e-7
    return both / either.clamp_min(tiny) - (around - either) / around.clamp_min(tiny)
