"""Preprocessing by one process and by two: each pass in a process of its own, in turns.

python -m commands.bench.scale_cores FOLDER IMAGES WORKERS    prepares so many images of the phantoms in FOLDER

The images are the project's own phantoms, on disk; where more are asked for than there are files, files are named again
under another image's name, and decoded again. A pass is `thorax.preprocessing.prepare.prepare` whole: its processes
start, every file is read, decoded, checked, hashed and brought to the network's size, and shards are written.
"""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from commands.bench.figures import Figure, at_least, told

SIZE = 224
#: Sides of the files, px, and how many times fewer of them are decoded: as NIH publishes them, and small copies.
SIDES = {1024: 4, 256: 1}


@dataclass(frozen=True)
class Pass:
    """One pass over the images.

    Attributes:
        seconds: from the call to its end, the start of processes included.
        settled: images a second behind the first chunk, when all processes are at work.
        work: processor seconds of all processes together, their imports included.
    """

    seconds: float
    settled: float
    work: float


def cores(folder: Path, files: int, images: int, rounds: int) -> list[Figure]:
    """Draw phantoms where there are none yet, and measure passes of one and of two processes in turns."""
    return [
        figure
        for side, fewer in SIDES.items()
        for figure in _at(folder / f"{side}", files // fewer, images // fewer, rounds, side)
    ]


def _at(folder: Path, files: int, images: int, rounds: int, side: int) -> list[Figure]:
    draw(folder, files, side)
    passes: dict[int, list[Pass]] = {1: [], 2: []}
    for number in range(rounds):
        for workers in (1, 2) if number % 2 == 0 else (2, 1):
            passes[workers].append(measure(folder, images, workers))
    one, two = passes[1], passes[2]
    part = f"Preprocessing on one and on two cores ({images:,} decodes of {files} phantoms, {side} px, to {SIZE} px)"

    def median(values: list[float]) -> float:
        return statistics.median(values)

    pairs = list(zip(one, two, strict=True))
    return [
        told(part, "images/s, one process", images / median([a.seconds for a in one]), ".0f"),
        told(part, "images/s, two processes", images / median([b.seconds for b in two]), ".0f"),
        at_least(part, "times as fast, median of rounds", median([a.seconds / b.seconds for a, b in pairs]), 1.8),
        told(part, "the same behind the first chunk", median([b.settled / a.settled for a, b in pairs]), ".2f"),
        told(part, "processor time, two processes over one", median([b.work / a.work for a, b in pairs]), ".2f"),
        told(
            part,
            "times as fast if each had a core to itself, from processor time",
            median([2 * a.work / b.work for a, b in pairs]),
            ".2f",
        ),
    ]


def draw(folder: Path, count: int, side: int) -> None:
    """Render phantoms, once; what lies there already is kept."""
    from thorax.datasets.phantom.generate import make_phantom

    make_phantom(folder, count=count, size=side, seed=70_006, findings="chexpert-report")


def measure(folder: Path, images: int, workers: int) -> Pass:
    """Run one pass."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "commands.bench.scale_cores", str(folder), str(images), str(workers)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    work = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Pass(**json.loads(done.stdout.strip().splitlines()[-1]), work=work)


def _run(folder: Path, images: int, workers: int) -> None:
    import pandas as pd

    from thorax.preprocessing.prepare import prepare
    from thorax.settings import Preprocess

    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))
    paths = [names[number % len(names)] for number in range(images)]
    ids = [f"{number:07}" for number in range(images)]
    manifest = pd.DataFrame({"image_id": ids, "path": paths, "sha256": ""})
    marks: list[tuple[float, int]] = []

    def advance(step: int) -> None:
        marks.append((time.perf_counter(), step))

    with tempfile.TemporaryDirectory(prefix="thorax-bench-") as scratch:
        began = time.perf_counter()
        prepare(manifest, folder, Preprocess(size=SIZE, workers=workers), [Path(scratch)], advance=advance)
        seconds = time.perf_counter() - began
    begun = [mark for mark in marks if mark[1]]
    first, last = begun[len(begun) // 10], begun[-1]
    done = sum(step for when, step in begun if first[0] < when <= last[0])
    sys.stdout.write(json.dumps({"seconds": seconds, "settled": done / (last[0] - first[0])}) + "\n")


if __name__ == "__main__":
    _run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
