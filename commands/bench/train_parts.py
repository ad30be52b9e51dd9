"""The loops that `make bench-train` times, and the processes whose memory it measures."""

import json
import subprocess
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands.console import progress

if TYPE_CHECKING:
    from thorax.settings import Settings

#: Dense bfloat16 arithmetic of chips, operations a second, as their makers' data sheets state it.
PEAKS = {
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "A10": 125e12,
    "L40S": 362e12,
    "L4": 121e12,
    "RTX 4090": 165e12,
}


@dataclass
class Rate:
    """Steps of one kind and the time they took."""

    images: int = 0
    seconds: float = 0.0

    @property
    def per_second(self) -> float:
        """Images a second."""
        return self.images / self.seconds if self.seconds else 0.0


def preprocess(settings: "Settings", images: int, folder: Path) -> tuple[Any, dict[str, Any]]:
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


def rates(
    settings: "Settings",
    architecture: str,
    store: Any,
    files: list[Path],
    seconds: float,
    advance: Callable[[int], None],
) -> dict[str, Any]:
    """Time the three loops on one network, taking turns."""
    import time

    recipe = settings.train.of(architecture)
    loops, precision = our_loops(recipe, architecture, store)
    loops["plain_loop"] = _plain_loop(architecture, store, files, settings.preprocess.size, recipe.batch_size)
    taken = {name: Rate() for name in loops}
    for step in loops.values():
        next(step)
        next(step)
    shown = 0
    while any(rate.seconds < seconds for rate in taken.values()):
        for name, step in loops.items():
            if taken[name].seconds < seconds:
                began = time.perf_counter()
                next(step)
                taken[name].seconds += time.perf_counter() - began
                taken[name].images += recipe.batch_size
        done = round(sum(min(rate.seconds, seconds) for rate in taken.values()))
        advance(done - shown)
        shown = done
    for step in loops.values():
        step.close()
    measured = {name: rate.per_second for name, rate in taken.items()}
    return {
        "architecture": architecture,
        "precision": precision,
        **measured,
        "of_bare": measured["thorax"] / measured["bare_step"],
        "over_plain": measured["thorax"] / measured["plain_loop"],
        "share_of_peak": _share_of_peak(recipe, architecture, store, measured["thorax"]),
    }


def our_loops(recipe: Any, architecture: str, store: Any) -> tuple[dict[str, Generator[None]], str]:
    """Thorax's step from the store, and the same on one batch in memory."""
    import numpy as np
    import torch

    from thorax.models import build
    from thorax.training.batches import epoch_batches, prefetch, to_float
    from thorax.training.losses import EntryLoss
    from thorax.training.optimise import make_optimizer
    from thorax.training.runtime import choose_runtime, seed_step
    from thorax.training.step import Learner, Task

    indices = np.arange(len(store))
    runtime = choose_runtime(recipe, architecture)
    ones = torch.ones(len(store.findings))

    def learner() -> Learner:
        network = build(architecture, len(store.findings), recipe.dropout, size=store.size, stride=recipe.stride)
        runtime.place(network)
        loss = EntryLoss(recipe, ones, ones)
        task = Task(architecture, recipe, network, store, loss, runtime, lambda state: None, None, {}, Path())
        made = Learner(task, make_optimizer(network, recipe))
        made.begin(0)
        return made

    def from_store() -> Generator[None]:
        made = learner()
        # One long row of epochs: real ones are longer than those of a few hundred phantoms.
        drawn = [batch for epoch in range(200) for batch in epoch_batches(indices, recipe.batch_size, 0, epoch)]
        while True:
            for step, batch in enumerate(prefetch(store, drawn, pin=runtime.device.type == "cuda")):
                made.step(batch, seed_step(recipe.seed, 0, step))
                yield

    def in_memory() -> Generator[None]:
        made = learner()
        network = made.task.network
        batch = next(iter(prefetch(store, [indices[: recipe.batch_size]])))
        images = to_float(batch.images, runtime.device).contiguous(memory_format=runtime.memory_format)
        targets = batch.targets.to(runtime.device)
        while True:
            with runtime.precision():
                logits = network(images).logits
            loss = made.task.loss(logits, targets)
            made.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.gradient_clip)
            loss.item()
            made.optimizer.step()
            yield

    precision = "float32" if runtime.autocast is None else "bfloat16"
    return {"bare_step": in_memory(), "thorax": from_store()}, precision


def memory(settings: "Settings", architecture: str, store: Any, threads: int) -> dict[str, float]:
    """Measure the peak memory of a fresh process of either kind: of the GPU where there is one, else resident."""
    found = {}
    for kind in ("bare_step", "thorax"):
        order = {
            "train": settings.train.of(architecture).model_dump(mode="json"),
            "architecture": architecture,
            "store": str(store.folder),
            "kind": kind,
            "threads": threads,
        }
        answer = subprocess.run(
            [sys.executable, "-m", "commands.bench.train_parts"],
            input=json.dumps(order),
            capture_output=True,
            text=True,
            check=True,
        )
        found[kind] = float(answer.stdout.split()[-1])
    return {
        "bare_mib": found["bare_step"],
        "thorax_mib": found["thorax"],
        "memory": found["thorax"] / found["bare_step"],
    }


def _peak_memory(order: dict[str, Any]) -> float:
    """Take some steps of one kind, and return the peak memory of this process in MiB."""
    import torch

    from commands.bench.watch import peak_mib
    from thorax.preprocessing.store import ImageStore
    from thorax.settings import Train

    torch.set_num_threads(order["threads"])
    recipe = Train.model_validate(order["train"])
    loops, _ = our_loops(recipe, order["architecture"], ImageStore.open(Path(order["store"])))
    for _ in range(6):
        next(loops[order["kind"]])
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return peak_mib()


def _share_of_peak(recipe: Any, architecture: str, store: Any, rate: float) -> float | None:
    """Return the share of the GPU's dense bfloat16 arithmetic that training at a rate uses; None where it is unknown.

    Operations are counted by PyTorch's own counter over one step forward and backward.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from thorax.models import build

    if not torch.cuda.is_available():
        return None
    name = torch.cuda.get_device_name()
    peak = next((value for chip, value in PEAKS.items() if chip in name), None)
    if peak is None:
        return None
    network = build(architecture, len(store.findings), size=store.size, stride=recipe.stride)
    images = torch.rand(2, 1, store.size, store.size)
    with FlopCounterMode(display=False) as counter:
        network(images).logits.sum().backward()
    return rate * counter.get_total_flops() / len(images) / peak


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
    sys.stdout.write(f"{_peak_memory(json.load(sys.stdin))}\n")
