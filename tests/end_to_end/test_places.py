"""The loop in places unlike a developer's: below a path full of special characters, and in a download without Git."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest
from own_project import SMALL, OwnProject, served

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ODD = "my folder ü $x 'q' \"d\" (a&b;c) 50% #1 python3 [2]"


class Checkout(OwnProject):
    """A checkout with an environment of its own below it, in which everything seems to lie; see `environment_in`."""

    def __init__(self, folder: Path, source: Path, git: bool = True) -> None:
        for name in ("dvc.yaml", ".gitignore", "Makefile", "pyproject.toml", "requirements.lock"):
            shutil.copy(source / name, folder / name)
        for name in ("components", "pipelines", "presets", "thorax", "serving", "commands", "vocabularies"):
            shutil.copytree(source / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        self.python = environment_in(folder)
        self.path = os.environ["PATH"]
        super().__init__(folder, source, SMALL, git=git)

    @property
    def environment(self) -> dict[str, str]:
        path = f"{self.python.parent}{os.pathsep}{self.path}"
        return {k: v for k, v in os.environ.items() if k not in ("THORAX_HOME", "PYTHONPATH")} | {"PATH": path}

    def command(self, *arguments: str) -> list[str]:
        return ["thorax", *arguments]

    def dvc(self, *arguments: str) -> str:
        return str(self.run(["dvc", *arguments]).out)

    def make(self, target: str) -> str:
        return str(self.run(["make", target]).out)


def environment_in(folder: Path) -> Path:
    """Make a virtual environment whose packages are those of this one, by a link; return its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / ".venv")], check=True)
    (packages,) = (folder / ".venv" / "lib").glob("python3*/site-packages")
    packages.rmdir()
    packages.symlink_to(Path(pytest.__file__).parents[1], target_is_directory=True)
    python = folder / ".venv" / "bin" / "python"
    for name, module in (("thorax", "commands.main"), ("dvc", "dvc")):
        script = python.with_name(name)
        # As pip and uv write them where the interpreter's path has a blank.
        script.write_text(f'#!/bin/sh\nexec {shlex.quote(str(python))} -m {module} "$@"\n')
        script.chmod(0o755)
    (folder / ".venv" / ".ready").touch()
    return python


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Checkout:
    folder = tmp_path_factory.mktemp("places") / ODD
    folder.mkdir()
    checkout = Checkout(folder, Path(request.config.rootpath))
    checkout.thorax("data", "make-phantom", "--out", "data", "--count", "160", "--size", "64", "--seed", "3")
    checkout.dvc("add", "-q", "data")
    checkout.commit("begin")
    return checkout


def test_a_step_that_is_killed_is_named_and_the_next_run_goes_on(odd: Checkout) -> None:
    run = subprocess.Popen(
        odd.command("pipeline", "run"), cwd=odd.folder, env=odd.environment, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 200
    while not odd.at_work("train"):
        assert run.poll() is None and time.monotonic() < deadline, run.stderr and run.stderr.read()
        time.sleep(0.05)
    children = psutil.Process(run.pid).children(recursive=True)
    (step,) = [c for c in children if "kfp.dsl.executor_main" in c.cmdline()]
    step.send_signal(signal.SIGKILL)
    said = " ".join(run.communicate(timeout=100)[1].split())
    assert run.returncode == 1
    assert "The step train custom_cnn was killed (SIGKILL), probably because memory ran out." in said
    assert "Run it again: only what had not finished is repeated." in said


def test_dvc_runs_the_pipeline_and_the_model_is_served(odd: Checkout) -> None:
    odd.dvc("repro", "-q")
    assert "up to date" in odd.dvc("repro")
    (version,) = json.loads(odd.thorax("models", "list", "--json").out)
    assert version["state"] == "champion"
    image = sorted((odd.folder / "data" / "images").glob("*.png"))[0]
    alone = json.loads(odd.thorax("predict", str(image), "--out", "heat", "--json").out)
    with served(odd) as address:
        answer = httpx.post(f"{address}/predict", files={"file": ("a ü'.png", image.read_bytes())}, timeout=60).json()
    alone = alone[0] if isinstance(alone, list) else alone
    for one, two in zip(answer["findings"], alone["findings"], strict=True):
        assert one["probability"] == pytest.approx(two["probability"], abs=1e-4)
    assert "1 of 1 rows" in odd.thorax("log", "show").out
    assert odd.thorax("data", "diff", "HEAD", "workspace").out.startswith("The same images")
    assert "params.yaml: valid" in odd.make("doctor")


def test_the_project_installs_there(odd: Checkout, tmp_path: Path) -> None:
    for name in ("README.md", "LICENSE"):
        shutil.copy(Path(__file__).parents[2] / name, odd.folder / name)
    uv = str(Path(sys.executable).with_name("uv"))
    options = ["--offline", "--no-deps", "--no-build-isolation", "--python", sys.executable]
    odd.run([uv, "pip", "install", *options, "--target", str(tmp_path / "there"), "--editable", "."])
    assert Path((tmp_path / "there" / "thorax.pth").read_text().strip()) == odd.folder


@pytest.fixture(scope="module")
def download(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Checkout:
    """A download without its repository, unpacked somewhere in another project's."""
    other = tmp_path_factory.mktemp("other")
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "theirs"]):
        subprocess.run(["git", "-c", "user.name=x", "-c", "user.email=x@y.z", *command], cwd=other, check=True)
    (other / ".gitignore").write_text("*\n")
    folder = other / "thorax"
    folder.mkdir()
    return Checkout(folder, Path(request.config.rootpath), git=False)


def test_a_download_without_git_runs_whole(download: Checkout) -> None:
    download.thorax("data", "make-phantom", "--out", "data", "--count", "160", "--size", "64", "--seed", "3")
    assert "git add" not in download.thorax("data", "add", "data").out
    download.dvc("repro", "-q")
    (version,) = json.loads(download.thorax("models", "list", "--json").out)
    assert (version["lineage"]["git_commit"], version["lineage"]["git_clean"]) == ("unknown", "unknown")
    assert version["lineage"]["data_revision"].endswith(".dir")
    assert "Git commit: `unknown`" in download.thorax("models", "card", "1").out
    assert '"code": "unknown"' in download.thorax("models", "history", "--json").out
    assert download.git("status", "--porcelain", "--ignored", "--untracked-files=no") == ""
    assert download.git("rev-list", "--count", "HEAD") == "1", "the other project is left alone"
    assert download.thorax("data", "diff", "workspace", "workspace").out.startswith("The same images")
    said = " ".join(download.thorax("data", "diff", "HEAD", code=2).err.split())
    assert "is not a Git repository" in said and "`git init`" in said


def test_the_program_may_be_missing_too(download: Checkout, tmp_path: Path) -> None:
    programs = {one.name: one for folder in ("/bin", "/usr/bin") for one in Path(folder).iterdir() if one.is_file()}
    for name, program in programs.items():
        if not name.startswith("git"):
            (tmp_path / name).symlink_to(program)
    download.path = str(tmp_path)
    assert shutil.which("git", path=download.environment["PATH"]) is None
    again = json.loads(download.thorax("pipeline", "run", "--reason", "again", "--json").out)
    assert (again["version"], again["new"]) == ("1", False)
    assert json.loads(download.thorax("data", "status", "--json").out)["condition"] == "clean"
    download.dvc("status", "-q")
    assert "git" in download.make("doctor")
