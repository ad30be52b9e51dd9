"""`thorax data` as a person, and as a machine, uses it."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from dvc.repo import Repo
from PIL import Image
from typer.testing import CliRunner

from commands.data import app
from thorax.errors import InputError, ThoraxError

TABLE = """Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position
00000001_000.png,Effusion,0,1,57,M,PA
00000002_000.png,No Finding,0,2,58,F,AP
00000003_000.png,Edema|Effusion,0,3,59,F,AP
"""


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Three images in NIH's layout, outside the project."""
    root = tmp_path / "elsewhere"
    (root / "images").mkdir(parents=True)
    (root / "Data_Entry_2017.csv").write_text(TABLE)
    for number in (1, 2, 3):
        pixels = np.random.default_rng(number).integers(0, 255, (32, 32), dtype=np.uint8)
        Image.fromarray(pixels).save(root / "images" / f"{number:08d}_000.png")
    return root


@pytest.fixture
def call(home: Path, monkeypatch):
    """Run a command in a project of one's own; return what it prints."""
    monkeypatch.setenv("THORAX_HOME", str(home))
    monkeypatch.chdir(home)

    def run(*arguments: object) -> str:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if isinstance(result.exception, ThoraxError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout

    return run


@pytest.fixture
def repository(home: Path) -> Path:
    subprocess.run(("git", "init", "-q"), cwd=home, check=True)
    Repo.init(str(home)).close()
    return home


def test_ingest_prints_a_table_and_writes_the_manifest(call, dataset, home):
    text = call("ingest", "--source", "nih", "--root", dataset)
    assert "3 images of 3 patients, 0 boxes" in " ".join(text.split())
    assert "66.67%" in text
    assert (home / "var/manifests/nih/manifest.parquet").is_file()


def test_ingest_tells_a_machine_the_same(call, dataset):
    facts = json.loads(call("ingest", "--source", "nih", "--root", dataset, "--json"))
    assert facts["images"] == 3
    assert facts["labels"]["Effusion"] == {
        "present": 2,
        "absent": 1,
        "uncertain": 0,
        "not_mentioned": 0,
        "prevalence": pytest.approx(2 / 3),
    }


@pytest.mark.slow
def test_show_writes_one_page(call, dataset, tmp_path):
    page = tmp_path / "page.html"
    facts = json.loads(call("show", "--source", "nih", "--root", dataset, "--out", page, "--json"))
    assert facts == {"page": str(page), "images": 3, "boxes": 0}
    assert "data:image/png;base64," in page.read_text()


def test_what_is_expected_can_be_listed(call):
    listed = {one["name"]: one["severity"] for one in json.loads(call("validate", "--list", "--json"))}
    assert listed["patients_in_one_split"] == "critical" and listed["pictures_upright"] == "warning"
    assert "are in two splits" in " ".join(call("validate", "--list").split())


def test_status_of_data_that_is_not_versioned(call, dataset, home):
    (home / "data").symlink_to(dataset)
    assert json.loads(call("status", "--json"))["condition"] == "untracked"
    assert "thorax data add" in call("status")


def test_a_wrong_override_is_refused_by_its_path(call):
    with pytest.raises(ThoraxError, match=r"data\.sauce: unknown key"):
        call("status", "-S", "data.sauce=nih")


def test_add_needs_a_repository(call, dataset):
    with pytest.raises(InputError, match="no DVC repository"):
        call("add", dataset)


@pytest.mark.slow
def test_add_brings_in_versions_and_never_loses_data(call, dataset, repository):
    facts = json.loads(call("add", dataset, "--json"))
    assert (facts["source"], facts["condition"], facts["cached"]) == ("nih", "clean", True)
    assert (repository / "data/images/00000001_000.png").is_file()
    assert (repository / "data.dvc").is_file()
    assert json.loads(call("status", "--json"))["revision"] == facts["revision"]

    # Another dataset does not take its place unasked, nor over changes that DVC could not bring back.
    with pytest.raises(InputError, match="--replace"):
        call("add", dataset)
    (repository / "data" / "new.txt").write_text("mine")
    with pytest.raises(InputError, match="would lose files"):
        call("add", dataset, "--replace")
    assert "changed since it was recorded" in " ".join(call("status").split())

    # The change is recorded by adding the folder itself; then it may be replaced.
    recorded = json.loads(call("add", repository / "data", "--json"))
    assert recorded["revision"] != facts["revision"]
    replaced = json.loads(call("add", dataset, "--replace", "--move", "--json"))
    assert replaced["revision"] == facts["revision"]
    assert not (dataset / "images").exists()


@pytest.mark.slow
def test_add_says_which_adapter_fits_and_what_to_do_next(call, dataset, repository):
    text = " ".join(call("add", dataset, "--link").split())
    assert "is versioned as" in text
    assert "git add data.dvc .gitignore" in text and "dvc push" in text
    assert "data.source: nih" in text


@pytest.mark.slow
def test_a_dataset_that_fails_critically_gives_exit_code_1_and_a_page(call, dataset):
    rows = [TABLE.splitlines()[0]]
    for number in range(1, 41):
        image = f"{number:08d}_000.png"
        rows.append(f"{image},{'Effusion' if number % 2 else 'Edema'},0,{number},57,M,PA")
        pixels = np.random.default_rng(number).integers(0, 255, (48, 48), dtype=np.uint8)
        Image.fromarray(pixels).save(dataset / "images" / image)
    (dataset / "images" / "00000007_000.png").write_bytes(b"no image")
    (dataset / "Data_Entry_2017.csv").write_text("\n".join(rows) + "\n")
    result = CliRunner().invoke(app, ["validate", "--source", "nih", "--root", str(dataset), "--json"])
    assert result.exit_code == 1, result.output
    facts = json.loads(result.stdout)
    assert facts["success"] is False
    assert facts["critical"]
    assert Path(facts["page"]).is_file()
    assert Path(facts["failures"]).is_file()


@pytest.mark.slow
def test_two_revisions_are_told_apart_and_one_is_set_beside_the_other(call, dataset, repository, tmp_path):
    def commit(message: str) -> None:
        for command in (
            ("add", "-A"),
            ("-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", message),
        ):
            subprocess.run(("git", *command), cwd=repository, check=True, capture_output=True)

    nih = ("-S", "data.source=nih")
    labels = TABLE
    for number in range(4, 13):
        shutil.copy(dataset / "images" / "00000001_000.png", dataset / "images" / f"{number:08d}_000.png")
        labels += f"{number:08d}_000.png,No Finding,0,{number},57,M,PA\n"
    (dataset / "Data_Entry_2017.csv").write_text(labels)
    call("add", dataset)
    commit("one")
    (dataset / "Data_Entry_2017.csv").write_text(labels.replace("Edema|Effusion", "Edema"))
    call("add", dataset, "--replace", "--pack")
    commit("two")
    facts = json.loads(call("diff", "HEAD~1", "HEAD", *nih, "--json", "--html", tmp_path / "diff.html"))
    assert facts["relabelled"] == [["00000003_000.png", "Effusion", "present", "absent"]]
    assert facts["added"] == facts["removed"] == facts["changed"] == []
    assert "labels changed" in (tmp_path / "diff.html").read_text()
    text = " ".join(call("diff", "HEAD~1", *nih).split())
    assert "1 labels changed: 00000003_000.png Effusion: present → absent" in text
    checked = CliRunner().invoke(app, ["validate", *nih, "--against", "HEAD~1", "--json"])
    outcomes = {one["name"]: one["success"] for one in json.loads(checked.stdout)["expectations"]}
    assert outcomes["prevalence_as_before"] is True
    # Packed data is read like any other; an older revision stands beside it.
    assert json.loads(call("ingest", *nih, "--json"))["images"] == 12
    older = json.loads(call("checkout", "HEAD~1", *nih, "--json"))
    assert (Path(older["root"]) / "images" / "00000003_000.png").is_file()
    assert (
        json.loads(call("ingest", "--source", "nih", "--root", older["root"], "--json"))["revision"]
        == older["revision"]
    )


def test_pack_and_unpack(call, dataset, tmp_path):
    assert json.loads(call("pack", dataset, tmp_path / "packed", "--json"))["images"] == 3
    assert "3 images" in call("unpack", tmp_path / "packed", tmp_path / "back")
    assert (tmp_path / "back" / "Data_Entry_2017.csv").read_text() == TABLE
    with pytest.raises(InputError, match="exclude each other"):
        call("add", dataset, "--pack", "--move")
