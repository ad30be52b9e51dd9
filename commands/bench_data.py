"""`make bench-data`: how fast images become arrays, beside a plain Pillow loop, and whether memory stays flat."""

import multiprocessing
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from commands.console import err, print_json, table

app = typer.Typer(add_completion=False)

_SIZE = 224
_ROUNDS = 5


@app.command()
def bench_data(
    images: Annotated[Path | None, typer.Option(help="A folder of PNG or JPEG files; drawn ones without it.")] = None,
    scale: Annotated[
        list[int] | None, typer.Option(help="Numbers of images at which memory is measured; 1000 and 20000 without it.")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 means one a core.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Measure reading, checking, hashing and preparing images against one process that only decodes and resizes."""
    from thorax.imaging.scan import cores

    with tempfile.TemporaryDirectory(prefix="thorax-bench-") as scratch:
        files = _files(images, Path(scratch))
        rounds = [_round(files, workers) for _ in range(_ROUNDS)]
        plain = sorted(one for one, _ in rounds)[_ROUNDS // 2]
        ours = sorted(two for _, two in rounds)[_ROUNDS // 2]
        # Both halves of a round ran under the same load: the median of ratios is steadier than a ratio of medians.
        ratio = sorted(two / one for one, two in rounds)[_ROUNDS // 2]
        memory = {str(count): _memory(files, count, workers) for count in scale or [1000, 20000]}
    result = {
        "files": len(files),
        "size": _SIZE,
        "processes": workers or cores(),
        "pillow_one_process_images_per_second": round(plain, 1),
        "thorax_images_per_second": round(ours, 1),
        "ratio": round(ratio, 2),
        "peak_memory_mib": memory,
    }
    if json:
        print_json(result)
        return
    table(
        f"Preparing images at {_SIZE} px ({len(files)} files, {result['processes']} processes)",
        ("what", "images/s", "ratio"),
        [
            ("Pillow, one process: decode and resize", f"{plain:.1f}", "1.00"),
            ("Thorax: decode, check, two hashes, prepare, write shards", f"{ours:.1f}", f"{ratio:.2f}"),
        ],
        right=("images/s", "ratio"),
    )
    rows = [(f"{int(count):,}", f"{peak:.0f} MiB") for count, peak in memory.items()]
    table("Peak memory of all processes, without the page cache", ("images", "peak"), rows, right=("images", "peak"))


def _files(folder: Path | None, scratch: Path) -> list[Path]:
    """Return the images of a folder, or draw some of 1,024 px."""
    if folder is not None:
        from thorax.imaging import SUFFIXES

        return sorted(path.absolute() for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    import numpy as np
    from PIL import Image, ImageFilter

    err.print("No folder given: drawing 32 images of 1,024 px.")
    draw = np.random.default_rng(0)
    made = []
    for number in range(32):
        # Smoothed noise at two scales takes a decoder as long as a radiograph does: about 400 kB a file.
        coarse = Image.fromarray(draw.integers(0, 255, (32, 32), dtype=np.uint8)).resize(
            (1024, 1024), Image.Resampling.BICUBIC
        )
        fine = Image.fromarray(draw.integers(96, 160, (1024, 1024), dtype=np.uint8)).filter(ImageFilter.GaussianBlur(2))
        made.append(scratch / f"{number:03}.png")
        Image.blend(coarse, fine, 0.4).save(made[-1])
    return made


def _round(files: list[Path], workers: int) -> tuple[float, float]:
    """Return images a second of the plain loop and of Thorax, one right after the other."""
    from PIL import Image

    began = time.perf_counter()
    for file in files:
        with Image.open(file) as image:
            image.convert("L").resize((_SIZE, _SIZE), Image.Resampling.BILINEAR)
    plain = len(files) / (time.perf_counter() - began)
    return plain, _rate(files * 6, workers)


def _rate(files: list[Path], workers: int) -> float:
    """Images a second of a scan, from the first result on: a store of many images starts its processes once."""
    from thorax.imaging.scan import CHUNK, Recipe, scan

    results = scan(Path("/"), [str(file) for file in files], Recipe(_SIZE), workers)
    for _ in range(CHUNK):
        next(results)
    began = time.perf_counter()
    left = sum(1 for _ in results)
    return left / (time.perf_counter() - began)


def _memory(files: list[Path], count: int, workers: int) -> float:
    """Return the peak of the memory of this process's children and itself, in MiB, while a store is built."""
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    child = context.Process(target=_build, args=([str(file) for file in files], count, workers, answer))
    child.start()
    peak = float(answer.get(timeout=3600))
    child.join()
    return round(peak, 1)


def _build(files: list[str], count: int, workers: int, answer: "multiprocessing.Queue[float]") -> None:
    """Build a store of `count` images out of links to the same few files, and measure all processes meanwhile."""
    import pandas as pd

    from thorax.imaging.scan import Recipe, scan
    from thorax.preprocessing.shards import write_shard

    folder = Path(tempfile.mkdtemp(prefix="thorax-bench-store-"))
    try:
        with _Watch() as watch:
            paths = [files[number % len(files)] for number in range(count)]
            results = scan(Path("/"), paths, Recipe(64), workers)
            for shard, start in enumerate(range(0, count, 4096)):
                part = paths[start : start + 4096]
                names = [f"{number}" for number in range(start, start + len(part))]
                rows = pd.DataFrame({"image_id": names, "path": part, "sha256": ""})
                write_shard(rows, results, 64, folder, shard, lambda step: None)
        answer.put(watch.peak / 2**20)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Watch:
    """Sample the memory that this process and its children hold to themselves, twenty times a second."""

    def __init__(self, every: float = 0.05) -> None:
        self.peak = 0.0
        self._every, self._done = every, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "_Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        import psutil

        me = psutil.Process(os.getpid())
        measure: Callable[[psutil.Process], float] = lambda process: process.memory_full_info().uss  # noqa: E731
        while not self._done.wait(self._every):
            total = 0.0
            for process in (me, *me.children(recursive=True)):
                try:
                    total += measure(process)
                except psutil.Error:
                    continue
            self.peak = max(self.peak, total)


if __name__ == "__main__":
    sys.exit(app())
