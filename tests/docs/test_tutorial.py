"""The tutorial does what it says: its blocks are run, line by line, in a project of one's own."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
#: What the reader's machine has that this one has already, in the environment that the tests run in.
DONE_HERE = ("make setup", "source .venv/bin/activate")
#: Fewer and smaller images than the reader's, one quick network in place of three, and gates that such a one passes.
SMALLER = {"--count 2400": "--count 240", "--size 128": "--size 64"}
SETTINGS = {
    "train": {"architectures": ["custom_cnn"], "epochs": 2, "threads": 1, "overrides": {}},
    "split": {"train": 0.4, "validation": 0.1, "calibration": 0.1, "test": 0.4},  # enough to compare two models on
    "preprocess": {"size": 48},
    "evaluation": {"bootstrap": 50, "faithfulness": 0},
    "registry": {
        "gates": {
            "min_mean_auroc": 0.0, "min_auroc": 0.0, "max_ece": 1.0, "min_sensitivity": 0.0,
            "conformal_slack": 1.0, "challenger_margin": 1.0,
        }
    },
    "validation": {"min_positives": 2},
}  # fmt: skip


def blocks(page: Path) -> list[str]:
    """Return the lines of a page's shell blocks, continued lines joined."""
    found = re.findall(r"```bash\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [line for block in found for line in block.replace("\\\n", " ").splitlines() if line.strip()]


def lay_over(tree: dict, changes: dict) -> dict:
    return (
        tree
        | {
            key: lay_over(tree[key], value) if isinstance(value, dict) and isinstance(tree.get(key), dict) else value
            for key, value in changes.items()
        }
        | ({"overrides": {}} if "overrides" in changes else {})
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """What a clone holds, with the smaller settings."""
    settings = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = lay_over(settings, SETTINGS | {"serve": {"port": port}})
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    for name in ("dvc.yaml", ".gitignore"):
        shutil.copy(ROOT / name, tmp_path / name)
    git = ["git", "-c", "user.name=reader", "-c", "user.email=reader@example.org"]
    for command in ([*git, "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"], [*git, "add", "-A"]):
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    subprocess.run([*git, "commit", "-qm", "begin"], cwd=tmp_path, check=True, capture_output=True)
    return tmp_path


def environment() -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    unset = ("THORAX_HOME", "no_proxy", "NO_PROXY")  # the proxy of the environment stays, as in a hospital
    return {key: value for key, value in os.environ.items() if key not in unset} | {"PATH": path}


@contextmanager
def served(line: str, project: Path, address: str) -> Iterator[None]:
    """Run the service in another terminal, so to say."""
    with (project / "serve.txt").open("w") as told:
        process = subprocess.Popen(
            line.split(), cwd=project, env=environment(), stdout=told, stderr=told, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 180
        while True:
            assert process.poll() is None, (project / "serve.txt").read_text()
            assert time.monotonic() < deadline, (project / "serve.txt").read_text()
            try:
                with urllib.request.urlopen(f"{address}/readyz", timeout=5):
                    break
            except OSError:
                time.sleep(0.5)
        yield
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()


@pytest.mark.slow
@pytest.mark.timeout(900)  # about fifteen commands, each of which imports its tools anew
def test_every_line_of_the_tutorial_runs(project: Path) -> None:
    port = yaml.safe_load((project / "params.yaml").read_text())["serve"]["port"]
    lines = [line for line in blocks(ROOT / "docs" / "tutorial.md") if line not in DONE_HERE]
    for long, short in SMALLER.items():
        assert any(long in line for line in lines), f"the tutorial no longer says {long}"
        lines = [line.replace(long, short) for line in lines]
    run: list[str] = []

    def rest() -> None:
        for line in lines[len(run) :]:
            if line == "thorax serve" and line not in run:
                run.append(line)
                with served(line, project, f"http://127.0.0.1:{port}"):
                    rest()
                return
            command = line.replace("127.0.0.1:3000", f"127.0.0.1:{port}").replace("curl -F", "curl -fsS -F")
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", command],
                cwd=project,
                env=environment(),
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, f"{line}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
            run.append(line)

    rest()
    assert run == lines
    assert (project / "var" / "reports" / "comparison.html").is_file()  # the page that the tutorial sends one to
    assert list((project / "heatmaps").iterdir())
