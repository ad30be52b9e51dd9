"""The measures of realism, on pictures whose answer is known; and the contact sheet."""

import json

import numpy as np
import pytest
from PIL import Image

from thorax.datasets.phantom import realism
from thorax.datasets.phantom.sheet import contact_sheet, subjects
from thorax.errors import InputError


def test_a_wave_has_its_power_at_its_own_frequency():
    x = np.arange(64) / 64
    wave = (127 + 100 * np.sin(2 * np.pi * 9 * x))[None, None, :].repeat(64, axis=1)
    spectrum = realism.radial_spectrum(wave.astype(np.uint8))[0]
    assert spectrum.shape == (32,)
    assert int(np.argmax(spectrum[2:])) + 2 in (8, 9, 10)


def test_the_distance_of_two_flat_greys_is_their_difference():
    dark, light = np.full((3, 8, 8), 51, np.uint8), np.full((3, 8, 8), 102, np.uint8)
    assert realism.grey_distance(dark, light) == pytest.approx(0.2)
    assert realism.grey_distance(dark, dark) == 0


def write_pictures(folder, pictures):
    folder.mkdir()
    for index, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{index:03d}.png")


@pytest.mark.slow
def test_phantoms_are_not_told_from_phantoms_and_are_told_from_noise(tmp_path):
    write_pictures(tmp_path / "phantoms", realism.draw_phantoms(40, 64, 99))
    rng = np.random.default_rng(0)
    write_pictures(tmp_path / "noise", rng.integers(0, 255, (40, 64, 64)).astype(np.uint8))
    same = realism.measure(tmp_path / "phantoms", 40, 64)
    other = realism.measure(tmp_path / "noise", 40, 64)
    assert same["grey_distance"] < 0.06 < other["grey_distance"]
    assert same["spectrum_distance"] < 0.15 < other["spectrum_distance"]
    assert all(0.2 < same["auroc"][judge] < 0.8 for judge in ("grey levels", "power spectrum"))
    assert all(other["auroc"][judge] > 0.95 for judge in ("grey levels", "power spectrum"))


def test_a_folder_with_too_few_pictures_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds 0 images"):
        realism.measure(tmp_path)


@pytest.mark.slow
@pytest.mark.real_data
def test_phantoms_lie_near_real_radiographs(real_data, capsys):
    folder = str(real_data / "nih256" / "images")
    realism.main([folder, "--count", "100", "--size", "96"])
    found = json.loads(capsys.readouterr().out)
    assert found["grey_distance"] < 0.06
    assert found["spectrum_distance"] < 0.3


def test_a_contact_sheet_has_a_row_a_finding(tmp_path):
    sheet = contact_sheet(tmp_path / "sheet.png", size=48, findings=("Effusion", "Nodule"))
    with Image.open(sheet) as image:
        assert image.format == "PNG"
        assert image.size == (8 * 48, 2 * (48 + 9))
        assert np.asarray(image).std() > 30
    assert not [path for path in tmp_path.iterdir() if path != sheet]


def test_a_folder_gets_both_sheets(tmp_path):
    contact_sheet(tmp_path / "images", size=32, findings=("Mass",))
    assert sorted(path.name for path in (tmp_path / "images").iterdir()) == ["phantom-normals.png", "phantom-sheet.png"]


def test_the_subjects_of_a_sheet_are_all_different():
    chosen = subjects(10)
    assert len({one.seed for one in chosen}) == 10
    assert {one.view for one in chosen} == {"PA", "AP"}
    assert {one.sex for one in chosen} == {"F", "M"}
