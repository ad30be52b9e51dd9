"""DICOM as hospitals send it: what a viewer (dcmtk) shows is read, or refused with a reason that a user accepts."""

import re
import shutil
import subprocess

import numpy as np
import pytest
from dicom_cases import ht_picture, variants
from dicom_variants import Variant
from PIL import Image

from thorax.datasets.phantom.render import render
from thorax.datasets.phantom.sheet import subjects
from thorax.errors import ImageError
from thorax.imaging import read_image_bytes

#: How alike a picture must be to what dcmtk renders.
ALIKE = 0.99


def _picture() -> np.ndarray:
    return render(subjects(1)[0], 128).image8.astype(np.float64)[:, :110] / 255


CASES = variants(_picture())


@pytest.fixture(scope="module")
def viewer(tmp_path_factory: pytest.TempPathFactory):
    """Render a file with dcmtk."""
    if shutil.which("dcmj2pnm") is None:
        pytest.skip("dcmtk is not installed")
    folder = tmp_path_factory.mktemp("dcmtk")

    def show(data: bytes, options: tuple[str, ...]) -> np.ndarray:
        (folder / "a.dcm").write_bytes(data)
        done = subprocess.run(["dcmj2pnm", "-q", "+on2", *options, "a.dcm", "a.png"], cwd=folder, capture_output=True)
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        with Image.open(folder / "a.png") as picture:
            return np.asarray(picture.convert("I"), dtype=np.float64)

    return show


def test_the_table_is_as_wide_as_it_says() -> None:
    sources = {case.source for case in CASES if case.source}
    assert len(CASES) >= 150
    assert len({case.data for case in CASES}) == len(CASES)
    assert len(sources) >= 75
    assert all(re.fullmatch(r"[\w.-]+/[\w.-]+#\d+", source) for source in sources)


@pytest.mark.parametrize("case", [case for case in CASES if not case.refused], ids=lambda case: case.name)
def test_what_a_viewer_shows_is_read(case: Variant, viewer) -> None:
    image = read_image_bytes(case.data)
    if case.name == "HTJ2K":
        shown = ht_picture().astype(np.float64)
    else:
        shown = viewer(case.data, case.view) if case.view is not None else _picture()
    part = case.part or (slice(None), slice(None))
    ours = image.pixels[: shown.shape[0], : shown.shape[1]]
    theirs = shown[: ours.shape[0], : ours.shape[1]]
    likeness = np.corrcoef(ours[part].ravel(), theirs[part].ravel())[0, 1]
    assert likeness >= ALIKE, f"{case.name}: {likeness:.4f}"
    assert "blank" not in image.checks, "it is as bright as a viewer shows it"
    for name, value in case.facts:
        found = getattr(image, name)
        assert found == (pytest.approx(value) if isinstance(value, float) else value), name
    assert re.search(case.says, " ".join(image.assumptions)), image.assumptions


@pytest.mark.parametrize("case", [case for case in CASES if case.refused], ids=lambda case: case.name)
def test_what_no_one_expects_to_be_read_is_refused_with_its_reason(case: Variant) -> None:
    with pytest.raises(ImageError, match=case.refused):
        read_image_bytes(case.data)
