"""Augmentation moves pixels where the settings say, and SciPy agrees."""

import numpy as np
import pytest
import torch

from thorax.settings import Augment
from thorax.training.augment import augment, sampling_grid

NOTHING = Augment(rotate=0, shift=0, scale=0, brightness=0, contrast=0, noise=0, flip=False)


def images(count: int = 8, size: int = 24) -> torch.Tensor:
    return torch.rand((count, 1, size, size), generator=torch.Generator().manual_seed(1))


def run(batch: torch.Tensor, seed: int = 0, **amounts) -> torch.Tensor:
    moved, boxes = augment(batch, NOTHING.model_copy(update=amounts), torch.Generator().manual_seed(seed))
    assert boxes is None
    return moved


def test_no_amount_leaves_the_batch_as_it_is():
    batch = images()
    assert torch.equal(run(batch), batch)


def test_the_same_seed_gives_the_same_batch_and_another_seed_another():
    batch, amounts = images(), {"rotate": 10.0, "brightness": 0.1, "noise": 0.1, "flip": True}
    assert torch.equal(run(batch, 3, **amounts), run(batch, 3, **amounts))
    assert not torch.equal(run(batch, 3, **amounts), run(batch, 4, **amounts))


def test_each_image_of_a_batch_draws_its_own_values():
    batch = images(1).repeat(2, 1, 1, 1)
    moved = run(batch, rotate=20.0)
    assert not torch.equal(moved[0], moved[1])


def test_rotation_is_what_scipy_rotates():
    from scipy.ndimage import rotate

    draw = torch.rand((1, 8), generator=torch.Generator().manual_seed(0)) * 2 - 1
    yy, xx = np.mgrid[:33, :33]
    blob = np.exp(-((yy - 12) ** 2 + (xx - 20) ** 2) / 30).astype(np.float32)
    moved = run(torch.from_numpy(blob)[None, None], rotate=30.0)[0, 0].numpy()
    expected = rotate(blob, 30 * draw[0, 0].item(), reshape=False, order=1)
    assert np.abs(moved - expected).max() < 0.02


def test_shift_is_at_most_the_share_of_the_image_and_fills_with_air():
    size = 40
    batch = torch.ones((64, 1, size, size))
    moved = run(batch, shift=0.1)
    lost = (moved == 0).float().mean(dim=(1, 2, 3))
    assert lost.max() <= 1 - 0.9**2 + 0.06
    assert lost.max() > 0.05


def test_flip_mirrors_about_half_of_the_images_and_only_left_to_right():
    batch = images(64)
    moved = run(batch, flip=True)
    same = torch.isclose(moved, batch, atol=1e-5).flatten(1).all(dim=1)
    mirrored = torch.isclose(moved, batch.flip(3), atol=1e-5).flatten(1).all(dim=1)
    assert (same | mirrored).all()
    assert 16 <= int(mirrored.sum()) <= 48


def test_brightness_and_contrast_stay_within_their_amounts():
    batch = torch.full((64, 1, 8, 8), 0.5)
    batch[:, :, :, 4:] = 0.6
    brighter = run(batch, brightness=0.1).mean(dim=(1, 2, 3)) - 0.55
    assert 0.05 < brighter.abs().max() <= 0.1001
    stretched = run(batch, contrast=0.2)
    spread = (stretched[:, 0, 0, 7] - stretched[:, 0, 0, 0]) / 0.1
    assert 0.8 - 1e-4 <= spread.min() < 0.9
    assert 1.1 < spread.max() <= 1.2 + 1e-4


@pytest.mark.parametrize("amount", [{"brightness": 1.0}, {"noise": 1.0}, {"contrast": 1.0}])
def test_the_result_stays_between_air_and_white(amount):
    moved = run(images(), **amount)
    assert moved.min() >= 0
    assert moved.max() <= 1


def test_boxes_go_where_their_pixels_go():
    batch, boxes = torch.zeros((24, 1, 64, 64)), torch.full((24, 2, 4), torch.nan)
    batch[:, :, 20:30, 34:50] = 1
    boxes[:, 1] = torch.tensor([34, 20, 16, 10]) / 64
    amounts = NOTHING.model_copy(update={"rotate": 20.0, "shift": 0.1, "scale": 0.2, "flip": True})
    moved, where = augment(batch, amounts, torch.Generator().manual_seed(5), boxes)
    assert torch.isnan(where[:, 0]).all()
    for image, (x, y, width, height) in zip(moved[:, 0] > 0.5, where[:, 1] * 64, strict=True):
        rows, columns = torch.where(image)
        edges = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        # The box encloses what is bright, to the pixel that interpolation blurs.
        for found, seen in zip((x, y, x + width, y + height), edges, strict=True):
            assert abs(found - seen) <= 1.6


def test_a_box_that_leaves_the_image_is_gone_and_one_at_the_edge_is_cut():
    batch = torch.zeros((40, 1, 16, 16))
    boxes = torch.tensor([[[0.0, 0.4, 0.02, 0.1], [0.9, 0.4, 0.1, 0.1]]]).repeat(40, 1, 1)
    amounts = NOTHING.model_copy(update={"shift": 0.3})
    _, where = augment(batch, amounts, torch.Generator().manual_seed(0), boxes)
    gone = torch.isnan(where).any(dim=2)
    assert gone[:, 0].any()
    assert not gone.all()
    kept = where[~gone]
    assert (kept[:, 0] + kept[:, 2] <= 1 + 1e-6).all()
    assert (kept >= 0).all()


def test_parts_of_a_batch_draw_what_the_whole_draws():
    batch, boxes = images(7), torch.rand((7, 1, 4), generator=torch.Generator().manual_seed(1)) / 2
    amounts = NOTHING.model_copy(update={"rotate": 10.0, "brightness": 0.1, "noise": 0.1})
    whole = augment(batch, amounts, torch.Generator().manual_seed(3), boxes)
    for first in range(2):
        part = augment(batch[first::2], amounts, torch.Generator().manual_seed(3), boxes[first::2], part=(first, 2, 7))
        assert torch.equal(part[0], whole[0][first::2])
        assert torch.equal(part[1], whole[1][first::2])


def test_the_sampling_grid_is_torchs_own():
    matrices = torch.randn((5, 2, 3), generator=torch.Generator().manual_seed(2))
    expected = torch.nn.functional.affine_grid(matrices, [5, 1, 33, 33], align_corners=False)
    torch.testing.assert_close(sampling_grid(matrices, 33), expected, rtol=0, atol=2e-6)
