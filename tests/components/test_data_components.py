"""The first three steps as the pipeline runs them: one decode of each file, and nothing built from bad data."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from components.ingest import ingest
from components.preprocess import preprocess
from components.validate import validate
from thorax.datasets import pack
from thorax.datasets.phantom.render import render
from thorax.datasets.phantom.sheet import subjects
from thorax.errors import DataGateError
from thorax.imaging import scan as scanning
from thorax.preprocessing import prepare as preparing
from thorax.preprocessing.store import ImageStore
from thorax.settings import Settings, load
from thorax.steps import arguments

pytestmark = pytest.mark.slow
HEADER = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Forty phantoms of forty patients in NIH's layout."""
    root = tmp_path / "dataset"
    (root / "images").mkdir(parents=True)
    rows = []
    for number, subject in enumerate(subjects(40, seed=3), start=1):
        name = f"{number:08}_000.png"
        Image.fromarray(render(subject, 64).image8).save(root / "images" / name)
        rows.append(f"{name},{('Effusion', 'Edema', 'No Finding')[number % 3]},0,{number},57,M,PA")
    (root / "Data_Entry_2017.csv").write_text(HEADER + "\n".join(rows) + "\n")
    return root


@pytest.fixture
def settings(home: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("THORAX_HOME", str(home))
    return load(home, ["data.source=nih", "data.findings=[Effusion, Edema]", "preprocess.size=32"])


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of all files that are decoded."""
    seen: list[str] = []
    real = scanning.scan

    def counting(root: Path, paths: list[str], recipe: scanning.Recipe, workers: int) -> Iterator[scanning.Scanned]:
        seen.extend(paths)
        return real(root, paths, recipe, 1)

    monkeypatch.setattr(preparing, "scan", counting)
    return seen


def run(root: Path, settings: Settings, out: Path) -> Path:
    """Run the steps one after another; return the store's folder."""
    given = arguments(settings)
    made = {name: SimpleNamespace(path=str(out / name), metadata={}) for name in ("dataset", "result", "store")}
    ingest.python_func(str(root), "r", given["ingest_settings"], made["dataset"])
    validate.python_func(str(root), made["dataset"], given["validate_settings"], made["result"])
    preprocess.python_func(str(root), made["dataset"], made["result"], given["preprocess_settings"], made["store"])
    return out / "store"


def test_each_file_is_decoded_once_from_the_gate_to_the_store(
    root: Path, settings: Settings, decoded: list[str], tmp_path: Path
) -> None:
    store = ImageStore.open(run(root, settings, tmp_path / "run"), digests=True)
    assert len(store) == 40
    assert len(decoded) == 40
    # Other bounds, another split and another dataset folder with the same files: nothing is decoded again.
    other = load(settings.home, ["data.source=nih", "data.findings=[Effusion, Edema]", "preprocess.size=32"])
    bounds = other.validation.model_copy(update={"min_patients": 2})
    other = other.model_copy(update={"validation": bounds, "split": other.split.model_copy(update={"seed": 5})})
    again = ImageStore.open(run(root, other, tmp_path / "again"), digests=True)
    assert len(decoded) == 40
    assert not np.array_equal(again.rows["split"], store.rows["split"])
    # On a cluster the next step finds what the gate decoded in the gate's artifact alone.
    for file in (settings.var / "prepared").iterdir():
        file.unlink()
    given = arguments(settings)
    made = {
        name: SimpleNamespace(path=str(tmp_path / "run" / name), metadata={"images": 40})
        for name in ("dataset", "result")
    }
    target = SimpleNamespace(path=str(tmp_path / "elsewhere"), metadata={})
    preprocess.python_func(str(root), made["dataset"], made["result"], given["preprocess_settings"], target)
    assert len(decoded) == 40


def test_a_packed_dataset_gives_the_same_store(
    root: Path, settings: Settings, decoded: list[str], tmp_path: Path
) -> None:
    pack.pack(root, tmp_path / "packed")
    loose = ImageStore.open(run(root, settings, tmp_path / "loose"))
    packed = ImageStore.open(run(tmp_path / "packed", settings, tmp_path / "shards"))
    assert [shard["sha256"] for shard in packed.info["shards"]] == [shard["sha256"] for shard in loose.info["shards"]]
    assert len(decoded) == 40, "the same contents, wherever they lie"


def test_bad_data_stop_at_the_gate_and_leave_the_page(
    root: Path, settings: Settings, decoded: list[str], tmp_path: Path
) -> None:
    for number in (1, 2, 3):
        (root / "images" / f"{number:08}_000.png").write_bytes(b"\x89PNG\r\n\x1a\nhalf")
    with pytest.raises(DataGateError, match="files_mostly_readable"):
        run(root, settings, tmp_path / "run")
    assert (tmp_path / "run" / "result" / "report.html").is_file()
    assert not (tmp_path / "run" / "store").exists()
    assert json.loads((tmp_path / "run" / "result" / "result.json").read_text())["success"] is False


def test_a_crop_to_the_lungs_is_what_the_bundle_will_read(
    root: Path, settings: Settings, decoded: list[str], tmp_path: Path
) -> None:
    cropped = settings.model_copy(update={"preprocess": settings.preprocess.model_copy(update={"crop": "lungs"})})
    store = ImageStore.open(run(root, cropped, tmp_path / "run"))
    assert store.info["preprocessing"] == {"size": 32, "resize": "squash", "clahe": False, "crop": "lungs"}
    plain = ImageStore.open(run(root, settings, tmp_path / "plain"))
    assert not np.array_equal(store.images([0]), plain.images([0]))
