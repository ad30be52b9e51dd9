"""Batches: each image once an epoch, another order each epoch, and a broken store is heard of."""

import threading

import numpy as np
import pytest

from thorax.training.batches import epoch_batches, prefetch


class Numbers:
    """A store whose image i is full of i."""

    def images(self, indices):
        return np.repeat(np.asarray(indices, dtype=np.uint8), 4).reshape(-1, 2, 2)

    def targets(self, indices):
        return np.asarray(indices, dtype=np.float32)[:, None]


class Broken(Numbers):
    def images(self, indices):
        raise OSError("the shard is gone")


def test_an_epoch_draws_each_image_at_most_once_and_only_whole_batches():
    batches = epoch_batches(np.arange(100, 175), 16, seed=1, epoch=0)
    drawn = np.concatenate(batches)
    assert [len(batch) for batch in batches] == [16] * 4
    assert len(np.unique(drawn)) == len(drawn)
    assert set(drawn) <= set(range(100, 175))


def test_epochs_differ_and_the_same_epoch_is_repeated():
    first, again, second = (epoch_batches(np.arange(64), 16, 1, epoch) for epoch in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_fraction_of_the_images_and_fewer_images_than_a_batch():
    assert sum(map(len, epoch_batches(np.arange(100), 10, 0, 0, fraction=0.3))) == 30
    assert [len(batch) for batch in epoch_batches(np.arange(5), 16, 0, 0)] == [5]


def test_prefetch_gives_the_batches_in_order_with_their_targets():
    batches = epoch_batches(np.arange(60), 8, 0, 0)
    for expected, batch in zip(batches, prefetch(Numbers(), batches), strict=True):
        assert np.array_equal(batch.indices, expected)
        assert batch.images.shape == (8, 1, 2, 2)
        assert np.array_equal(batch.images[:, 0, 0, 0].numpy(), expected)
        assert np.array_equal(batch.targets[:, 0].numpy(), expected)


def test_a_store_that_breaks_in_the_background_is_heard_of():
    with pytest.raises(OSError, match="shard is gone"):
        list(prefetch(Broken(), [np.arange(4)]))


def test_leaving_early_ends_the_thread():
    before = threading.active_count()
    for _ in prefetch(Numbers(), [np.arange(4)] * 50):
        break
    assert threading.active_count() == before
