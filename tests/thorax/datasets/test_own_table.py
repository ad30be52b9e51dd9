"""A table of one's own, mapped in `params.yaml`, becomes a manifest."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from thorax.datasets import read
from thorax.datasets.ingest import load
from thorax.errors import InputError
from thorax.manifest import findings_of
from thorax.settings import Data

COLUMNS = {
    "image": "file",
    "patient": "person",
    "view": "projection",
    "age": "years",
    "sex": "gender",
    "findings": {"Effusion": "fluid", "edema": "wet"},
}
TEXT = """file,person,projection,years,gender,fluid,wet,Cardiomegaly
a.png,007,pa,34,m,1,0,yes
sub/b.png,008,AP,,F,-1,,no
c,009,lat,50,female,0,false,absent
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    from PIL import Image

    (tmp_path / "sub").mkdir()
    for name in ("a.png", "sub/b.png", "c.jpg"):
        Image.new("L", (10, 12)).save(tmp_path / name)
    (tmp_path / "table.csv").write_text(TEXT)
    return tmp_path


def settings(**columns) -> Data:
    return Data(source="table", views="all", table={**COLUMNS, **columns})


def test_columns_are_mapped_and_words_are_understood(folder):
    manifest, _ = read(settings(), folder)
    assert manifest["path"].tolist() == ["a.png", "c.jpg", "sub/b.png"]
    # A patient's id is kept as it is written: 007 and 7 may be two people elsewhere.
    assert manifest["patient_id"].tolist() == ["007", "009", "008"]
    assert manifest["view"].tolist() == ["PA", "LATERAL", "AP"]
    assert manifest["sex"].tolist() == ["M", "F", "F"]
    assert findings_of(manifest) == ("Edema", "Effusion", "Cardiomegaly", "No_Finding")
    np.testing.assert_array_equal(manifest["Effusion"], [1, 0, -1])
    np.testing.assert_array_equal(manifest["Edema"], [0, 0, np.nan])
    np.testing.assert_array_equal(manifest["Cardiomegaly"], [1, 0, 0])
    np.testing.assert_array_equal(manifest["No_Finding"], [0, 1, -1])
    assert manifest["official_split"].tolist() == [""] * 3


def test_a_parquet_table_gives_the_same(folder):
    expected, _ = read(settings(), folder)
    frame = pd.read_csv(folder / "table.csv", dtype={"person": str})
    frame.to_parquet(folder / "table.parquet")
    found, _ = read(settings(file="table.parquet"), folder)
    pd.testing.assert_frame_equal(found, expected)


def test_a_column_that_is_neither_text_nor_numbers_is_named(folder):
    frame = pd.read_csv(folder / "table.csv", dtype={"person": str}).assign(years=[[1], [2], [3]])
    frame.to_parquet(folder / "table.parquet")
    with pytest.raises(InputError, match=r"table\.parquet: the column 'years' is neither text nor numbers"):
        read(settings(file="table.parquet"), folder)


def test_absolute_paths_below_the_root_are_understood(folder):
    (folder / "table.csv").write_text(TEXT.replace("a.png", str(folder / "a.png")).replace("sub/b", "sub\\b"))
    manifest, _ = read(settings(), folder)
    assert manifest["path"].tolist() == ["a.png", "c.jpg", "sub/b.png"]


@pytest.mark.parametrize("path", ["../secret.png", "/etc/passwd.png", "sub/../../secret.png"])
def test_a_path_outside_the_root_is_refused(folder, path):
    (folder / "table.csv").write_text(TEXT.replace("sub/b.png", path))
    with pytest.raises(InputError, match=r"table\.csv, line 3: the image lies outside the data root"):
        read(settings(), folder)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("-1,,no", "-2,,no", r"line 3: fluid is not a label .*: '-2'"),
        ("yes", "perhaps", r"line 2: Cardiomegaly is not a label .*: 'perhaps'"),
        ("008", "", r"line 3: the patient's id is blank"),
        ("sub/b.png", "a.png", r"line 3: an image stands twice in the table: 'a\.png'"),
        ("34", "thirty", r"line 2: years is not a number: 'thirty'"),
        ("projection", "position", r"lacks the column 'projection'"),
    ],
)
def test_a_wrong_row_is_refused_by_its_line(folder, old, new, message):
    (folder / "table.csv").write_text(TEXT.replace(old, new))
    with pytest.raises(InputError, match=message):
        read(settings(), folder)


