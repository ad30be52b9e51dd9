"""What an uncertain or unmentioned label counts as, in training and in evaluation."""

import numpy as np
import pandas as pd
import pytest

from thorax.datasets.labels import class_labels, no_finding, targets, truth
from thorax.errors import InputError
from thorax.settings import Data

NAN = np.nan
IDS = ["a", "b", "c", "d"]
LABELS = np.array([[1, 0], [-1, -1], [NAN, 1], [0, -1]], np.float32)
FINDINGS = ("Effusion", "Edema")


def made(policy, **more):
    return targets(LABELS, FINDINGS, Data(findings=FINDINGS, uncertain=policy, **more), IDS)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({"default": "zeros"}, [[1, 0], [0, 0], [0, 1], [0, 0]]),
        ({"default": "ones"}, [[1, 0], [1, 1], [0, 1], [0, 1]]),
        ({"default": "ignore"}, [[1, 0], [NAN, NAN], [0, 1], [0, NAN]]),
        ({"default": "zeros", "Edema": "ones"}, [[1, 0], [0, 1], [0, 1], [0, 1]]),
        ({"default": "ones", "Pleural Effusion": "ignore"}, [[1, 0], [NAN, 1], [0, 1], [0, 1]]),
    ],
)
def test_each_finding_follows_its_policy(policy, expected):
    np.testing.assert_array_equal(made(policy), np.array(expected, np.float32))
    assert made(policy).dtype == np.float32


def test_a_label_that_is_not_mentioned_may_be_ignored():
    assert np.isnan(made({"default": "zeros"}, not_mentioned="ignore")[2, 0])


@pytest.mark.parametrize(("policy", "low", "high"), [("smooth_ones", 0.55, 0.85), ("smooth_zeros", 0.0, 0.3)])
def test_smoothed_targets_fill_their_range(policy, low, high):
    ids = [f"image-{number}" for number in range(2000)]
    data = Data(findings=FINDINGS, uncertain={"default": policy})
    drawn = targets(np.full((2000, 2), -1, np.float32), FINDINGS, data, ids)
    assert drawn.min() >= low and drawn.max() <= high
    # A uniform draw: its mean and spread are those of the textbook, within four standard errors.
    spread = (high - low) / np.sqrt(12)
    assert drawn.mean() == pytest.approx((low + high) / 2, abs=4 * spread / np.sqrt(drawn.size))
    assert drawn.std() == pytest.approx(spread, rel=0.05)
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.1


def test_a_smoothed_target_depends_on_nothing_but_image_and_finding():
    data = Data(findings=FINDINGS, uncertain={"default": "smooth_ones"})
    labels = np.full((4, 2), -1, np.float32)
    whole = targets(labels, FINDINGS, data, IDS)
    np.testing.assert_array_equal(targets(labels, FINDINGS, data, IDS[::-1])[::-1], whole)
    np.testing.assert_array_equal(targets(labels[:1], FINDINGS, data, ["c"])[0], whole[2])
    np.testing.assert_array_equal(targets(labels, FINDINGS[::-1], data, IDS)[:, ::-1], whole)
    # The same on every machine: `printf 'Effusion\0a' | b2sum -l 64` gives this digest.
    assert whole[0, 0] == pytest.approx(0.55 + 0.3 * 0x1797AF902D3639B6 / 2**64, abs=1e-6)


def test_an_uncertain_label_is_no_truth_under_any_policy():
    for policy in ("zeros", "ones", "smooth_ones"):
        found = truth(LABELS, Data(findings=FINDINGS, uncertain={"default": policy}))
        np.testing.assert_array_equal(found, [[1, 0], [NAN, NAN], [0, 1], [0, NAN]])
    ignored = truth(LABELS, Data(findings=FINDINGS, not_mentioned="ignore"))
    assert np.isnan(ignored[2, 0])


def manifest(**columns):
    return pd.DataFrame({"image_id": IDS, **columns})


def test_other_finding_is_any_disease_that_was_not_chosen():
    frame = manifest(
        Effusion=[1, 0, 0, 0],
        Edema=[0, 0, 0, 0],
        Mass=[0, 1, 0, NAN],
        Hernia=[0, 0, -1, NAN],
        Support_Devices=[1, 1, 1, 1],
        No_Finding=[0, 0, 0, 1],
    )
    data = Data(findings=FINDINGS, other_finding="class")
    assert data.classes == ("Effusion", "Edema", "Other_Finding")
    np.testing.assert_array_equal(class_labels(frame, data)[:, 2], [0, 1, -1, NAN])
    everything = Data(findings=("Effusion", "Edema", "Mass", "Hernia"), other_finding="class")
    with pytest.raises(InputError, match="no other finding"):
        class_labels(frame, everything)


def test_no_finding_is_read_or_derived():
    data = Data(findings=FINDINGS, no_finding="class")
    published = manifest(Effusion=[1, 0, 0, 0], Edema=[0] * 4, No_Finding=[0, 1, 0, 1])
    np.testing.assert_array_equal(class_labels(published, data)[:, 2], [0, 1, 0, 1])
    np.testing.assert_array_equal(no_finding(published), [False, True, False, True])
    derived = manifest(Effusion=[1, 0, -1, NAN], Edema=[0, 0, 0, NAN], Support_Devices=[1] * 4)
    np.testing.assert_array_equal(class_labels(derived, data)[:, 2], [0, 1, -1, NAN])
    np.testing.assert_array_equal(no_finding(derived), [False, True, False, False])


def test_a_finding_that_the_dataset_does_not_publish_is_named():
    with pytest.raises(InputError, match="no labels for Edema"):
        class_labels(manifest(Effusion=[1, 0, 0, 0]), Data(findings=FINDINGS))


def test_shapes_that_do_not_match_are_refused():
    with pytest.raises(InputError, match="do not match"):
        targets(LABELS, FINDINGS, Data(), IDS[:2])
