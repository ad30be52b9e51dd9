"""Ingest writes a manifest, boxes and a summary that say what the data is, the same every time."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from thorax.datasets.headers import read_headers
from thorax.datasets.ingest import ingest, load, manifest_digest
from thorax.errors import InputError
from thorax.files import digest_file
from thorax.manifest import read_boxes, read_manifest
from thorax.settings import Data

DATA = Data(source="nih")
BOXES = ("00000002_000.png,Infiltrate,256,512,128,64",)


def test_ingest_writes_what_the_next_steps_read(nih, tmp_path):
    out = tmp_path / "out"
    facts = ingest(DATA, nih(boxes=BOXES), out, revision="abc.dir")
    assert facts == json.loads((out / "dataset.json").read_text())
    assert {key: facts[key] for key in ("source", "synthetic", "revision", "images", "patients", "boxes")} == {
        "source": "nih",
        "synthetic": False,
        "revision": "abc.dir",
        "images": 4,
        "patients": 3,
        "boxes": 1,
    }
    assert facts["findings"] == ["Effusion", "Edema", "Cardiomegaly"]
    assert len(facts["published_findings"]) == 15
    manifest = read_manifest(out / "manifest.parquet")
    assert manifest_digest(manifest) == facts["manifest_digest"]
    assert read_boxes(out / "boxes.parquet")["x"].item() == 0.25


def test_two_runs_give_the_same_bytes_whatever_the_order_of_the_table(nih, tmp_path):
    root = nih()
    first = ingest(DATA, root, tmp_path / "a")
    table = root / "Data_Entry_2017_v2020.csv"
    header, *rows = table.read_text().splitlines()
    table.write_text("\n".join((header, *rows[::-1])) + "\n")
    second = ingest(DATA, root, tmp_path / "b")
    assert first == second
    assert first["revision"] == f"content:{first['manifest_digest'][:32]}"
    for name in ("manifest.parquet", "boxes.parquet", "dataset.json"):
        assert digest_file(tmp_path / "a" / name) == digest_file(tmp_path / "b" / name)


def test_the_digest_sees_every_change(nih):
    manifest = load(DATA, nih()).manifest
    digest = manifest_digest(manifest)
    assert manifest_digest(manifest.sample(frac=1, random_state=1)) == digest
    for column, value in (("age", 12.0), ("Effusion", -1.0), ("sha256", "0"), ("patient_id", "7"), ("view", "AP")):
        changed = manifest.copy()
        changed.loc[0, column] = value
        assert manifest_digest(changed) != digest, column
    assert manifest_digest(manifest.rename(columns={"Hernia": "Fracture"})) != digest
    # Absent and not mentioned are two things.
    changed = manifest.copy()
    changed.loc[0, "Hernia"] = np.nan
    assert manifest_digest(changed) != digest


def test_a_chosen_finding_that_the_dataset_does_not_publish_is_refused_at_once(nih, tmp_path):
    with pytest.raises(InputError, match=r"no labels for Fracture.*It has: Atelectasis"):
        ingest(Data(source="nih", findings=("Effusion", "Fracture")), nih(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_that_is_cut_short_leaves_no_summary_of_other_tables(nih, tmp_path, monkeypatch):
    out, root = tmp_path / "out", nih()
    ingest(DATA, root, out)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("thorax.datasets.ingest.write_boxes", full)
    with pytest.raises(OSError, match="No space left"):
        ingest(DATA, root, out)
    assert not (out / "dataset.json").exists()


@pytest.mark.parametrize("source", ["nih", "chexpert"])
def test_phantoms_are_read_in_their_layout_and_called_synthetic(request, tmp_path, source):
    root = request.getfixturevalue(source)()
    (root / "phantom.json").write_text(json.dumps({"synthetic": True, "layout": source, "seed": 7, "version": "1"}))
    facts = ingest(Data(source="phantom"), root, tmp_path / "out")
    assert facts["synthetic"] is True
    assert facts["phantom"] == {"seed": 7, "version": "1"}
    assert set(read_manifest(tmp_path / "out/manifest.parquet")["source"]) == {"phantom"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"holds no phantom\.json.*thorax data make-phantom"),
        ("{", r"phantom\.json is not valid JSON"),
        ('{"synthetic": false}', r'does not say "synthetic": true'),
        ('{"synthetic": true, "complete": false}', r"unfinished"),
        ('{"synthetic": true, "layout": "mimic"}', r"unknown layout 'mimic'"),
    ],
)
def test_a_folder_that_is_no_phantom_set_is_refused(nih, text, message):
    root = nih()
    if text is not None:
        (root / "phantom.json").write_text(text)
    with pytest.raises(InputError, match=message):
        load(Data(source="phantom"), root)


def test_real_data_is_not_taken_for_phantoms_and_phantoms_not_for_real(nih):
    root = nih()
    (root / "phantom.json").write_text('{"synthetic": true}')
    with pytest.raises(InputError, match=r"phantoms.*data\.source: phantom"):
        load(DATA, root)


def test_progress_counts_every_image(nih):
    seen = []
    load(DATA, nih(), seen.append)
    assert sum(seen) == 4


def test_headers_give_size_and_digest_or_zero(tmp_path):
    Image.new("L", (30, 40)).save(tmp_path / "grey.png")
    Image.new("RGBA", (31, 41)).save(tmp_path / "colour.png")
    Image.new("L", (32, 42)).save(tmp_path / "picture.jpg")
    Image.new("I;16", (33, 43)).save(tmp_path / "deep.tif")
    Image.new("L", (34, 44)).save(tmp_path / "other.bmp")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("no image at all")
    (tmp_path / "folder.png").mkdir()
    # A header that claims 100,000 × 100,000 pixels must cost nothing.
    whole = bytearray((tmp_path / "grey.png").read_bytes())
    whole[16:24] = (100_000).to_bytes(4, "big") * 2
    (tmp_path / "bomb.png").write_bytes(whole)
    names = ["grey.png", "colour.png", "picture.jpg", "deep.tif", "other.bmp", "empty.png", "text.png", "bomb.png"]
    found = read_headers(tmp_path, [*names, "folder.png", "gone.png", ""])
    sizes = list(zip(found.width.tolist(), found.height.tolist(), strict=True))
    assert sizes[:4] == [(30, 40), (31, 41), (32, 42), (33, 43)]
    assert sizes[4:] == [(0, 0)] * 7
    assert found.present.tolist() == [True] * 8 + [False] * 3
    assert found.sha256.tolist()[:8] == [digest_file(tmp_path / name) for name in names]


def test_a_dicom_header_is_read(tmp_path):
    import pydicom
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    file = pydicom.Dataset()
    file.Rows, file.Columns = 50, 60
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.file_meta.MediaStorageSOPClassUID = file.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    file.save_as(tmp_path / "image.dcm", enforce_file_format=True)
    found = read_headers(tmp_path, ["image.dcm"])
    assert (found.width[0], found.height[0]) == (60, 50)


def test_no_paths_give_no_headers(tmp_path):
    assert read_headers(tmp_path, []).width.shape == (0,)


@pytest.mark.real_data
def test_the_whole_published_table_is_read_as_it_stands(real_data, tmp_path):
    from thorax.datasets import nih
    from thorax.datasets.tables import read_table

    (tmp_path / "images").mkdir()
    for name in ("Data_Entry_2017_v2020.csv.gz", "BBox_List_2017.csv"):
        (tmp_path / name).symlink_to(real_data / "labels" / name)
    dataset = nih.read(tmp_path)
    # The counts of Wang et al. 2017 and of the publisher's own notes.
    assert len(dataset.manifest) == 112_120 and dataset.manifest["patient_id"].nunique() == 30_805
    assert dataset.manifest["No_Finding"].sum() == 60_361 and dataset.manifest["Hernia"].sum() == 227
    assert len(dataset.boxes) == 984
    plain = pd.read_csv(tmp_path / "Data_Entry_2017_v2020.csv.gz")
    assert (dataset.manifest["age"] == plain["Patient Age"]).all()
    table = read_table(tmp_path / "Data_Entry_2017_v2020.csv.gz")
    assert table.line(0) == 2
