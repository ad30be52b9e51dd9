"""No patient in two splits; every finding in every split; the same splits every time."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from thorax.errors import InputError
from thorax.manifest import SPLITS
from thorax.preprocessing import splits
from thorax.settings import Split

Table = Callable[..., pd.DataFrame]
FINDINGS = ("Effusion", "Edema", "Cardiomegaly")


def test_no_patient_stands_in_two_splits_and_shares_are_kept(table: Table) -> None:
    manifest = table(600)
    assigned = splits.assign(manifest, FINDINGS, Split())
    assert list(assigned.index) == list(manifest["image_id"])
    assert (assigned.to_frame().assign(p=manifest["patient_id"].to_numpy()).groupby("p")["split"].nunique() == 1).all()
    patients = manifest.drop_duplicates("patient_id")["image_id"]
    shares = assigned[patients].value_counts(normalize=True)
    for name in SPLITS:
        assert shares[name] == pytest.approx(getattr(Split(), name), abs=0.02)


def test_findings_are_spread_more_evenly_than_by_chance(table: Table) -> None:
    manifest = table(600, seed=1)

    def unevenness(assigned: np.ndarray) -> float:
        rates = manifest.groupby(assigned)[list(FINDINGS)].mean() / manifest[list(FINDINGS)].mean()
        return float((rates - 1).abs().mean().mean())

    patients = manifest["patient_id"].unique()
    by_chance = []
    for seed in range(10):
        drawn = np.random.default_rng(seed).choice(SPLITS, len(patients), p=[0.6, 0.12, 0.13, 0.15])
        by_chance.append(unevenness(manifest["patient_id"].map(dict(zip(patients, drawn, strict=True))).to_numpy()))
    ours = unevenness(splits.assign(manifest, FINDINGS, Split()).to_numpy())
    assert ours < 0.6 * np.mean(by_chance)
    assert splits.shortages(manifest, splits.assign(manifest, FINDINGS, Split()), FINDINGS) == []


def test_the_same_seed_gives_the_same_splits_whatever_the_order_of_the_rows(table: Table) -> None:
    manifest = table(200)
    first = splits.assign(manifest, FINDINGS, Split(seed=3))
    shuffled = manifest.sample(frac=1, random_state=0).reset_index(drop=True)
    second = splits.assign(shuffled, FINDINGS, Split(seed=3))
    assert second.reindex(first.index).equals(first)
    assert not splits.assign(manifest, FINDINGS, Split(seed=4)).equals(first)


def test_the_official_test_list_is_kept(table: Table) -> None:
    manifest = table(300)
    tested = manifest["patient_id"].str[1:].astype(int) % 4 == 0
    manifest["official_split"] = np.where(tested, "test", "train_val")
    assigned = splits.assign(manifest, FINDINGS, Split(method="official"))
    assert ((assigned == "test").to_numpy() == tested.to_numpy()).all()
    rest = manifest[~tested].drop_duplicates("patient_id")["image_id"]
    assert (assigned[rest] == "train").mean() == pytest.approx(0.60 / 0.85, abs=0.02)


def test_an_official_list_that_tears_a_patient_apart_is_refused(table: Table) -> None:
    manifest = table(50)
    torn = manifest["patient_id"].value_counts().index[0]
    manifest["official_split"] = "train_val"
    manifest.loc[manifest.index[manifest["patient_id"] == torn][0], "official_split"] = "test"
    with pytest.raises(InputError, match=torn):
        splits.assign(manifest, FINDINGS, Split(method="official"))


def test_official_without_a_list_is_refused(table: Table) -> None:
    with pytest.raises(InputError, match="no official test list"):
        splits.assign(table(20), FINDINGS, Split(method="official"))


def test_fewer_patients_than_splits_are_refused(table: Table) -> None:
    with pytest.raises(InputError, match="3 patients"):
        splits.assign(table(3), FINDINGS, Split())


def test_a_split_without_a_positive_is_reported(table: Table) -> None:
    manifest = table(100)
    manifest["Edema"] = 0.0
    manifest.loc[0, "Edema"] = 1.0
    assigned = splits.assign(manifest, FINDINGS, Split())
    short = splits.shortages(manifest, assigned, FINDINGS)
    assert sum("holds no image with Edema" in sentence for sentence in short) == 3
    counts = splits.table(manifest, assigned, FINDINGS)
    assert counts["images"].sum() == len(manifest)
    assert counts["Edema"].sum() == 1
