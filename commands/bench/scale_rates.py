"""The rates that `scale_model` reckons with: short measurements of what an image costs each part of the system."""

import hashlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from commands.bench.figures import Figure, told
from commands.bench.scale_model import RATES, Rates, Row
from commands.bench.scale_rows import FINDINGS, SIZE, Taken, slope

#: As NIH publishes its images, and as most networks read them.
SIDE, READ = 1024, 224
ARCHITECTURES = ("custom_cnn", "densenet121", "resnet50", "efficientnet_b0", "inception_v3", "convnext_tiny")
_BATCH = 16


def rates(
    folder: Path, files: int, seconds: float, taken: Sequence[Taken], row_bytes: float, hashes: int = 100_000
) -> list[Figure]:
    """Measure, keep the rates beside `scale_model`, and return them as figures.

    Args:
        folder: where phantoms of `SIDE` px lie or are rendered.
        files: phantoms.
        seconds: for each architecture and kind of work.
        taken: what `scale_rows` measured of each step.
        row_bytes: of the table of an image store, an image.
        hashes: among which near-duplicates are looked for.
    """
    from commands.bench.scale_cores import draw

    draw(folder, files, SIDE)
    images = sorted(folder.rglob("*.png"))
    source = statistics.mean(path.stat().st_size for path in images)
    decode, digest = _decode(images, READ), _digest(images)
    speeds = {name: _network(name, seconds) for name in ARCHITECTURES}
    found = Rates(
        source_bytes=round(source),
        decode_seconds=decode,
        tiny_seconds=_tiny(),
        hash_seconds=digest,
        pair_seconds=_pairs(hashes),
        store_bytes=READ**2 + row_bytes,
        answer_bytes=1024 * 4 + len(FINDINGS) * (4 + 4 + 7 * 7 * 2),
        rows={name: row_of([one for one in taken if one.step == name]) for name in {one.step for one in taken}},
        flops={name: one["flops"] for name, one in speeds.items()},
        train={name: one["train"] for name, one in speeds.items()},
        serve={name: one["serve"] for name, one in speeds.items()},
    )
    keep(found)
    return figures(found)


def keep(found: Rates, file: Path = RATES) -> None:
    """Write rates, with as many digits as they are worth."""
    from thorax.files import write_text

    write_text(file, json.dumps(_rounded(asdict(found)), indent=2, sort_keys=True) + "\n")


def row_of(taken: Sequence[Taken]) -> Row:
    """Return what a row costs a step, and what the step takes before the first: a line through the measurements."""
    rows = [one.rows for one in taken]
    work, held = [one.work for one in taken], [one.mib * 2**20 for one in taken]
    each, mib = max(0.0, slope(rows, work)), max(0.0, slope(rows, held))
    smallest = min(taken, key=lambda one: one.rows)
    start = max(0.0, smallest.work - each * smallest.rows)
    return Row(each, mib, start, max(0.0, smallest.mib * 2**20 - mib * smallest.rows))


def figures(found: Rates) -> list[Figure]:
    """Return the rates as a table for people."""
    part = "Rates, one core (what a task, a node or a replica of several cores multiplies)"
    lines = [
        told(
            part,
            f"images/s decoded, checked, hashed and brought to {READ} px ({SIDE} px phantoms)",
            1 / found.decode_seconds,
            ".0f",
        ),
        told(part, "kB an image in its file", found.source_bytes / 1000, ".0f"),
        told(part, f"kB an image in the store, at {READ} px", found.store_bytes / 1000, ".1f"),
        told(
            part,
            "kB an image of a training's answers (1,024 features, three findings)",
            found.answer_bytes / 1000,
            ".1f",
        ),
    ]
    lines.append(
        told(
            part,
            "near-duplicates among a million: seconds (four times as long among two)",
            1e12 * found.pair_seconds,
            ".0f",
        )
    )
    for name, row in found.rows.items():
        lines.append(told(part, f"{name}: ms of processor time a row", 1000 * row.seconds, ".2f"))
        lines.append(told(part, f"{name}: kB of memory a row", row.bytes / 1000, ".1f"))
    trained = f"Networks on this processor, {READ} px, images a second, one thread"
    for name in found.train:
        lines.append(
            told(trained, f"{name}: a training step, in memory, batches of {_BATCH}", found.train[name], ".1f")
        )
        lines.append(told(trained, f"{name}: an answer (ONNX Runtime, one at a time)", found.serve[name], ".1f"))
        lines.append(told(trained, f"{name}: GFLOP of a training step, an image", found.flops[name] / 1e9, ".1f"))
    return lines


