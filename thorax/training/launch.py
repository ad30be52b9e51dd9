"""Several processes on this machine that train one network: torchrun starts them, this one follows the first."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from thorax import errors, settings
from thorax.endings import ended, last_lines, with_words
from thorax.errors import ThoraxError
from thorax.files import read_json, write_json
from thorax.training.step import TrainingError

#: What the first process prints before each report.
MARK = "thorax-report "
#: What torchrun starts, before the order's file.
WORKER = ["-m", "thorax.training.worker"]


def processes_of(recipe: settings.Train) -> int:
    """Return how many processes of this machine train together: `train.processes`, or with 0 one a GPU.

    There are never more of them than images a batch.
    """
    if recipe.processes:
        return recipe.processes
    import torch

    return max(1, min(0 if recipe.device == "cpu" else torch.cuda.device_count(), recipe.batch_size))


def train_together(
    store_dir: Path,
    architecture: str,
    recipe: settings.Train,
    out: Path,
    checkpoints: Path | None,
    report: Callable[[dict[str, Any]], None],
    pretrained_dir: Path,
) -> dict[str, Any]:
    """Train as `thorax.training.train` does, by several processes of torchrun; see there.

    Raises:
        ThoraxError: what a process refused, with its own message; or that one of them died, with its last words.
    """
    processes = processes_of(recipe.of(architecture))
    threads = recipe.threads or max(1, (os.cpu_count() or 1) // processes)
    with tempfile.TemporaryDirectory(prefix="thorax-processes-") as folder:
        order = Path(folder) / "order.json"
        write_json(
            order,
            {
                "store": str(store_dir.absolute()),
                "architecture": architecture,
                "train": recipe.model_copy(update={"threads": threads}).model_dump(mode="json"),
                "out": str(out.absolute()),
                "checkpoints": str(checkpoints.absolute()) if checkpoints else None,
                "pretrained": str(pretrained_dir.absolute()),
                "refusals": folder,
            },
        )
        code, last = _run(order, processes, threads, report)
        _raise_refusal(Path(folder), architecture, code, last)
    facts: dict[str, Any] = read_json(out / "network.json")
    return facts


def _run(order: Path, processes: int, threads: int, report: Callable[[dict[str, Any]], None]) -> tuple[int, str]:
    """Run torchrun to its end; return its exit code and the last lines that it printed."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}
    with (
        (order.parent / "log.txt").open("w+", encoding="utf-8") as log,
        subprocess.Popen(
            [*command, *WORKER, str(order)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment,
            start_new_session=True,  # so that an interruption reaches the processes through us, once
        ) as process,
    ):
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith(MARK):
                    report(json.loads(line.removeprefix(MARK)))
            code = process.wait()
        except BaseException:
            # Each writes its checkpoint at the end of its step; torchrun waits for them, and ends them after a while.
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
            raise
        log.seek(0)
        return code, last_lines(log, 15)


def _raise_refusal(folder: Path, architecture: str, code: int, last: str) -> None:
    for file in sorted(folder.glob("error-*.json")):
        told = read_json(file)
        kind = TrainingError if told["kind"] == "TrainingError" else getattr(errors, told["kind"], ThoraxError)
        raise kind(told["message"], told["mend"])
    if code:
        raise TrainingError(
            with_words(f"{architecture}: a training process {ended(code)}.", last),
            "Run again: training goes on from its checkpoint.",
        )
