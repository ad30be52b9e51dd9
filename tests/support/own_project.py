"""A project folder of one's own, with Git and DVC, and the commands that a person types in it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import yaml

from thorax.events import read_events

#: Settings under which the whole pipeline takes half a minute, and every model passes.
SMALL = {
    "train.architectures": ["custom_cnn"],
    "train.epochs": 3,
    "train.threads": 1,
    "train.overrides": {},
    "train.batch_size": 16,
    "preprocess.size": 48,
    "preprocess.shard_rows": 64,
    "pipeline.parts": 2,
    "evaluation.bootstrap": 60,
    "registry.gates.min_mean_auroc": 0.0,
    "registry.gates.min_auroc": 0.0,
    "registry.gates.max_ece": 1.0,
    "validation.min_positives": 2,
}


class OwnProject:
    """A folder with a `params.yaml` of its own, under DVC, and under Git where it is not a mere download.

    Args:
        folder: an empty one.
        source: the project whose `params.yaml` is taken.
        settings: a dotted key, and its value where it differs.
        patience: seconds that a command may take.
        git: whether it is a repository; else it is what `git archive` gives.
    """

    def __init__(
        self, folder: Path, source: Path, settings: Mapping[str, Any], patience: float = 400, git: bool = True
    ) -> None:
        self.folder, self._patience = folder, patience
        tree = yaml.safe_load((source / "params.yaml").read_text(encoding="utf-8"))
        for key, value in settings.items():
            branch = tree
            *path, last = key.split(".")
            for part in path:
                branch = branch[part]
            branch[last] = value
        (folder / "params.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
        if git:
            self.git("init", "-q", "-b", "main")
            self.dvc("init", "-q")
        else:
            (folder / ".dvc").mkdir()
            for name in ("config", ".gitignore"):
                shutil.copy(source / ".dvc" / name, folder / ".dvc" / name)

    @property
    def environment(self) -> dict[str, str]:
        """What a person's shell would have in a hospital: a proxy, and no word about whom to reach without it."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        unset = ("THORAX_HOME", "no_proxy", "NO_PROXY")
        return {key: value for key, value in os.environ.items() if key not in unset} | {"PATH": path}

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of `thorax`."""
        return [sys.executable, "-m", "commands.main", *arguments]

    def thorax(self, *arguments: str, code: int = 0) -> SimpleNamespace:
        """Run `thorax`; return what it printed, `out` and `err`, and see that it ends with `code`."""
        return self.run(self.command(*arguments), code)

    def git(self, *arguments: str) -> str:
        """Run `git` as somebody; return what it printed."""
        name = ["-c", "user.name=tester", "-c", "user.email=tester@example.org"]
        return str(self.run(["git", *name, *arguments]).out).strip()

    def commit(self, message: str) -> None:
        """Commit everything."""
        self.git("add", "-A")
        self.git("commit", "-qm", message)

    def dvc(self, *arguments: str) -> str:
        """Run `dvc`; return what it printed."""
        return str(self.run([sys.executable, "-m", "dvc", *arguments]).out)

    def run(self, command: list[str], code: int = 0) -> SimpleNamespace:
        """Run a command in the folder."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=self._patience
        )
        assert done.returncode == code, f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        return SimpleNamespace(out=done.stdout, err=done.stderr)

    def events(self, run: int = 1) -> list[dict[str, Any]]:
        """What the steps of the latest run have told, once so many runs were begun."""
        files = sorted(self.folder.glob("var/runs/*/events.jsonl"), key=lambda file: file.stat().st_mtime)
        return read_events(files[-1])[0] if len(files) >= run else []

    def at_work(self, step: str, run: int = 1) -> bool:
        """Whether a step of the latest run has begun its work, once so many runs were begun."""
        return any(event["step"] == step and event["event"] == "progress" for event in self.events(run))


@contextmanager
def served(checkout: OwnProject) -> Iterator[str]:
    """Serve the champion as a person does; yield the service's address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"
    command = checkout.command("serve", "--no-page", "--port", address.rpartition(":")[2])
    service = subprocess.Popen(
        command, cwd=checkout.folder, env=checkout.environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 200
    try:
        while True:
            assert service.poll() is None and time.monotonic() < deadline, service.stderr and service.stderr.read()
            with suppress(httpx.HTTPError):
                if httpx.get(f"{address}/readyz", timeout=5).status_code == httpx.codes.OK:
                    break
            time.sleep(0.2)
        yield address
    finally:
        service.send_signal(signal.SIGTERM)
        service.communicate(timeout=60)