def _decode(files: Sequence[Path], size: int) -> float:
    """Processor seconds of a file: the median over files, each read thrice."""
    from thorax.imaging.scan import Recipe, scan_one

    recipe = Recipe(size)
    scan_one(files[0].parent, files[0].name, recipe)
    return statistics.median(
        min(_work(lambda file=file: scan_one(file.parent, file.name, recipe)) for _ in range(3))  # type: ignore[misc]
        for file in files
    )


def _tiny() -> float:
    """The same of a file as small as those by which rows were measured."""
    import cv2
    import numpy as np

    with tempfile.TemporaryDirectory(prefix="thorax-bench-") as name:
        rng = np.random.default_rng(0)
        for number in range(40):
            smooth = cv2.resize(rng.normal(128, 40, (16, 16)), (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
            Path(name, f"{number}.png").write_bytes(
                cv2.imencode(".png", smooth.clip(0, 255).astype(np.uint8))[1].tobytes()
            )
        return _decode(sorted(Path(name).iterdir()), SIZE)


def _digest(files: Sequence[Path]) -> float:
    return statistics.median(_work(lambda file=file: hashlib.sha256(file.read_bytes())) for file in files)  # type: ignore[misc]


def _pairs(count: int) -> float:
    """Processor seconds to look for near-duplicates, a pair of images: among so many, the bands' chance hits rule."""
    import numpy as np

    from thorax.imaging.neighbours import near_pairs

    # Correlated bits, as those of radiographs are: a few latent factors decide most of them.
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(60, 256)).astype(np.float32)
    latent = rng.normal(size=(count, 60)).astype(np.float32) @ factors
    hashes = np.packbits(latent + rng.normal(0, 2, latent.shape).astype(np.float32) > 0, axis=1)
    return _work(lambda: near_pairs(hashes, 24)) / count**2


def _work(job: Callable[[], object]) -> float:
    began = time.process_time()
    job()
    return time.process_time() - began


def _network(name: str, seconds: float) -> dict[str, float]:
    """Measure one architecture in a process of its own, on one thread."""
    import os
    import subprocess

    command = [sys.executable, "-m", "commands.bench.scale_rates", name, str(seconds)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _run(name: str, seconds: float) -> None:
    import numpy as np
    import onnxruntime
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from thorax.models import build
    from thorax.training.export import export_onnx

    torch.set_num_threads(1)
    network = build(name, len(FINDINGS), size=READ)
    images, targets = torch.rand(_BATCH, 1, READ, READ), torch.zeros(_BATCH, len(FINDINGS))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
    loss = torch.nn.BCEWithLogitsLoss()

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss(network(images).logits, targets).backward()
        optimizer.step()

    trained = _rate(step, seconds, _BATCH)
    # Counted forward, where PyTorch heeds groups of channels; backward takes twice as much.
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(images[:2])
    with tempfile.TemporaryDirectory(prefix="thorax-bench-") as folder:
        network.eval()
        export_onnx(network, READ, Path(folder) / "model.onnx")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(Path(folder) / "model.onnx", options, providers=["CPUExecutionProvider"])
        one = np.random.default_rng(0).random((1, 1, READ, READ), dtype=np.float32)
        served = _rate(lambda: session.run(None, {"image": one}), seconds, 1)
    sys.stdout.write(json.dumps({"train": trained, "serve": served, "flops": 3 * counter.get_total_flops() / 2}) + "\n")


def _rate(step: Callable[[], object], seconds: float, images: int) -> float:
    """Images a second of processor time, which others on the machine do not lengthen."""
    step()
    began, count = time.process_time(), 0
    while time.process_time() - began < seconds or not count:
        step()
        count += 1
    return images * count / (time.process_time() - began)


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _rounded(one) for key, one in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


if __name__ == "__main__":
    _run(sys.argv[1], float(sys.argv[2]))
