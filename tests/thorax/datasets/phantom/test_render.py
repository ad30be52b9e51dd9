"""What a phantom promises: the same bytes, an exact truth, findings that grow with severity."""

import time
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from thorax.datasets.phantom.anatomy import sample_anatomy
from thorax.datasets.phantom.pathology import CHANGES
from thorax.datasets.phantom.render import Phantom, render
from thorax.datasets.phantom.subject import FINDINGS, SCANNERS, Subject, twin
from thorax.errors import InputError
from thorax.findings import NIH14

SIZE = 64


def show(seed: int = 3, size: int = SIZE, **changes) -> Phantom:
    return render(Subject(seed, **changes), size)


@cache
def healthy_of(seed: int, view: str) -> Phantom:
    return render(Subject(seed, view), SIZE)


def contrast(phantom: Phantom, healthy: Phantom, finding: str) -> float:
    """How much darker or brighter the picture is where the finding lies, in grey levels of 4096, summed."""
    change = phantom.pixels.astype(float) - healthy.pixels.astype(float)
    return float(np.abs(change[phantom.masks[finding]]).sum())


def test_every_finding_of_nih_and_devices_can_be_shown():
    assert set(FINDINGS) == {*NIH14, "Support_Devices"} == set(CHANGES)


def test_the_same_subject_gives_the_same_bytes():
    subject = Subject(11, "AP", 71, "F", 1.1, scanner="portable", findings={"Effusion": 0.4, "Edema": 0.7})
    one, two = render(subject, SIZE), render(subject, SIZE)
    assert one.pixels.tobytes() == two.pixels.tobytes()
    assert all(one.masks[name].tobytes() == two.masks[name].tobytes() for name in one.masks)
    assert one.boxes == two.boxes


def test_another_seed_is_another_chest():
    assert np.abs(show(1).pixels.astype(int) - show(2).pixels).mean() > 100


def test_pixels_are_twelve_bit_and_agree_with_the_eight_bit_picture():
    phantom = show(5, findings={"Mass": 0.5})
    assert phantom.pixels.dtype == np.uint16
    assert phantom.pixels.max() <= 4095
    assert phantom.image8.dtype == np.uint8
    assert np.array_equal(phantom.pixels >> 4, phantom.image8)


