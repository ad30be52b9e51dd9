"""One of several processes that train a network together; started by torchrun, on one machine or several.

    torchrun --nproc-per-node=2 -m thorax.training.worker ORDER.json

ORDER.json holds what `thorax.training.train` takes: store, architecture, train (its settings), out, checkpoints,
pretrained; and refusals, a folder for what a process refuses, or nothing, where it is only printed. The first process
prints its reports and writes what is kept. Several machines need store, out and checkpoints on a volume of theirs.
"""

import json
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from thorax import settings
from thorax.errors import InputError, ThoraxError
from thorax.files import read_json, write_json
from thorax.training import share
from thorax.training.launch import MARK
from thorax.training.run import train

#: How long one process waits for the others; the first step of a slow machine takes its time.
_PATIENCE = timedelta(minutes=30)


def main(order: Path) -> int:
    """Train as the order says; return the exit code."""
    asked = read_json(order)
    recipe = settings.Train.model_validate(asked["train"])
    on_gpu = recipe.device != "cpu" and torch.cuda.is_available()
    if on_gpu:  # what is gathered as objects travels through the current device
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    distributed.init_process_group("nccl" if on_gpu else "gloo", timeout=_PATIENCE)
    number = share.rank()

    def report(state: dict[str, Any]) -> None:
        if number == 0:
            sys.stdout.write(MARK + json.dumps(state) + "\n")
            sys.stdout.flush()

    try:
        _require_gpus(on_gpu)
        train(
            Path(asked["store"]),
            asked["architecture"],
            recipe,
            Path(asked["out"]),
            checkpoints=Path(asked["checkpoints"]) if asked["checkpoints"] else None,
            report=report,
            pretrained_dir=Path(asked["pretrained"]),
        )
    except ThoraxError as error:
        sys.stderr.write(f"{error}\n")
        if asked.get("refusals"):
            told = {"message": error.message, "mend": error.mend, "kind": type(error).__name__}
            write_json(Path(asked["refusals"]) / f"error-{number}.json", told)
        return error.exit_code
    finally:
        distributed.destroy_process_group()
    return 0


def _require_gpus(on_gpu: bool) -> None:
    here, gpus = int(os.environ["LOCAL_WORLD_SIZE"]), torch.cuda.device_count()
    if on_gpu and here > gpus:
        raise InputError(
            f"{here} processes of one machine are to train on its {gpus} GPUs.",
            f"Set train.processes to at most {gpus}, or to 0 for one a GPU.",
        )


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
