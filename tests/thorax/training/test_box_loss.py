"""Box losses agree with torchvision and with hand-worked cases; targets are the readers' boxes."""

import numpy as np
import pandas as pd
import pytest
import torch
from trainable_store import write_store

from thorax.preprocessing.store import ImageStore
from thorax.training.boxes import box_entries, box_targets, generalised_iou


def some_boxes(seed: int) -> torch.Tensor:
    return torch.rand((6, 3, 4), generator=torch.Generator().manual_seed(seed)) * 0.5


@pytest.mark.slow
def test_generalised_iou_is_torchvisions():
    from torchvision.ops import generalized_box_iou_loss

    one, other = (torch.cat([b[..., :2], b[..., :2] + b[..., 2:]], dim=-1) for b in (some_boxes(0), some_boxes(1)))
    expected = generalized_box_iou_loss(one, other)
    found, mask = box_entries(some_boxes(0), some_boxes(1), "giou")
    assert torch.allclose(found, expected, atol=1e-5)
    assert mask.all()


def test_generalised_iou_worked_by_hand():
    # Two squares of side 1, a gap of 1 between them: no overlap, union 2, enclosed by 3: 0 − 1/3.
    one, other = torch.tensor([0.0, 0, 1, 1]), torch.tensor([2.0, 0, 1, 1])
    assert generalised_iou(one, other).item() == pytest.approx(-1 / 3, abs=1e-6)
    assert generalised_iou(one, one).item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("kind", ["mse", "giou"])
def test_findings_without_a_box_count_for_nothing(kind):
    targets = some_boxes(1)
    targets[2:] = torch.nan
    predicted = some_boxes(0).requires_grad_()
    each, mask = box_entries(predicted, targets, kind)
    each.sum().backward()
    assert mask.sum() == 6
    assert (each[2:] == 0).all()
    assert (predicted.grad[2:] == 0).all()
    assert torch.isfinite(predicted.grad).all()
    assert (predicted.grad[:2] != 0).any()


def test_mse_is_the_mean_squared_error_of_sklearn():
    from sklearn.metrics import mean_squared_error

    each, _ = box_entries(some_boxes(0), some_boxes(1), "mse")
    expected = mean_squared_error(some_boxes(1).reshape(-1, 4).numpy(), some_boxes(0).reshape(-1, 4).numpy())
    assert each.mean().item() == pytest.approx(expected, rel=1e-5)


def test_targets_are_the_largest_box_of_each_finding(tmp_path):
    store = write_store(tmp_path / "store")
    columns = ["image_id", "finding", "x", "y", "w", "h"]
    rows = [
        ("image-0003.png", "Edema", 0.1, 0.1, 0.2, 0.2),
        ("image-0003.png", "Edema", 0.5, 0.5, 0.1, 0.1),
        ("image-0003.png", "Nodule", 0.5, 0.5, 0.1, 0.1),
        ("elsewhere.png", "Edema", 0.5, 0.5, 0.1, 0.1),
    ]
    pd.DataFrame(rows, columns=columns).to_parquet(store / "boxes.parquet")
    targets = box_targets(ImageStore.open(store))
    assert targets[3, 1] == pytest.approx([0.1, 0.1, 0.2, 0.2])
    assert np.isnan(np.delete(targets.reshape(-1, 4), 3 * 2 + 1, axis=0)).all()


def test_a_store_without_boxes_has_no_targets(store_folder):
    assert box_targets(ImageStore.open(store_folder)) is None
