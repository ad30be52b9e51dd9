"""The manifest: one table for every dataset, refused where it could not be trusted; and the names of findings."""

import numpy as np
import pandas as pd
import pytest

from thorax import findings
from thorax.errors import InputError
from thorax.manifest import COLUMNS, findings_of, label_matrix, read_manifest, write_manifest


def two_images() -> pd.DataFrame:
    rows = [dict.fromkeys(COLUMNS, "") | {"image_id": name, "age": 50, "width": 8, "height": 8} for name in "ab"]
    return pd.DataFrame(rows).assign(Edema=[1, -1], Mass=[np.nan, 0])


def test_a_manifest_comes_back_as_it_was_written(tmp_path):
    write_manifest(two_images(), tmp_path / "manifest.parquet")
    manifest = read_manifest(tmp_path / "manifest.parquet")
    assert findings_of(manifest) == ("Edema", "Mass")
    np.testing.assert_array_equal(label_matrix(manifest, ["Mass", "Edema"]), [[np.nan, 1], [0, -1]])


def test_a_finding_without_labels_is_named_with_those_there_are():
    with pytest.raises(InputError, match=r"no labels for Hernia\. It has: Edema, Mass"):
        label_matrix(two_images(), ["Hernia"])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda m: m.drop(columns=["patient_id", "view"]), "lacks the columns patient_id, view"),
        (lambda m: m.assign(image_id="a"), "'a' stands 2 times"),
    ],
)
def test_a_manifest_that_cannot_be_trusted_is_not_written(tmp_path, spoil, said):
    with pytest.raises(InputError, match=said):
        write_manifest(spoil(two_images()), tmp_path / "manifest.parquet")
    assert not (tmp_path / "manifest.parquet").exists()


def test_a_manifest_cut_short_is_named(tmp_path):
    write_manifest(two_images(), tmp_path / "m.parquet")
    whole = (tmp_path / "m.parquet").read_bytes()
    (tmp_path / "m.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"m\.parquet cannot be read"):
        read_manifest(tmp_path / "m.parquet")


def test_published_spellings_become_one():
    spelt = ["Pleural Effusion", "Infiltrate", "No Finding", "pleural_thickening", "Support Devices", " Edema "]
    meant = ["Effusion", "Infiltration", "No_Finding", "Pleural_Thickening", "Support_Devices", "Edema"]
    assert [findings.canonical(name) for name in spelt] == meant


def test_findings_are_chosen_by_a_name_a_list_or_a_text():
    assert findings.resolve("chexpert-report") == ("Effusion", "Edema", "Cardiomegaly")
    assert len(findings.resolve("nih14")) == len(findings.resolve("chexpert14")) == 14
    assert findings.resolve("Edema,Mass") == findings.resolve(["Edema", "Mass"]) == ("Edema", "Mass")
