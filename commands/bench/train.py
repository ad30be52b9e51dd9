"""`make bench-train`: how fast images are preprocessed and networks trained, beside a plain loop in the same run.

    python -m commands.bench.train --architecture resnet50 --size 96 --batch 32 --markdown docs/training-figures.md

Three rates a network, in images a second, of the same network, batch, image size and number of threads:

- *bare step*: Thorax's training step (its precision, layout and optimiser) on one batch already in memory;
- *Thorax*: the same step fed from the image store, with gathering, augmentation and copying;
- *plain loop*: what a tutorial writes: torchvision's network on RGB, float32, `DataLoader` over PNG files, and
  torchvision's augmentation on the CPU, image by image.

The three take turns, some steps each, so that what else the machine does falls on all alike. Peak memory is that of
fresh processes that do nothing but the bare step, or Thorax's. On a GPU the defaults are 224 px, batches of 256,
bfloat16 and channels last, and the share of the chip's peak is said where that peak is known.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.bench.figures import Figure, at_least, at_most, told
from commands.bench.parts import Json, Markdown, run
from commands.console import progress

if TYPE_CHECKING:
    from thorax.settings import Settings


def bench(
    architecture: Annotated[
        list[str] | None, typer.Option(help="A network; repeatable. Default: those of params.yaml.")
    ] = None,
    images: Annotated[int, typer.Option(min=32, help="Phantoms that are read and preprocessed.")] = 512,
    size: Annotated[int, typer.Option(min=0, help="Image side, px; 0: preprocess.size, or 224 on a GPU.")] = 0,
    batch: Annotated[int, typer.Option(min=0, help="Images a batch; 0: train.batch_size, or 256 on a GPU.")] = 0,
    seconds: Annotated[float, typer.Option(min=0.1, help="Time a rate is measured for.")] = 8.0,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 takes all cores.")] = 0,
    markdown: Markdown = None,
    json: Json = False,
) -> None:
    """Measure preprocessing and training."""
    import torch

    from commands.bench.page import tell
    from thorax.settings import load

    on_gpu = torch.cuda.is_available()
    size, batch = size or (224 if on_gpu else 0), batch or (256 if on_gpu else 0)
    overrides = [f"preprocess.size={size}"] * bool(size) + [f"train.batch_size={batch}"] * bool(batch)
    overrides += ["train.overrides={}", "train.boxes.weight=0"]
    overrides += ["train.precision=bfloat16", "train.channels_last=true", "train.deterministic=false"] * on_gpu
    settings = load(overrides=overrides)
    result = measure(settings, architecture or list(settings.train.architectures), images, seconds, threads)
    said = f"On {result['device']}, {result['threads']} threads: {result['size']} px, batches of {result['batch']}."
    tell(figures(result), markdown=markdown, json=json, said=said)


def measure(
    settings: "Settings", architectures: list[str], images: int, seconds: float, threads: int = 0
) -> dict[str, Any]:
    """Make phantoms in a temporary folder, preprocess them, and time each network on them.

    Returns:
        A JSON-able dict: `device`, `threads`, `size`, `batch`, `preprocessing` (images, seconds, images_per_second),
        and `training`, a list with a dict a network: architecture, precision, bare_step, thorax, plain_loop (images a
        second), of_bare and over_plain (ratios of Thorax's rate), bare_mib and thorax_mib (peak memory), memory (their
        ratio), and share_of_peak (of the chip's arithmetic, or None where its peak is not known).
    """
    import os
    import tempfile

    import torch

    from commands.bench import train_parts as parts
    from thorax.models import specification

    threads = threads or len(os.sched_getaffinity(0))
    for architecture in architectures:
        specification(architecture)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with tempfile.TemporaryDirectory(prefix="thorax-bench-") as folder:
            store, preprocessing = parts.preprocess(settings, images, Path(folder))
            files = sorted((Path(folder) / "data").rglob("*.png"))
            training = []
            for name in architectures:
                with progress(f"Training {name}", round(3 * seconds)) as advance:
                    rates = parts.rates(settings, name, store, files, seconds, advance)
                training.append(rates | parts.memory(settings, name, store, threads))
    finally:
        torch.set_num_threads(before)
    return {
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
        "threads": threads,
        "size": settings.preprocess.size,
        "batch": settings.train.batch_size,
        "preprocessing": preprocessing,
        "training": training,
    }


def figures(result: dict[str, Any]) -> list[Figure]:
    """Return what `measure` found, beside what it should be."""
    made = result["preprocessing"]
    part = "Preprocessing"
    found = [
        told(part, "PNG files read, checked and made smaller", made["images"], ",.0f"),
        told(part, "images/s", made["images_per_second"], ",.0f"),
    ]
    for row in result["training"]:
        part = f"{row['architecture']}, {row['precision']}"
        found += [
            told(part, "images/s, bare step on tensors in memory", row["bare_step"], ",.1f"),
            told(part, "images/s, Thorax, from the image store", row["thorax"], ",.1f"),
            told(part, "images/s, plain loop over PNG files", row["plain_loop"], ",.1f"),
            at_least(part, "Thorax over the bare step", row["of_bare"], 0.95, ".1%"),
            at_least(part, "Thorax over the plain loop", row["over_plain"], 1.3),
            told(part, "MiB at the peak, bare step", row["bare_mib"], ",.0f"),
            told(part, "MiB at the peak, Thorax", row["thorax_mib"], ",.0f"),
            at_most(part, "memory over the bare step's", row["memory"], 1.3),
        ]
        if row["share_of_peak"] is not None:
            found.append(told(part, "share of the chip's peak", row["share_of_peak"], ".0%"))
    return found


if __name__ == "__main__":
    run(bench)
