"""Runs the compiled training pipeline on this machine, with Kubeflow's own local runner, in a process of its own.

`python -m pipelines.local FOLDER` reads FOLDER/arguments.json, and writes FOLDER/pipeline.yaml and, at the end,
FOLDER/outputs.json. Whoever started it follows FOLDER/events.jsonl; everything that is printed goes to FOLDER/log.txt.
"""

import os
import signal
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

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