def test_semicolons_and_decimal_commas_are_understood(folder):
    (folder / "table.csv").write_text(TEXT.replace(",", ";").replace("34", "34,5"), encoding="latin-1")
    manifest, _ = read(settings(), folder)
    assert manifest["age"].iloc[0] == 34.5


def test_a_table_without_findings_says_how_to_name_them(folder):
    (folder / "table.csv").write_text("file,person\na.png,1\n")
    with pytest.raises(InputError, match=r"no column that bears the name of a finding.*data\.table\.findings"):
        read(Data(source="table", table={"image": "file", "patient": "person"}), folder)


def test_a_mapping_to_no_finding_of_the_vocabulary_is_refused(folder):
    with pytest.raises(InputError, match=r"data\.table\.findings: 'Cold' is no finding"):
        read(settings(findings={"Cold": "fluid"}), folder)


def test_missing_images_are_counted(folder):
    (folder / "sub" / "b.png").unlink()
    dataset = load(settings(), folder)
    assert dataset.notes["missing_images"] == 1
    assert dataset.notes["missing_examples"] == ["sub/b.png"]


@pytest.mark.real_data
def test_another_hospitals_table_is_read(real_data, tmp_path):
    # Its rows name images without a suffix, its views and sexes are in small letters, and it labels no finding of ours.
    (tmp_path / "table.csv").write_text(
        (real_data / "hannover" / "metadata.csv").read_text().replace("projection\n", "projection,Effusion\n", 1)
        .replace(",pa\n", ",pa,0\n").replace(",ap\n", ",ap,1\n").replace(",\n", ",,0\n")
    )  # fmt: skip
    for image in (real_data / "hannover").glob("*.png"):
        (tmp_path / image.name).symlink_to(image)
    columns = {"image": "image_id", "patient": "patient_id", "view": "projection", "age": "age", "sex": "sex"}
    manifest, _ = read(Data(source="table", table=columns), tmp_path)
    assert len(manifest) == 110
    assert set(manifest["view"]) <= {"PA", "AP", "unknown"} and set(manifest["sex"]) <= {"M", "F", "unknown"}


def test_values_are_read_as_people_write_them() -> None:
    from thorax.datasets.dataset import ages, sexes, views
    from thorax.datasets.tables import Table

    said = pd.Series(["AP Supine", "anteroposterior", "PA erect", "LL", "AP_horizontal", "POSTERO-ANTERIOR", "", "up"])
    assert list(views(said)) == ["AP", "AP", "PA", "LATERAL", "AP", "PA", "unknown", "up"]
    assert list(sexes(pd.Series(["m", "Male", "weiblich", "F", "?"]))) == ["M", "M", "F", "F", "unknown"]
    frame = pd.DataFrame({"age": ["58", "058Y", "6M", "", "10D", "412"]})
    found = ages(Table(Path("t.csv"), frame, ",", ""), "age")
    assert np.allclose(found, [58, 58, 0.5, np.nan, 10 / 365.25, 412], equal_nan=True, atol=1e-3)


def test_values_as_people_write_them_pass_through_a_whole_table(folder):
    text = TEXT.replace("a.png", "A.PNG").replace("34,m", "034Y,männlich").replace("pa,", "PA erect,")
    (folder / "table.csv").write_text(text, encoding="utf-8")
    manifest, _ = read(settings(), folder)
    assert manifest["path"].tolist() == ["a.png", "c.jpg", "sub/b.png"]
    assert (manifest["view"][0], manifest["sex"][0], manifest["age"][0]) == ("PA", "M", 34)


@pytest.mark.parametrize(("name", "other"), [("a.Png", "A.PNG"), ("a", "a.jpg")])
def test_a_path_that_fits_two_files_is_refused(folder, name, other):
    (folder / other).write_bytes((folder / "a.png").read_bytes())
    (folder / "table.csv").write_text(TEXT.replace("a.png", name))
    with pytest.raises(InputError, match="fits several files"):
        read(settings(), folder)
