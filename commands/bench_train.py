"""`make bench`: how fast images are preprocessed and networks trained, beside a plain PyTorch loop in the same run.

    python -m commands.bench_train --architecture resnet50 --size 96 --batch 32 --seconds 10 --json

Three rates a network, in images a second, of the same network, batch, image size and number of threads:

- *bare step*: Thorax's training step (its precision, layout and optimiser) on one batch already in memory;
- *Thorax*: the same step fed from the image store, with gathering, augmentation and copying;
- *plain loop*: what a tutorial writes: torchvision's network on RGB, float32, `DataLoader` over PNG files, and
  torchvision's augmentation on the CPU, image by image.

The three take turns, some steps each, so that what else the machine does falls on all alike.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.console import out, print_json, progress, table

if TYPE_CHECKING:
    from thorax.settings import Settings


@dataclass
class Rate:
    """Steps of one kind and the time they took."""

    images: int = 0
    seconds: float = 0.0

    @property
    def per_second(self) -> float:
        """Images a second."""
        return self.images / self.seconds if self.seconds else 0.0


def bench(
    architecture: Annotated[
        list[str] | None, typer.Option(help="A network; repeatable. Default: those of params.yaml.")
    ] = None,
    images: Annotated[int, typer.Option(min=32, help="Phantoms that are read and preprocessed.")] = 512,
    size: Annotated[int, typer.Option(min=0, help="Image side, px; 0 takes preprocess.size.")] = 0,
    batch: Annotated[int, typer.Option(min=0, help="Images a batch; 0 takes train.batch_size.")] = 0,
    seconds: Annotated[float, typer.Option(min=0.1, help="Time a rate is measured for.")] = 8.0,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 takes all cores.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for a machine.")] = False,
) -> None:
    """Measure preprocessing and training."""
    from thorax.settings import load

    overrides = [f"preprocess.size={size}"] * bool(size) + [f"train.batch_size={batch}"] * bool(batch)
    settings = load(overrides=overrides)
    result = measure(settings, architecture or list(settings.train.architectures), images, seconds, threads)
    if json:
        print_json(result)
    else:
        show(result)


def measure(
    settings: "Settings", architectures: list[str], images: int, seconds: float, threads: int = 0
) -> dict[str, Any]:
    """Make phantoms in a temporary folder, preprocess them, and time each network on them.

    Returns:
        A JSON-able dict: `threads`, `size`, `batch`, `preprocessing` (images, seconds, images_per_second), and
        `training`, a list with a dict a network: architecture, precision, bare_step, thorax, plain_loop (images a
        second), of_bare and over_plain (ratios of Thorax's rate).
    """
    import os
    import tempfile

    import torch

    from thorax.models import specification

    threads = threads or len(os.sched_getaffinity(0))
    for architecture in architectures:
        specification(architecture)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with tempfile.TemporaryDirectory(prefix="thorax-bench-") as folder:
            store, preprocessing = _preprocess(settings, images, Path(folder))
            files = sorted((Path(folder) / "data").rglob("*.png"))
            training = [_train(settings, name, store, files, seconds) for name in architectures]
    finally:
        torch.set_num_threads(before)
    return {
        "threads": threads,
        "size": settings.preprocess.size,
        "batch": settings.train.batch_size,
        "preprocessing": preprocessing,
        "training": training,
    }


def show(result: dict[str, Any]) -> None:
    """Print the rates as tables."""
    made = result["preprocessing"]
    out.print(
        f"Preprocessing: {made['images_per_second']:,.0f} images/s ({made['images']} PNG files read, checked and "
        f"brought to {result['size']} px in {made['seconds']:.1f} s)"
    )
    rows = [
        (
            row["architecture"],
            row["precision"],
            *(f"{row[name]:,.1f}" for name in ("bare_step", "thorax", "plain_loop")),
            f"{row['of_bare']:.0%}",
            f"{row['over_plain']:.2f}×",
        )
        for row in result["training"]
    ]
    title = f"Training, images a second, {result['size']} px, batch {result['batch']}, {result['threads']} threads"
    columns = ("network", "precision", "bare step", "Thorax", "plain loop", "of bare", "over plain")
    table(title, columns, rows, right=columns[2:])


def _preprocess(settings: "Settings", images: int, folder: Path) -> tuple[Any, dict[str, Any]]:
    """Make phantoms and build their image store; time the second."""
    import time

    from thorax.datasets.ingest import ingest
    from thorax.datasets.phantom.generate import make_phantom
    from thorax.preprocessing import build_store
    from thorax.preprocessing.store import ImageStore

    with progress("Rendering phantoms", images) as advance:
        make_phantom(
            folder / "data",
            advance=advance,
            count=images,
            size=settings.data.phantom.size,
            findings=settings.data.findings,
        )
    data = settings.data.model_copy(update={"source": "phantom"})
    ingest(data, folder / "data", folder / "manifest")
    began = time.perf_counter()
    build_store(data, settings.split, settings.preprocess, folder / "manifest", folder / "data", folder / "store")
    took = time.perf_counter() - began
    rate = {"images": images, "seconds": took, "images_per_second": images / took}
    return ImageStore.open(folder / "store"), rate


def _train(settings: "Settings", architecture: str, store: Any, files: list[Path], seconds: float) -> dict[str, Any]:
    """Time the three loops on one network, taking turns."""
    import time

    recipe = settings.train.of(architecture)
    loops, precision = _our_loops(recipe, architecture, store)
    loops["plain_loop"] = _plain_loop(architecture, store, files, settings.preprocess.size, recipe.batch_size)
    rates = {name: Rate() for name in loops}
    with progress(f"Training {architecture}", round(3 * seconds)) as advance:
        for step in loops.values():
            next(step)
        shown = 0
        while any(rate.seconds < seconds for rate in rates.values()):
            for name, step in loops.items():
                if rates[name].seconds < seconds:
                    began = time.perf_counter()
                    next(step)
                    rates[name].seconds += time.perf_counter() - began
                    rates[name].images += recipe.batch_size
            done = round(sum(min(rate.seconds, seconds) for rate in rates.values()))
            advance(done - shown)
            shown = done
    for step in loops.values():
        step.close()
    measured = {name: rate.per_second for name, rate in rates.items()}
    return {
        "architecture": architecture,
        "precision": precision,
        **measured,
        "of_bare": measured["thorax"] / measured["bare_step"],
        "over_plain": measured["thorax"] / measured["plain_loop"],
    }


def _our_loops(recipe: Any, architecture: str, store: Any) -> tuple[dict[str, Generator[None]], str]:
    """Thorax's step from the store, and the same on one batch in memory."""
    import numpy as np
    import torch

    from thorax.models import build
    from thorax.training.batches import epoch_batches, prefetch, to_float
    from thorax.training.fit import Task, train_step
    from thorax.training.losses import make_loss
    from thorax.training.optimise import make_optimizer
    from thorax.training.runtime import choose_runtime, seed_step

    indices = np.arange(len(store))
    runtime = choose_runtime(recipe, architecture)

    def parts() -> tuple[Task, torch.optim.Optimizer]:
        network = runtime.place(build(architecture, len(store.findings), recipe.dropout, size=store.size)).train()
        ones = torch.ones(len(store.findings))
        loss = make_loss(recipe, ones, ones)
        task = Task(architecture, recipe, network, store, loss, runtime, lambda state: None, None, {}, Path())
        return task, make_optimizer(network, recipe)

    def from_store() -> Generator[None]:
        task, optimizer = parts()
        epoch = 0
        while True:
            batches = epoch_batches(indices, recipe.batch_size, recipe.seed, epoch)
            for step, batch in enumerate(prefetch(store, batches, pin=runtime.device.type == "cuda")):
                train_step(task, optimizer, batch, seed_step(recipe.seed, epoch, step))
                yield
            epoch += 1

    def in_memory() -> Generator[None]:
        task, optimizer = parts()
        batch = next(iter(prefetch(store, [indices[: recipe.batch_size]])))
        images = to_float(batch.images, runtime.device).contiguous(memory_format=runtime.memory_format)
        targets = batch.targets.to(runtime.device)
        while True:
            with runtime.precision():
                logits = task.network(images).logits
            loss = task.loss(logits, targets)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(task.network.parameters(), recipe.gradient_clip)
            loss.item()
            optimizer.step()
            yield

    precision = "float32" if runtime.autocast is None else "bfloat16"
    return {"bare_step": in_memory(), "thorax": from_store()}, precision


def _plain_loop(architecture: str, store: Any, files: list[Path], size: int, batch: int) -> Generator[None]:
    """The loop of a tutorial: files, PIL, torchvision's transforms, a `DataLoader` with worker processes."""
    import os

    import torch
    from torch import nn
    from torchvision import models, transforms

    from thorax.models import build

    findings = len(store.findings)
    change = transforms.Compose(
        [
            transforms.Resize((size, size)),
            transforms.RandomAffine(10, translate=(0.05, 0.05), scale=(0.95, 1.05)),
            transforms.ColorJitter(brightness=0.1, contrast=0.1),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    if hasattr(models, architecture):
        extra = {"aux_logits": False, "init_weights": False} if architecture == "inception_v3" else {}
        network = getattr(models, architecture)(num_classes=findings, **extra).train()
    else:
        network = build(architecture, findings).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    loss = nn.BCEWithLogitsLoss()
    targets = torch.from_numpy(store.targets(range(len(store))))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network.to(device)
    loader = torch.utils.data.DataLoader(
        _Files(files, targets, change),
        batch_size=batch,
        shuffle=True,
        drop_last=True,
        num_workers=min(2, len(os.sched_getaffinity(0)) - 1),
    )
    while True:
        for images, labels in loader:
            optimizer.zero_grad()
            # Our own network takes one channel and answers with more than logits.
            images = images.to(device)
            scores = network(images[:, :1]).logits if architecture == "custom_cnn" else network(images)
            value = loss(scores, labels.to(device))
            value.backward()
            optimizer.step()
            yield


class _Files:
    """PNG files as a tutorial's `Dataset`; each label goes to some file, for only the time counts."""

    def __init__(self, files: list[Path], targets: Any, change: Callable[[Any], Any]) -> None:
        self.files, self.targets, self.change = files, targets, change

    def __len__(self) -> int:
        return min(len(self.files), len(self.targets))

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        from PIL import Image

        return self.change(Image.open(self.files[index]).convert("RGB")), self.targets[index]


if __name__ == "__main__":
    typer.run(bench)
