"""Two revisions of a dataset told apart, one of them trained on again, and both on a remote: DVC and S3 are real."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from dvc.repo import Repo
from PIL import Image
from s3_server import CREDENTIALS, s3_server

from thorax.datasets import comparing, pack, revisions, versioning
from thorax.errors import InputError
from thorax.settings import Data, load

pytestmark = pytest.mark.slow
DATA = Data(source="nih")
TABLE = "Data_Entry_2017.csv"
HEADER = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position\n"


def run(folder: Path, *command: str) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def commit(home: Path, message: str) -> None:
    versioning.track(home, home / "data")
    run(home, "git", "add", "data.dvc", ".gitignore", ".dvc")
    run(home, "git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", message)


def write(root: Path, labels: dict[int, str], level: int = 0) -> None:
    (root / "images").mkdir(parents=True, exist_ok=True)
    rows = [f"{number:08}_000.png,{label},0,{number},57,M,PA" for number, label in labels.items()]
    (root / TABLE).write_text(HEADER + "\n".join(rows) + "\n")
    for number in labels:
        file = root / "images" / f"{number:08}_000.png"
        if not file.exists():
            Image.fromarray(np.full((20, 24), number * 9 + level, np.uint8)).save(file)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A repository with a local remote and two revisions: `one`, and HEAD with every kind of change."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "params.yaml").write_text("{}\n")
    run(home, "git", "init", "-q")
    Repo.init(str(home)).close()
    url = tmp_path / "remote"
    (home / ".dvc" / "config").write_text(
        f"[core]\n    analytics = false\n    remote = local\n['remote \"local\"']\n    url = {url}\n"
    )
    labels = dict.fromkeys(range(1, 11), "No Finding") | {2: "Edema", 3: "Effusion"}
    write(home / "data", labels)
    commit(home, "one")
    run(home, "git", "tag", "one")
    (home / "data" / "images" / "00000001_000.png").unlink()
    (home / "data" / "images" / "00000005_000.png").unlink()
    after = {number: label for number, label in labels.items() if number != 1} | {2: "Edema|Effusion", 11: "Mass"}
    write(home / "data", after, level=1)
    commit(home, "two")
    return home


def test_every_kind_of_change_is_told(home: Path, tmp_path: Path) -> None:
    before, after = (revisions.at(home, DATA, home / "data", name) for name in ("one", "workspace"))
    found = comparing.compare(before, after)
    assert found.added == ("00000011_000.png",)
    assert found.removed == ("00000001_000.png",)
    assert found.changed == ("00000005_000.png",)
    assert found.relabelled == (("00000002_000.png", "Effusion", "absent", "present"),)
    assert found.images == (10, 10) and found.patients == (10, 10)
    effusion = next(row for row in found.findings if row["finding"] == "Effusion")
    assert (effusion["count_before"], effusion["count_after"]) == (1, 2)
    assert (effusion["share_before"], effusion["share_after"]) == pytest.approx((0.1, 0.2))
    assert found.before == ("one", before.revision) and before.revision != after.revision
    json.dumps(found.as_dict())
    page = comparing.page(found)
    assert "00000011_000.png" in page and "+10.00 points" in page and "http" not in page
    assert comparing.compare(after, revisions.at(home, DATA, home / "data", "HEAD")).nothing


def test_a_revision_is_set_beside_the_working_data_and_known_again(home: Path, tmp_path: Path) -> None:
    done: list[int] = []
    folder, digest = revisions.checkout(home, home / "data", "one", tmp_path / "var", done.append)
    assert sum(done) == 11
    assert (folder / "images" / "00000001_000.png").is_file()
    assert not (home / "data" / "images" / "00000001_000.png").exists()
    assert versioning.revision(home, folder) == digest == revisions.at(home, DATA, home / "data", "one").revision
    assert versioning.state(home, folder).condition == "clean"
    assert revisions.checkout(home, home / "data", "one", tmp_path / "var", done.append)[0] == folder
    assert sum(done) == 11, "not fetched again"
    settings = load(home, [f"paths.var={tmp_path / 'var'}", "data.source=nih"])
    assert revisions.pin(settings, "one").data_root == folder
    revisions.forget(tmp_path / "var")
    assert not folder.exists()


def test_what_is_not_there_is_refused_by_name(home: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no revision 'nowhere'"):
        revisions.at(home, DATA, home / "data", "nowhere")
    shutil.rmtree(home / ".dvc" / "cache")
    with pytest.raises(InputError, match="neither in DVC's cache nor on the remote"):
        revisions.at(home, DATA, home / "data", "one")


def test_a_dataset_in_shards_is_compared_image_by_image(home: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    pack.pack(home / "data", packed)
    shutil.rmtree(home / "data")
    packed.rename(home / "data")
    commit(home, "three")
    before, after = (revisions.at(home, DATA, home / "data", name) for name in ("HEAD~1", "HEAD"))
    assert comparing.compare(before, after).nothing
    shard = home / "data" / "images-00000.tar"
    assert shard.is_file() and after.digests == before.digests


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """A server that speaks S3; the address of it."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with s3_server(tmp_path / "s3.log") as address:
        yield address


def test_push_and_pull_through_s3(home: Path, s3: str, wipe: Callable[[Path], None]) -> None:
    import boto3

    boto3.client("s3", endpoint_url=s3).create_bucket(Bucket="thorax")
    (home / ".dvc" / "config").write_text(
        "[core]\n    analytics = false\n    remote = bucket\n"
        f"['remote \"bucket\"']\n    url = s3://thorax/data\n    endpointurl = {s3}\n"
    )
    recorded = versioning.state(home, home / "data")
    files = {path.name: path.read_bytes() for path in (home / "data").rglob("*.png")}
    assert versioning.push(home, home / "data") == len(files) + 2, "images, table, and the list of them"
    stored = boto3.client("s3", endpoint_url=s3).list_objects_v2(Bucket="thorax")["KeyCount"]
    assert stored == len(files) + 2
    wipe(home)
    assert versioning.pull(home, home / "data").revision == recorded.revision
    assert {path.name: path.read_bytes() for path in (home / "data").rglob("*.png")} == files
    with pytest.raises(InputError, match="DVC failed"):
        boto3.client("s3", endpoint_url=s3).delete_object(
            Bucket="thorax",
            Key=boto3.client("s3", endpoint_url=s3).list_objects_v2(Bucket="thorax")["Contents"][0]["Key"],
        )
        wipe(home)
        versioning.pull(home, home / "data")


@pytest.fixture
def wipe() -> Callable[[Path], None]:
    """Remove the data and DVC's cache of them."""

    def run(home: Path) -> None:
        for folder in (home / "data", home / ".dvc" / "cache"):
            shutil.rmtree(folder, ignore_errors=True)

    return run
