"""A bundle is made whole or not at all, and says what is wrong with what it is made of."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bundle_factory import FINDINGS, write_steps

from thorax.bundle import REQUIRED, write_bundle
from thorax.errors import BundleError
from thorax.files import digest_file
from thorax.prediction_log import columns_of


def test_every_file_is_there_with_its_digest(sample_bundle: Path) -> None:
    info = json.loads((sample_bundle / "bundle.json").read_text())
    assert set(REQUIRED) <= set(info["digests"])
    for name, digest in info["digests"].items():
        assert digest_file(sample_bundle / name) == digest
    assert info["findings"] == list(FINDINGS)
    assert info["synthetic"] is True
    assert info["lineage"] == {"git": "0" * 40}
    assert not list(sample_bundle.rglob("*.pkl")) + list(sample_bundle.rglob("*.pt"))


def test_the_reference_has_the_columns_that_the_log_compares(sample_bundle: Path) -> None:
    reference = pd.read_parquet(sample_bundle / "reference.parquet")
    assert list(reference.columns) == [*columns_of(FINDINGS), "group"]
    assert len(reference) == 128  # calibration and test
    assert reference["age"].max() == 90  # the very old are not told apart
    embedding = [name for name in reference if name.startswith("e_")]
    assert reference.drop(columns=["bits", *embedding[12:]]).notna().all().all()  # twelve features give no more
    assert set(reference["c_Edema"]) <= {"present", "absent", "uncertain"}


def test_examples_show_each_finding_none_and_doubt(sample_bundle: Path) -> None:
    entries = json.loads((sample_bundle / "examples" / "examples.json").read_text())
    assert [entry["kind"] for entry in entries] == ["positive", "positive", "positive", "negative", "unsure"]
    for finding, entry in zip(FINDINGS, entries, strict=False):
        assert finding in entry["truth"]
    assert entries[3]["truth"] == []
    assert all((sample_bundle / "examples" / entry["file"]).is_file() for entry in entries)


def test_no_patient_s_picture_goes_into_a_bundle(tmp_path: Path) -> None:
    steps = write_steps(tmp_path, synthetic=False)
    bundle = write_bundle(tmp_path / "bundle", lineage={}, **steps)
    assert not (bundle / "examples").exists()
    images = np.load(steps["store_dir"] / "images-00000.npy").reshape(-1, 64 * 64).astype(float)
    with np.load(bundle / "proof.npz") as proof:
        stored = proof["inputs"].reshape(-1, 64 * 64).astype(float)
    nearest = np.sqrt(((stored[:, None] - images[None]) ** 2).mean(axis=2)).min(axis=1)
    between = np.sqrt(((images[:1] - images[1:]) ** 2).mean(axis=1)).min()
    assert (nearest > between / 2).all()


def test_a_missing_part_is_named_and_nothing_is_left(sample_steps: dict[str, Path], tmp_path: Path) -> None:
    evaluation = tmp_path / "evaluation"
    shutil.copytree(sample_steps["evaluation_dir"], evaluation)
    (evaluation / "report.html").unlink()
    with pytest.raises(BundleError, match=r"lacks report\.html"):
        write_bundle(tmp_path / "out" / "bundle", lineage={}, **(sample_steps | {"evaluation_dir": evaluation}))
    assert list((tmp_path / "out").iterdir()) == []


def test_a_store_of_other_findings_is_refused(sample_steps: dict[str, Path], tmp_path: Path) -> None:
    train = tmp_path / "train"
    shutil.copytree(sample_steps["train_dir"], train)
    network = json.loads((train / "network.json").read_text())
    (train / "network.json").write_text(json.dumps(network | {"findings": ["Hernia", "Edema", "Mass"]}))
    with pytest.raises(BundleError, match="Hernia"):
        write_bundle(tmp_path / "bundle", lineage={}, **(sample_steps | {"train_dir": train}))


def test_outputs_of_another_store_are_refused(sample_steps: dict[str, Path], tmp_path: Path) -> None:
    train = tmp_path / "train"
    shutil.copytree(sample_steps["train_dir"], train)
    with np.load(train / "outputs-test.npz") as arrays:
        changed = dict(arrays)
    changed["image_id"] = np.char.add("x", changed["image_id"])
    np.savez(train / "outputs-test.npz", **changed)
    with pytest.raises(BundleError, match="names image"):
        write_bundle(tmp_path / "bundle", lineage={}, **(sample_steps | {"train_dir": train}))
