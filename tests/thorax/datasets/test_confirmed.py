"""Confirmed cases beside a dataset: what is added, who is in which split, and what the reference is made of."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from thorax.bundle.reference import ENOUGH
from thorax.datasets import confirmed
from thorax.datasets.confirmed import Case, batch_of, divide, newest
from thorax.datasets.ingest import load
from thorax.datasets.phantom.generate import make_phantom
from thorax.errors import InputError
from thorax.preprocessing.splits import assign
from thorax.settings import Data, Split

FINDINGS = ("Effusion", "Cardiomegaly")


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("base") / "data"
    make_phantom(root, count=30, size=32, seed=1, findings=",".join(FINDINGS), workers=1)
    return root


@pytest.fixture
def root(phantoms: Path, tmp_path: Path) -> Path:
    import shutil

    shutil.copytree(phantoms, tmp_path / "data")
    return tmp_path / "data"


def cases(root: Path, count: int, batch: str = "20261122T100000-aaaa", start: int = 0) -> list[Case]:
    images = sorted((root / "images").glob("*.png"))
    return [
        Case(
            key=f"{start + i:024x}",
            file=images[i % len(images)],
            patient=f"c{start + i:04d}",
            view="AP",
            age=None if i % 3 == 0 else 40.0 + i,
            sex="F",
            labels={"Effusion": i % 2 == 0, "Cardiomegaly": i % 5 == 0},
            batch=batch,
        )
        for i in range(count)
    ]


def data_of(root: Path) -> Data:
    return Data(source="phantom", root=root, findings=FINDINGS)


def test_cases_stand_in_the_manifest_below_the_datasets_own_rows(root: Path) -> None:
    before = load(data_of(root), root).manifest
    assert confirmed.add(root, cases(root, 12), Split()) == 12
    whole = load(data_of(root), root)
    fresh = whole.manifest[confirmed.among(whole.manifest)]
    assert len(whole.manifest) == len(before) + 12
    assert whole.notes["confirmed"] == 12
    assert set(fresh["source"]) == {"confirmed"}
    assert fresh["Effusion"].tolist() == [1.0, 0.0] * 6
    assert fresh["Cardiomegaly"].sum() == 3
    assert fresh["Mass"].isna().all(), "nobody was asked"
    assert fresh["No_Finding"].tolist() == [float(i % 2 == 1 and i % 5 != 0) for i in range(12)]
    assert fresh["width"].gt(0).all()
    pd.testing.assert_frame_equal(
        before, whole.manifest[~confirmed.among(whole.manifest)].reset_index(drop=True), check_dtype=False
    )


def test_adding_again_adds_nothing_and_changes_no_byte(root: Path) -> None:
    confirmed.add(root, cases(root, 8), Split())
    table = confirmed.table_path(root).read_bytes()
    assert confirmed.add(root, cases(root, 8), Split()) == 0
    assert confirmed.table_path(root).read_bytes() == table
    assert confirmed.keys(root) == {f"{i:024x}" for i in range(8)}


def test_a_call_that_was_killed_before_its_table_is_completed_by_the_next(root: Path, tmp_path: Path) -> None:
    twin = tmp_path / "twin"
    confirmed.add(root, cases(root, 8), Split())
    confirmed.table_path(root).unlink()  # the images are there, the table is not
    confirmed.add(root, cases(root, 8), Split())
    (twin / "images").mkdir(parents=True)
    confirmed.add(twin, cases(root, 8), Split())
    assert confirmed.table_path(root).read_bytes() == confirmed.table_path(twin).read_bytes()


def test_nobody_changes_their_split_when_cases_arrive(root: Path) -> None:
    before = assign(load(data_of(root), root).manifest, FINDINGS, Split())
    confirmed.add(root, cases(root, 20), Split())
    first = assign(load(data_of(root), root).manifest, FINDINGS, Split())
    confirmed.add(root, cases(root, 20, "20261129T100000-bbbb", start=100), Split())
    second = assign(load(data_of(root), root).manifest, FINDINGS, Split())
    assert first[before.index].equals(before)
    assert second[first.index].equals(first)
    assert set(second[[name for name in second.index if batch_of(name)]]) == {
        "train",
        "validation",
        "calibration",
        "test",
    }


def test_a_patient_of_the_dataset_stays_in_its_split(root: Path) -> None:
    manifest = load(data_of(root), root).manifest
    before = assign(manifest, FINDINGS, Split())
    tested = manifest.set_index("image_id")["patient_id"][before == "test"].iloc[0]
    confirmed.add(root, [replace(case, patient=tested) for case in cases(root, 3)], Split())
    whole = load(data_of(root), root).manifest
    splits = assign(whole, FINDINGS, Split())
    assert set(splits[(whole["patient_id"] == tested).to_numpy()]) == {"test"}


def test_each_split_gets_its_share_of_each_pattern_of_findings(root: Path) -> None:
    given = cases(root, 400)
    splits = divide(given, Split(), {})
    for finding in FINDINGS:
        shown = Counter(splits[case.patient] for case in given if case.labels[finding])
        for name in ("train", "validation", "calibration", "test"):
            assert shown[name] / shown.total() == pytest.approx(getattr(Split(), name), abs=0.03)
    assert divide(list(reversed(given)), Split(), {}) == splits
    assert divide(given, Split(), {given[0].patient: "test"})[given[0].patient] == "test"


def test_the_reference_is_what_the_deployment_sees_now() -> None:
    base = ["00000001_000.png"] * 300
    old = [f"confirmed/20260101T000000-aaaa/{i}.png" for i in range(ENOUGH)]
    before = [f"confirmed/20261122T000000-bbbb-before/{i}.png" for i in range(200)]
    now = [f"confirmed/20261122T000000-bbbb/{i}.png" for i in range(ENOUGH)]
    assert newest(base, ENOUGH).all()
    assert newest([*base, *now[:-1]], ENOUGH).all(), "too few to stand for anything"
    assert np.flatnonzero(newest([*base, *old, *before, *now], ENOUGH)).tolist() == list(range(600, 600 + ENOUGH))
    few = newest([*base, *old, *before, *now[:10]], ENOUGH)
    assert few.sum() == ENOUGH + 10, "with the batch before it, and without what was answered before the alarm"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("confirmed/", "elsewhere/"), "line 2: the path is not confirmed/<batch>/<file>"),
        ((",train,", ",exam,"), "the split is none of"),
    ],
)
def test_a_damaged_table_is_refused_with_its_line(root: Path, change: tuple[str, str], told: str) -> None:
    confirmed.add(root, cases(root, 3), Split())
    path = confirmed.table_path(root)
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(InputError, match=told):
        load(data_of(root), root)
