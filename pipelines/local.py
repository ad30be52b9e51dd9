"""Runs the compiled training pipeline on this machine, with Kubeflow's own local runner, in a process of its own.

`python -m pipelines.local FOLDER` reads FOLDER/arguments.json, and writes FOLDER/pipeline.yaml and, at the end,
FOLDER/outputs.json. Whoever started it follows FOLDER/events.jsonl; everything that is printed goes to FOLDER/log.txt.
"""

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections import deque
from pathlib import Path
from typing import Any

from thorax.endings import last_lines
from thorax.errors import ThoraxError
from thorax.events import Reporter
from thorax.files import read_json, write_json


def main(folder: Path) -> int:
    """Run the pipeline that FOLDER describes; return the exit code."""
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    order = read_json(folder / "arguments.json")
    report = Reporter("pipeline")
    try:
        _run(folder, order)
    except ThoraxError as error:
        report.emit(
            "error", message=error.message, mend=error.mend, kind=type(error).__name__, exit_code=error.exit_code
        )
        return error.exit_code
    except Exception as error:
        # A step that failed has told why by itself; this names only what the runner saw.
        report.emit("stopped", message=str(error).splitlines()[0] if str(error) else type(error).__name__)
        return 1
    return 0


def _end_with(parent: int) -> None:
    """End this run and its steps when whoever started it is gone, so that the next run finds the way free."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _run(folder: Path, order: dict[str, object]) -> None:
    from filelock import FileLock, Timeout

    from pipelines.compile import compile_training
    from pipelines.training import Trained
    from thorax.settings import Settings

    settings = Settings.model_validate(order["settings"])
    var = Path(str(order["var"]))
    lock = FileLock(var / "pipeline.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ThoraxError(
            f"Another pipeline run is under way in {var}.", "Wait for it to end, or stop it, and run again."
        ) from error
    with lock:
        source = compile_training(settings, folder / "pipeline.yaml")
        run = run_compiled(source, order["arguments"], var)  # type: ignore[arg-type]
        write_json(folder / "outputs.json", {name: run.outputs[name].path for name in Trained._fields})


def _handle_steps() -> None:
    """Have Kubeflow's local runner start its steps by `start_step`.

    Its own way pastes the interpreter's path unquoted into a shell script, and into every argument that holds the word
    "python3"; and of a step that failed it keeps neither the exit code nor what was printed.
    """
    from kfp.local import status, subprocess_task_handler

    class Handler(subprocess_task_handler.SubprocessTaskHandler):
        def run(self) -> status.Status:
            code = start_step(with_interpreter(self.full_command, sys.executable), self.env_vars)
            return status.Status.FAILURE if code else status.Status.SUCCESS

    subprocess_task_handler.SubprocessTaskHandler = Handler


def with_interpreter(command: list[str], interpreter: str) -> list[str]:
    """Return a step's command with `python3` in its shell scripts replaced by an interpreter, quoted for the shell.

    >>> with_interpreter(["sh", "-ec", "python3 -m x", "--root", "/python3"], "/my folder/python")
    ['sh', '-ec', "'/my folder/python' -m x", '--root', '/python3']
    """
    before = ["", *command]  # a script follows the shell's -c
    return [
        part.replace("python3", shlex.quote(interpreter)) if option in ("-c", "-ec") else part
        for option, part in zip(before, command, strict=False)
    ]


def start_step(command: list[str], environment: dict[str, str]) -> int:
    """Run a step's command, printing what it prints; report how it ended where it failed. Return its exit code."""
    last: deque[str] = deque(maxlen=200)
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, **environment},
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            sys.stdout.write(line)
            last.append(line)
    if process.returncode:
        name = command[command.index("--function_to_execute") + 1] if "--function_to_execute" in command else "step"
        Reporter(name).emit("died", code=process.returncode, said=last_lines(last))
    return process.returncode


def run_compiled(source: Path, arguments: dict[str, Any], var: Path) -> Any:
    """Run a compiled pipeline in this process, a process a step, and return Kubeflow's task with its outputs.

    What the YAML says for a cluster alone (images, processors, memory, accelerators, volumes, secrets, timeouts) is
    passed over; environment, retries and caching are heeded.

    Args:
        source: the YAML.
        arguments: of the pipeline.
        var: below it, what steps leave lies in `steps`, and which of them are done in `cache`.
    """
    from kfp import components, local

    _handle_steps()
    local.init(
        local.SubprocessRunner(use_venv=False),
        pipeline_root=str(var / "steps"),
        enable_caching=True,  # a step that must not be taken from the cache says so in the YAML
        cache_root=str(var / "cache"),
    )
    with warnings.catch_warnings():
        for told in ("Task .* no effect in the current local runner", "You may be attemping to run a task"):
            warnings.filterwarnings("ignore", message=told)
        return components.load_component_from_file(str(source))(**arguments)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(main(Path(sys.argv[1])))
