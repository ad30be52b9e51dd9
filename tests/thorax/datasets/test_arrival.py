"""A data revision that has to come to where the run is: from a volume, from a folder, from an object store."""

import json
import shutil
from pathlib import Path

import pytest
from s3_server import CREDENTIALS, s3_server
from versioned_data import versioned_data

from thorax.datasets import arrival, versioning
from thorax.datasets.arrival import Consignment
from thorax.errors import InputError, RoomError

pytestmark = pytest.mark.slow


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def consigned(home: Path, tmp_path: Path) -> Consignment:
    """Data on a remote that is a folder."""
    versioned_data(home, str(tmp_path / "remote"))
    return arrival.consign(home / "data")


def test_what_is_handed_on_says_where_the_revision_is_and_how_much(home: Path, tmp_path: Path) -> None:
    revision = versioned_data(home, str(tmp_path / "remote"))
    told = arrival.consign(home / "data")
    assert told == Consignment(revision, told.size, 3, {"url": str(tmp_path / "remote")})
    assert told.size == sum(map(len, files(home / "data").values()))


def test_a_revision_that_the_remote_does_not_have_is_refused_with_the_mend(home: Path, tmp_path: Path) -> None:
    revision = versioned_data(home, str(tmp_path / "remote"), push=False)
    with pytest.raises(InputError, match=f"{revision} is not on the remote") as refused:
        arrival.consign(home / "data")
    assert "dvc push" in refused.value.mend
    wanted = Consignment(revision, 100, 3, {"url": str(tmp_path / "remote")})
    with pytest.raises(InputError, match="is not on the remote"):
        arrival.bring(wanted, tmp_path / "volume" / "data", tmp_path / "volume" / "var")
    assert not (tmp_path / "volume" / "var" / "revisions").exists()


def test_it_is_fetched_to_a_folder_of_its_own_and_once(home: Path, consigned: Consignment, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    place = arrival.bring(consigned, volume / "data", volume / "var")
    assert files(place) == files(home / "data")
    assert [path.name for path in sorted(place.parent.iterdir())] == ["data", "revision.json"]
    assert versioning.revision(home, place) == consigned.revision, "the folder is known for what it is"
    shutil.rmtree(tmp_path / "remote")
    assert arrival.bring(consigned, volume / "data", volume / "var") == place
    # A later revision shares on the disk what has not changed.
    (home / "data" / "images" / "3.png").write_text("new")
    (home / ".dvc" / "config").write_text((home / ".dvc" / "config").read_text())
    versioned_data(home, str(tmp_path / "remote"))
    later = arrival.bring(arrival.consign(home / "data"), volume / "data", volume / "var")
    assert later != place and (later / "images" / "3.png").read_text() == "new"
    assert (later / "images" / "1.png").samefile(place / "images" / "1.png")


def test_data_that_lie_on_the_volume_are_taken_only_if_they_are_that_revision(
    home: Path, consigned: Consignment, tmp_path: Path
) -> None:
    volume = tmp_path / "volume"
    shutil.copytree(home / "data", volume / "data")
    assert arrival.bring(consigned, volume / "data", volume / "var") == volume / "data"
    (volume / "data" / "images" / "2.png").write_text("another picture")
    place = arrival.bring(consigned, volume / "data", volume / "var")
    assert place != volume / "data"
    assert files(place) == files(home / "data")
    nowhere = Consignment(consigned.revision)
    with pytest.raises(InputError, match="no DVC remote is known") as refused:
        arrival.bring(nowhere, volume / "data", tmp_path / "other")
    assert "dvc push" in refused.value.mend


def test_a_clone_of_the_project_is_taken_at_its_word(home: Path, consigned: Consignment, tmp_path: Path) -> None:
    assert arrival.here(home / "data", consigned.revision, tmp_path / "var") == home / "data"
    assert arrival.here(home / "data", "0" * 32 + ".dir", tmp_path / "var") is None
    assert arrival.here(home / "data", "files:1234", tmp_path / "var") == home / "data"
    assert arrival.extent(home / "data") == {"size": consigned.size, "files": 3}
    assert arrival.extent(tmp_path) == {}
    with pytest.raises(InputError, match="is not a folder"):
        arrival.bring(Consignment("files:1234"), tmp_path / "nowhere", tmp_path / "var")


def test_a_volume_that_is_too_small_is_found_before_anything_is_fetched(consigned: Consignment, tmp_path: Path) -> None:
    large = Consignment(consigned.revision, 2**60, 3, consigned.remote)
    with pytest.raises(RoomError, match="MiB free"):
        arrival.bring(large, tmp_path / "volume" / "data", tmp_path / "volume" / "var")
    assert not (tmp_path / "volume" / "var").exists()


def test_it_comes_from_an_object_store_as_well(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3

    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with s3_server(tmp_path / "s3.log") as address:
        boto3.client("s3", endpoint_url=address).create_bucket(Bucket="thorax")
        secret = "    access_key_id = somebody\n    secret_access_key = hunter2\n"
        versioned_data(home, "s3://thorax/data", options=f"    endpointurl = {address}\n{secret}")
        told = arrival.consign(home / "data")
        assert "hunter2" not in json.dumps(told.as_dict()), "no secret is handed on: a cluster has its own"
        assert told.remote == {"url": "s3://thorax/data", "endpointurl": address, "use_ssl": True}
        place = arrival.bring(told, tmp_path / "volume" / "data", tmp_path / "volume" / "var")
        assert files(place) == files(home / "data")
