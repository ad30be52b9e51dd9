"""The training loop."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thorax import settings
from thorax.errors import ThoraxError
from thorax.files import write_json
from thorax.models import Network
from thorax.models.freezing import train_mode
from thorax.training import checkpoint
from thorax.training.augment import augment
from thorax.training.batches import Batch, epoch_batches, prefetch, to_float
from thorax.training.checkpoint import State
from thorax.training.clock import Clock, stop_signals
from thorax.training.losses import Loss
from thorax.training.optimise import Schedule, make_optimizer, set_rate
from thorax.training.runtime import Runtime, seed_step
from thorax.training.scoring import answer, aurocs

Report = Callable[[dict[str, Any]], None]


class TrainingError(ThoraxError):
    """Training that cannot go on."""


@dataclass
class Task:
    """What is trained on what.

    Attributes:
        architecture: its name, for reports.
        recipe: of this architecture.
        network: on the runtime's device.
        store: an open `ImageStore`.
        loss: of logits and targets.
        runtime: device and precision.
        report: told of each step and epoch.
        checkpoints: folder of the checkpoint, or None to keep none.
        configuration: what a checkpoint must agree with.
        failures: folder for what a person needs when training breaks off.
    """

    architecture: str
    recipe: settings.Train
    network: Network
    store: Any
    loss: Loss
    runtime: Runtime
    report: Report
    checkpoints: Path | None
    configuration: dict[str, Any]
    failures: Path


def fit(task: Task) -> State:
    """Train a network to its end or to where early stopping ends it, and leave the best epoch's weights in it.

    A run goes on from its checkpoint where there is one. Everything drawn at random is seeded by its place in the
    run, so a run that was broken off ends with the same weights as one that was not.

    Raises:
        TrainingError: the loss is not finite, or memory is too small for the batch.
        InputError: the checkpoint is of another configuration.
    """
    recipe, network = task.recipe, task.network
    indices = task.store.indices("train")
    steps = len(epoch_batches(indices, recipe.batch_size, recipe.seed, 0, recipe.epoch_fraction))
    optimizer = make_optimizer(network, recipe)
    state, best = State(), None
    kept = checkpoint.load(task.checkpoints, task.configuration, network, optimizer) if task.checkpoints else None
    if kept:
        state, best = kept
        best = _weights(network) if best is None and state.curves else best
    schedule = Schedule(recipe, steps, **state.schedule)

    def save() -> None:
        if task.checkpoints:
            other = best if state.step or state.best_epoch != state.epoch - 1 else None
            checkpoint.save(task.checkpoints, task.configuration, state, network, optimizer, other)

    with stop_signals() as stopped:
        clock = Clock(state.seconds, state.epoch * steps + state.step)
        while not state.finished:
            loss = math.nan
            for batch, generator in _batches(task, indices, state):
                set_rate(optimizer, schedule.rate(state.epoch * steps + state.step))
                began = time.perf_counter()
                loss, norm = train_step(task, optimizer, batch, generator)
                state.add(loss, norm, len(batch.indices), time.perf_counter() - began)
                _tell(task, state, steps, loss, clock)
                if stopped:
                    break
            if not stopped:
                if _close_epoch(task, state, schedule, steps, clock.lap()):
                    best = _weights(network)
                _tell(task, state, steps, loss, clock)
            state.seconds = clock.seconds
            save()
            if stopped:
                raise stopped[0]
    if best is not None:
        network.load_state_dict(best)
    return state


def _batches(task: Task, indices: np.ndarray, state: State) -> Iterator[tuple[Batch, torch.Generator]]:
    """The batches of the current epoch that are still to be trained, each with its own seed."""
    recipe = task.recipe
    train_mode(task.network)
    drawn = epoch_batches(indices, recipe.batch_size, recipe.seed, state.epoch, recipe.epoch_fraction)[state.step :]
    for batch in prefetch(task.store, drawn, pin=task.runtime.device.type == "cuda"):
        yield batch, seed_step(recipe.seed, state.epoch, state.step)


def train_step(
    task: Task, optimizer: torch.optim.Optimizer, batch: Batch, generator: torch.Generator
) -> tuple[float, float]:
    """Augment a batch, pass it forward and backward, and update the weights.

    Returns:
        The loss, and the norm of the gradient before clipping.

    Raises:
        TrainingError: the loss or the gradient is not finite, or memory is too small for the batch.
    """
    recipe, runtime = task.recipe, task.runtime
    try:
        images = augment(to_float(batch.images, runtime.device), recipe.augment, generator)
        with runtime.precision():
            logits = task.network(images.contiguous(memory_format=runtime.memory_format)).logits
        loss = task.loss(logits, batch.targets.to(runtime.device, non_blocking=True))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(task.network.parameters(), recipe.gradient_clip or math.inf)
        value, size = loss.item(), norm.item()
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise TrainingError(
            f"{task.architecture}: memory is too small for batches of {recipe.batch_size} images.",
            f"Set train.batch_size to {max(2, recipe.batch_size // 2)}.",
        ) from error
    if not math.isfinite(value) or not math.isfinite(size):
        raise _not_finite(task, batch, value, size)
    optimizer.step()
    return value, size


def _not_finite(task: Task, batch: Batch, loss: float, norm: float) -> TrainingError:
    file = task.failures / f"non-finite-{task.architecture}.json"
    images = [str(name) for name in task.store.rows["image_id"].iloc[batch.indices]]
    write_json(file, {"architecture": task.architecture, "loss": str(loss), "norm": str(norm), "image_ids": images})
    return TrainingError(
        f"{task.architecture}: the loss became {loss:g}, with a gradient of norm {norm:g}.",
        f"The images of that batch are named in {file}. Try a lower train.learning_rate or train.precision=float32.",
    )


def _close_epoch(task: Task, state: State, schedule: Schedule, steps: int, seconds: float) -> bool:
    """Score the validation split, write the epoch's record, move on to the next; says whether this was the best."""
    store, validation = task.store, task.store.indices("validation")
    answers = answer(task.network, store, validation, task.runtime)
    loss = task.loss(torch.from_numpy(answers.logits), torch.from_numpy(store.targets(validation))).item()
    areas = aurocs(store.truth(validation), answers.logits, store.findings)
    auroc = float(np.mean(list(areas.values()))) if areas else None
    # Where no finding has both classes in validation, the loss is all there is to go by.
    score = auroc if auroc is not None else -loss
    images = state.sums["images"]
    state.curves.append(
        {
            "epoch": state.epoch + 1,
            "train_loss": state.sums["loss"] / images,
            "validation_loss": loss,
            "validation_auroc": auroc,
            "validation_aurocs": areas,
            "learning_rate": schedule.rate(state.epoch * steps + steps - 1),
            "gradient_norm": state.sums["gradient_norm"] / images,
            "images_per_second": images / max(state.sums["seconds"], 1e-9),
            "seconds": seconds,
        }
    )
    # Of two epochs that rank equally well, as at an AUROC of 1, the one with the lower loss is the better.
    before = (-math.inf, 0.0) if state.best_score is None else (state.best_score, -state.best_loss)
    better = (score, -loss) > before
    if better:
        state.best_score, state.best_loss, state.best_epoch = score, loss, state.epoch
    state.stale = 0 if better else state.stale + 1
    schedule.observe(score)
    state.schedule = {"factor": schedule.factor, "best": schedule.best, "stale": schedule.stale}
    state.epoch, state.step = state.epoch + 1, 0
    state.sums = dict.fromkeys(state.sums, 0.0)
    state.finished = state.epoch >= task.recipe.epochs or state.stale >= task.recipe.patience
    return better


def _tell(task: Task, state: State, steps: int, loss: float, clock: Clock) -> None:
    """Report how far the run has come."""
    done, total = state.epoch * steps + state.step, task.recipe.epochs * steps
    task.report(
        {
            "architecture": task.architecture,
            "epoch": state.epoch + bool(state.step),
            "epochs": task.recipe.epochs,
            "step": state.step or steps,
            "steps": steps,
            "loss": loss,
            "auroc": state.curves[-1]["validation_auroc"] if state.curves else None,
            "eta_seconds": clock.remaining(done, total),
            # An epoch that has just ended comes with its row of the learning curves.
            "curve": state.curves[-1] if state.curves and not state.step else None,
        }
    )


def _weights(network: Network) -> dict[str, Tensor]:
    """A copy of the weights and buffers that further training does not touch."""
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}
