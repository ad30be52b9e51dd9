"""Making a version again: what is checked out, what is compared, and what is said where it cannot be done.

The whole way, with a training, is in `tests/end_to_end`.
"""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from thorax.datasets import versioning
from thorax.errors import InputError, RegistryError
from thorax.registry import reproduction
from thorax.registry.bundles import fetch
from thorax.registry.reproduction import reproduce
from thorax.registry.tracking import client
from thorax.settings import Settings


@pytest.fixture
def project(with_registry: Settings) -> Settings:
    """A project in git, whose version 2 was made from a commit and from data that DVC does not track."""
    home = with_registry.home
    (home / "data").mkdir()
    (home / "data" / "one.txt").write_text("an image")
    name = ["-c", "user.name=tester", "-c", "user.email=tester@example.org"]
    for arguments in (["init", "-q"], ["add", "params.yaml"], ["commit", "-qm", "begin"]):
        subprocess.run(["git", *name, *arguments], cwd=home, check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=home, check=True, capture_output=True, text=True)
    facts = {"git_commit": head.stdout.strip(), "data_revision": versioning.fingerprint(home / "data")}
    for key, value in facts.items():
        client(with_registry).set_model_version_tag("thorax", "2", f"thorax.lineage.{key}", value)
    return with_registry


def ran(settings: Settings, monkeypatch: pytest.MonkeyPatch, change: float = 0.0) -> list[dict]:
    """Let the pipeline give the same bundle again, with one figure changed; returns the parameters that it saw."""
    seen: list[dict] = []

    def run(place: Path) -> Path:
        seen.append(yaml.safe_load((place / "params.yaml").read_text()))
        again = place / "registered" / "bundle"
        shutil.copytree(fetch(settings, "2"), again)
        for path in (again, *again.rglob("*")):
            path.chmod(0o755)
        tree = json.loads((again / "evaluation.json").read_text())
        tree["metrics"]["mean"]["auroc"]["value"] += change
        (again / "evaluation.json").write_text(json.dumps(tree))
        return again.parent

    monkeypatch.setattr(reproduction, "_run", run)
    return seen


def test_it_runs_the_recorded_parameters_in_a_project_of_its_own(
    project: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen = ran(project, monkeypatch)
    found = reproduce(project, "2", keep=tmp_path / "kept")
    assert found.equal
    assert len(found.figures) > 100
    assert "equal to the last digit" in found.words()
    params = seen[0]
    assert params["registry"]["tracking_uri"] is None, "nothing reaches the registry that it came from"
    assert params["train"]["architectures"] == ["custom_cnn"]
    assert params["evaluation"]["bootstrap"] == 100, "as it was when it was registered"
    assert params["data"]["root"] == str(project.data_root)
    assert (tmp_path / "kept" / ".git").is_dir()
    origin = {item.what: item for item in found.origin}
    assert origin["weights"].equal
    with pytest.raises(InputError, match="exists already"):
        reproduce(project, "2", keep=tmp_path / "kept")


def test_a_figure_that_differs_by_a_hair_shows(project: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    ran(project, monkeypatch, change=1e-12)
    found = reproduce(project, "2")
    assert (found.equal, found.differing) == (False, 1)
    assert [item.what for item in found.shown() if not item.equal] == ["metrics.mean.auroc.value"]
    assert found.words().startswith("1 of ")


def test_other_data_an_unknown_commit_and_an_ensemble_are_refused(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran(project, monkeypatch)
    tag = client(project).set_model_version_tag
    (project.home / "data" / "two.txt").write_text("another image")
    with pytest.raises(InputError, match="now holds files:"):
        reproduce(project, "2")
    tag("thorax", "2", "thorax.lineage.git_commit", "f" * 40)
    with pytest.raises(InputError, match="which this repository does not have"):
        reproduce(project, "2")
    tag("thorax", "2", "thorax.lineage.members", json.dumps([{"version": "1"}, {"version": "3"}]))
    with pytest.raises(RegistryError, match="ensemble of versions 1, 3"):
        reproduce(project, "2")


@pytest.mark.slow
def test_an_older_data_revision_is_checked_out_of_dvcs_cache(
    project: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The project has gone on to other data; its own folder is left as it is."""
    home = project.home
    import sys

    def dvc(*arguments: str) -> None:
        subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=home, check=True, capture_output=True)

    dvc("init", "-q")
    dvc("add", "-q", "data")
    revision = versioning.recorded(home / "data.dvc")
    client(project).set_model_version_tag("thorax", "2", "thorax.lineage.data_revision", revision)
    (home / "data" / "two.txt").write_text("another image")
    dvc("add", "-q", "data")
    seen = ran(project, monkeypatch)
    assert reproduce(project, "2", keep=tmp_path / "kept").equal
    data = Path(seen[0]["data"]["root"])
    assert sorted(path.name for path in data.glob("*.txt")) == ["one.txt"]
    assert data.is_relative_to(tmp_path / "kept")
    assert sorted(path.name for path in (home / "data").glob("*.txt")) == ["one.txt", "two.txt"]
