"""Batches: each image once an epoch, another order each epoch, and a broken store is heard of."""

import threading

import numpy as np
import pytest

from thorax.training.batches import epoch_batches, prefetch, sampling_weights


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


def test_balanced_classes_are_drawn_as_often_as_each_other():
    # 900 images without a finding, 90 with the first, 10 with the second.
    targets = np.zeros((1000, 2), dtype=np.float32)
    targets[900:990, 0] = 1
    targets[990:, 1] = 1
    targets[5, 1] = np.nan
    weights = sampling_weights("class_balanced", targets, np.arange(1000))
    drawn = np.concatenate(epoch_batches(np.arange(1000), 10, 0, 0, fraction=1.0, weights=weights))
    shares = np.array([(drawn < 900).mean(), ((drawn >= 900) & (drawn < 990)).mean(), (drawn >= 990).mean()])
    assert shares == pytest.approx([1 / 3] * 3, abs=0.05)


def test_balanced_patients_are_drawn_as_often_as_each_other():
    patients = np.array(["many"] * 90 + ["few"] * 10)
    weights = sampling_weights("patient_balanced", np.zeros((100, 1)), patients)
    assert weights[:90].sum() == pytest.approx(weights[90:].sum())
    assert sampling_weights("shuffle", np.zeros((100, 1)), patients) is None


def test_parts_of_a_batch_are_gathered_and_the_whole_is_known():
    boxes = np.arange(80, dtype=np.float32).reshape(20, 1, 4)
    batches = epoch_batches(np.arange(20), 5, 0, 0)
    parts = [list(prefetch(Numbers(), batches, boxes=boxes, part=lambda rows, k=k: rows[k::2])) for k in range(2)]
    for whole, one, other in zip(batches, *parts, strict=True):
        assert sorted([*one.indices, *other.indices]) == list(whole)
        assert np.array_equal(one.whole, whole)
        assert np.array_equal(one.boxes.numpy(), boxes[one.indices])
