"""Augmentation moves pixels where the settings say, and SciPy agrees."""

import numpy as np
import pytest
import torch

from thorax.settings import Augment
from thorax.training.augment import augment

NOTHING = Augment(rotate=0, shift=0, scale=0, brightness=0, contrast=0, noise=0, flip=False)


def images(count: int = 8, size: int = 24) -> torch.Tensor:
    return torch.rand((count, 1, size, size), generator=torch.Generator().manual_seed(1))


def run(batch: torch.Tensor, seed: int = 0, **amounts) -> torch.Tensor:
    return augment(batch, NOTHING.model_copy(update=amounts), torch.Generator().manual_seed(seed))


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