def test_lungs_are_darker_than_the_mediastinum_and_open_air_is_darkest():
    for seed in range(6):
        phantom = show(seed, size=128)
        image = phantom.image8.astype(float)
        lung = image[phantom.lungs].mean()
        columns = np.flatnonzero(phantom.lungs.any(axis=0))
        middle = image[50:80, (columns[0] + columns[-1]) // 2].mean()
        assert middle > lung + 40
        assert np.percentile(image, 1) < 0.6 * lung


def test_a_marking_of_lung_fields_covers_two_lungs():
    labels, count = ndimage.label(show(7, size=128).lungs)
    sizes = sorted(np.bincount(labels.ravel())[1:])
    assert count >= 2
    assert sizes[-2] > 0.4 * sizes[-1]


@pytest.mark.parametrize("finding", FINDINGS)
def test_the_twin_differs_by_the_finding_alone(finding):
    """Outside the finding's surroundings and what it displaces, the chest is untouched; the machine is the same."""
    subject = Subject(21, findings={finding: 0.6})
    healthy = twin(subject)
    assert healthy == replace(subject, findings={})
    ill, well = render(subject, SIZE), render(healthy, SIZE)
    assert well.masks == {} and well.boxes == {} and well.severity == {}
    change = np.abs(ill.pixels.astype(float) - well.pixels)
    assert change[ill.masks[finding]].mean() > 15
    if finding in ("Nodule", "Mass", "Pneumonia", "Infiltration", "Consolidation", "Pleural_Thickening", "Hernia"):
        near = ndimage.binary_dilation(ill.masks[finding], iterations=6)
        assert np.median(change[~near]) < 0.15 * change[ill.masks[finding]].mean()


def test_one_finding_does_not_move_another():
    alone = show(31, findings={"Nodule": 0.7})
    together = show(31, findings={"Nodule": 0.7, "Effusion": 0.5, "Support_Devices": 0.5})
    assert alone.boxes["Nodule"] == together.boxes["Nodule"]


@pytest.mark.parametrize("finding", FINDINGS)
def test_each_finding_has_a_mask_and_a_box_inside_the_image_and_grows_with_severity(finding):
    seen = []
    for severity in (0.05, 0.5, 1.0):
        total = 0.0
        for seed in (40, 41):
            subject = Subject(seed, "PA" if seed % 2 else "AP", findings={finding: severity})
            phantom = render(subject, SIZE)
            mask, (x, y, w, h) = phantom.masks[finding], phantom.boxes[finding]
            assert mask.shape == (SIZE, SIZE) and mask.dtype == bool and mask.any()
            assert 0 <= x < x + w <= 1 and 0 <= y < y + h <= 1
            rows, columns = np.nonzero(mask)
            assert (x, y) == (columns.min() / SIZE, rows.min() / SIZE)
            assert (w, h) == ((np.ptp(columns) + 1) / SIZE, (np.ptp(rows) + 1) / SIZE)
            assert phantom.severity == {finding: severity}
            total += contrast(phantom, healthy_of(seed, subject.view), finding)
        seen.append(total)
    assert seen[0] < seen[1] < seen[2]


def test_the_heart_is_wider_than_half_the_thorax_exactly_when_it_is_enlarged():
    for seed in range(40):
        view, age = ("PA", "AP")[seed % 2], 20 + 2 * seed
        healthy = sample_anatomy(Subject(seed, view, age, size=0.8 + 0.01 * seed))
        assert 0.35 < healthy.cardiothoracic_ratio < 0.5
    ratios = [show(9, findings={"Cardiomegaly": s}).cardiothoracic_ratio for s in (0.01, 0.3, 0.6, 1.0)]
    assert ratios[0] > 0.5
    assert ratios == sorted(ratios)
    assert ratios[-1] < 0.72


def test_the_cardiothoracic_ratio_can_be_measured_in_the_truth():
    """A ruler on the heart's mask and on the lungs gives the ratio that the phantom states."""
    for seed in range(8):
        phantom = render(Subject(seed, findings={"Cardiomegaly": 0.3}), 256)
        heart = np.ptp(np.flatnonzero(phantom.masks["Cardiomegaly"].any(axis=0))) + 1
        thorax = np.ptp(np.flatnonzero(phantom.lungs.any(axis=0))) + 1
        assert heart / thorax == pytest.approx(phantom.cardiothoracic_ratio, abs=0.03)


def test_the_synthetic_mark_is_the_same_in_every_picture():
    corners = []
    for seed, findings in ((1, {}), (2, {"Mass": 1.0}), (3, {"Edema": 1.0, "Effusion": 1.0})):
        subject = Subject(seed, scanner=list(SCANNERS)[seed], size=0.8 + 0.1 * seed, findings=findings)
        corners.append(render(subject, 256).pixels[:9, :48])
    assert np.array_equal(corners[0], corners[1])
    assert np.array_equal(corners[0], corners[2])
    assert corners[0].max() > 1500  # and it can be read


def test_brightness_does_not_tell_a_focal_finding():
    """The window is set by the machine: the whole picture of a nodule is as bright as its twin's."""
    for finding in ("Nodule", "Atelectasis", "Support_Devices"):
        for seed in (50, 51):
            subject = Subject(seed, findings={finding: 1.0})
            ill, well = render(subject, SIZE), render(twin(subject), SIZE)
            assert abs(ill.pixels.mean() - well.pixels.mean()) < 0.02 * 4095


def test_more_exposure_is_less_noise():
    def grain(**changes) -> float:
        image = render(Subject(4, scanner="portable", **changes), 256).pixels.astype(float)
        return float(np.std(image - ndimage.gaussian_filter(image, 1.5)))

    assert grain(exposure=0.5) > grain(exposure=2.0)
    assert grain(noise=10.0) > 1.3 * grain(noise=1.0)
    assert grain(blur=8.0, noise=0.0) < grain(noise=0.0)


def test_each_machine_shows_the_same_chest_differently():
    pictures = [show(8, scanner=name).pixels.astype(float) for name in SCANNERS]
    for index, picture in enumerate(pictures):
        for other in pictures[index + 1 :]:
            assert np.abs(picture - other).mean() > 20
            assert np.corrcoef(picture.ravel(), other.ravel())[0, 1] > 0.8


def test_a_larger_picture_shows_the_same_chest():
    small, large = show(12, size=64), show(12, size=256)
    reduced = large.image8.astype(float).reshape(64, 4, 64, 4).mean(axis=(1, 3))
    inside = slice(8, 60)
    assert np.corrcoef(small.image8[inside, inside].ravel(), reduced[inside, inside].ravel())[0, 1] > 0.97
    assert small.cardiothoracic_ratio == large.cardiothoracic_ratio


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"findings": {"Effussion": 0.5}}, "Effusion"),
        ({"findings": {"Effusion": 0.0}}, "severity"),
        ({"findings": {"Effusion": 1.2}}, "severity"),
        ({"scanner": "sharp"}, "scanner"),
        ({"view": "LATERAL"}, "view"),
        ({"exposure": 9.0}, "exposure"),
        ({"seed": -1}, "seed"),
        ({"marker": "X"}, "marker"),
        ({"age": float("nan")}, "age"),
    ],
)
def test_impossible_subjects_are_refused(changes, word):
    with pytest.raises(InputError, match=word):
        Subject(**{"seed": 1, **changes})


@pytest.mark.parametrize("size", [0, 31, 5000])
def test_impossible_sizes_are_refused(size):
    with pytest.raises(InputError, match=r"32 to 4096"):
        render(Subject(1), size)


@pytest.mark.slow
def test_rendering_is_fast_enough():
    """A smoke test with room for a busy machine: 40 images a second on two quiet cores need 50 ms of CPU each."""
    render(Subject(0), 256)
    start = time.process_time()
    for seed in range(10):
        render(Subject(seed, findings={FINDINGS[seed]: 0.5}), 256)
    assert (time.process_time() - start) / 10 < 0.15
