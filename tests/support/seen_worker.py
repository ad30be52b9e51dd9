"""The worker of several processes that train together, which also notes the images that its process was given.

    torchrun ... tests/support/seen_worker.py ORDER.json

Writes `seen-<rank>.txt` into the folder of checkpoints: a line a batch, rows of the store.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from thorax.files import read_json
from thorax.training import fit, worker


def main(order: Path) -> int:
    """Train as the order says, and take notes."""
    notes = Path(read_json(order)["checkpoints"]) / f"seen-{os.environ['RANK']}.txt"
    gathered = fit.prefetch

    def noting(*args, **options) -> Iterator:
        for batch in gathered(*args, **options):
            with notes.open("a", encoding="utf-8") as file:
                file.write(" ".join(map(str, batch.indices)) + "\n")
            yield batch

    fit.prefetch = noting
    return worker.main(order)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
