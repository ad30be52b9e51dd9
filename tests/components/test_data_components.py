"""The first three steps as the pipeline runs them: one decode of each file, and nothing built from bad data."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from components.ingest import ingest
from components.prepare import prepare
from components.preprocess import preprocess
from components.validate import validate
from thorax.datasets import pack
from thorax.datasets.phantom.render import render
from thorax.datasets.phantom.sheet import subjects
from thorax.errors import DataGateError, InputError, RoomError
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


def artifact(path: Path, **metadata: object) -> SimpleNamespace:
    """What Kubeflow hands to a step for an artifact."""
    return SimpleNamespace(path=str(path), metadata=metadata)


def run(root: Path, settings: Settings, out: Path) -> Path:
    """Run the steps one after another; return the store's folder."""
    given = arguments(settings)
    dataset, result, store = (artifact(out / name) for name in ("dataset", "result", "store"))
    ingest.python_func(str(root), "files:0", given["ingest_settings"], dataset)
    parts = [artifact(out / f"part{number}") for number, _ in enumerate(given["parts"])]
    for part, target in zip(given["parts"], parts, strict=True):
        prepare.python_func(dataset, part, given["prepare_settings"], target)
    validate.python_func(dataset, parts, given["validate_settings"], result)
    preprocess.python_func(dataset, parts, result, given["preprocess_settings"], store)
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


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a store, but for the times in it: there are none."""
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


@pytest.mark.parametrize("count", [2, 3, 9])
def test_any_number_of_parts_gives_the_same_bytes_wherever_they_are_made(
    root: Path, settings: Settings, decoded: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Each part on a machine that shares nothing with the others but its artifact, as on a cluster without a volume."""
    small = settings.preprocess.model_copy(update={"shard_rows": 8})
    settings = settings.model_copy(update={"preprocess": small})
    (root / "images" / "00000011_000.png").write_bytes(b"\x89PNG\r\n\x1a\nhalf")
    bounds = settings.validation.model_copy(update={"max_unreadable_share": 0.1})
    settings = settings.model_copy(update={"validation": bounds})
    whole = contents(run(root, settings, tmp_path / "whole"))
    told = json.loads((tmp_path / "whole" / "result" / "result.json").read_text())

    apart = settings.model_copy(update={"pipeline": settings.pipeline.model_copy(update={"parts": count})})
    given = arguments(apart)
    dataset = artifact(tmp_path / "whole" / "dataset", images=40, root=str(root))
    parts = [artifact(tmp_path / f"part{number}") for number in range(count)]
    decoded.clear()
    handed = json.loads(given["prepare_settings"])
    for number, target in enumerate(parts):
        handed["settings"]["paths"]["var"] = str(tmp_path / f"machine{number}")
        prepare.python_func(dataset, f"{number + 1}/{count}", json.dumps(handed), target)
    assert sorted(decoded) == sorted(f"images/{number:08}_000.png" for number in range(1, 41)), "each once"

    result, store = artifact(tmp_path / "result"), artifact(tmp_path / "store")
    for step, call in (
        ("validate", lambda given: validate.python_func(dataset, parts, given, result)),
        ("preprocess", lambda given: preprocess.python_func(dataset, parts, result, given, store)),
    ):
        handed = json.loads(given[f"{step}_settings"])
        handed["settings"]["paths"]["var"] = str(tmp_path / "last machine")
        call(json.dumps(handed))
    assert len(decoded) == 40, "what a part decoded is found in its artifact"
    assert contents(tmp_path / "store") == whole
    assert json.loads((tmp_path / "result" / "result.json").read_text()) == told
    notes = [json.loads((Path(part.path) / "part.json").read_text()) for part in parts]
    assert sum(note["images"] for note in notes) == 40
    [unreadable] = [note["unreadable"] for note in notes if note["unreadable"]]
    assert list(unreadable) == ["00000011_000.png"]


def test_a_part_that_fails_names_its_images(
    root: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = settings.preprocess.model_copy(update={"shard_rows": 10})
    settings = settings.model_copy(update={"preprocess": small})
    given = arguments(settings)
    dataset = artifact(tmp_path / "dataset")
    ingest.python_func(str(root), "files:0", given["ingest_settings"], dataset)
    (root / "images" / "00000011_000.png").write_bytes(b"\x89PNG\r\n\x1a\nhalf")
    prepare.python_func(dataset, "2/4", given["prepare_settings"], artifact(tmp_path / "part"))
    assert "images/00000011_000.png" in capsys.readouterr().out, "one that cannot be read is named at once"
    monkeypatch.setattr(preparing, "room", lambda *_: 2**60)
    with pytest.raises(RoomError, match="part 2/4, 10 images") as refused:
        prepare.python_func(dataset, "2/4", given["prepare_settings"], artifact(tmp_path / "part"))
    assert "00000011_000.png to 00000020_000.png" in refused.value.message
    with pytest.raises(InputError, match="is no part"):
        prepare.python_func(dataset, "5/4", given["prepare_settings"], artifact(tmp_path / "part"))


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
