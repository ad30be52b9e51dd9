"""What would stop a run hours later is found by its first step, all of it at once, with the mend."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from versioned_data import versioned_data

from components.check import check
from components.ingest import ingest
from components.train import train
from thorax.datasets import arrival
from thorax.errors import InputError, RegistryError, RoomError
from thorax.settings import Settings, load
from thorax.steps import arguments

REVISION = "0123456789abcdef0123456789abcdef.dir"


def artifact(path: Path, **metadata: object) -> SimpleNamespace:
    return SimpleNamespace(path=str(path), metadata=metadata)


@pytest.fixture
def settings(home: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("THORAX_HOME", str(home))
    (home / "data").mkdir()
    return load(home)


def look(settings: Settings, revision: str = "files:0", **told: object) -> str:
    """Run the step; return what it left."""
    out = settings.home / "checked"
    handed = arguments(settings, {"check": told})["check_settings"]
    check.python_func(str(settings.data_root), revision, handed, artifact(out))
    return out.read_text()


def test_a_machine_on_which_nothing_is_missing_passes(settings: Settings) -> None:
    assert look(settings, data={"files": 10}) == "code, data, room and MLflow are as they should be\n"


def test_an_image_of_another_commit_names_every_step_whose_code_is_another(settings: Settings) -> None:
    handed = json.loads(arguments(settings)["check_settings"])
    handed["codes"] |= {"train": "0" * 64, "register": "0" * 64}
    with pytest.raises(InputError, match="code of train, register here") as refused:
        check.python_func(str(settings.data_root), "files:0", json.dumps(handed), artifact(settings.home / "out"))
    assert "Build the image" in refused.value.mend or "build the image" in refused.value.mend


@pytest.mark.slow
def test_a_gpu_that_is_not_there_is_missed_at_once_and_by_training_too(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"cluster\.steps\.train\.gpu asks for 2, and PyTorch sees no GPU") as refused:
        look(settings, gpus=2)
    assert "cluster.image" in refused.value.mend
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert "2 GPUs" in look(settings, gpus=2)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    handed = arguments(settings, {"train": {"gpus": 2}})["train_settings"]
    with pytest.raises(InputError, match="PyTorch sees 1 GPU"):
        train.python_func(artifact(settings.home / "no store"), "custom_cnn", handed, artifact(settings.home / "out"))


def test_a_volume_too_small_for_the_prepared_images_is_refused_with_both_figures(settings: Settings) -> None:
    with pytest.raises(RoomError, match=r"needs about \d+ MiB, and its disk has \d+ MiB free"):
        look(settings, data={"files": 10**12})


def test_mlflow_that_the_cluster_does_not_reach(settings: Settings) -> None:
    away = load(settings.home, ["registry.tracking_uri=http://127.0.0.1:9"])
    with pytest.raises(RegistryError, match=r"MLflow at http://127\.0\.0\.1:9 cannot be reached from here") as refused:
        look(away)
    assert "registry.tracking_uri" in refused.value.mend


def test_all_that_is_wrong_is_told_at_once(settings: Settings) -> None:
    away = load(settings.home, ["registry.tracking_uri=http://127.0.0.1:9"])
    with pytest.raises(InputError, match="2 things would stop this run") as refused:
        look(away, revision=REVISION)
    assert "no DVC remote is known" in refused.value.message
    assert "cannot be reached from here" in refused.value.message


@pytest.mark.slow
def test_ingest_fetches_the_revision_to_the_volume(settings: Settings, tmp_path: Path) -> None:
    """On a cluster: neither a clone nor the data, only a volume, and what was said when the run was submitted."""
    from thorax.datasets.phantom.generate import make_phantom

    (settings.home / "data").rmdir()
    make_phantom(settings.home / "data", count=12, size=32, seed=1, findings=("Effusion",))
    versioned_data(settings.home, str(tmp_path / "remote"))
    wanted = arrival.consign(settings.data_root)
    known = {key: value for key, value in wanted.as_dict().items() if key != "revision"}
    volume = settings.model_copy(
        update={"paths": settings.paths.model_copy(update={"var": tmp_path / "volume" / "var"})}
    )
    volume = volume.model_copy(update={"data": settings.data.model_copy(update={"findings": ("Effusion",)})})
    given = arguments(volume, {"ingest": {"data": known}, "check": {"data": known}})
    there = str(tmp_path / "volume" / "data")
    check.python_func(there, wanted.revision, given["check_settings"], artifact(tmp_path / "checked"))
    dataset = artifact(tmp_path / "dataset")
    ingest.python_func(there, wanted.revision, given["ingest_settings"], dataset)
    assert dataset.metadata["images"] == 12
    folder = Path(dataset.metadata["root"])
    assert folder.is_relative_to(tmp_path / "volume" / "var" / "revisions")
    assert folder.name == "data"
