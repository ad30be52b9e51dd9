"""The training loop."""

import math
import time
from collections.abc import Iterator
from contextlib import nullcontext

import numpy as np
import torch
from torch import Tensor

from thorax.training import checkpoint, share
from thorax.training.batches import Batch, epoch_batches, prefetch, sampling_weights
from thorax.training.checkpoint import State
from thorax.training.clock import Clock, stop_signals
from thorax.training.optimise import Schedule, make_optimizer, set_rate
from thorax.training.runtime import seed_step
from thorax.training.scoring import answer, aurocs
from thorax.training.step import Learner, Task, memory_errors


def fit(task: Task) -> State:
    """Train a network to its end or to where early stopping ends it, and leave the best epoch's weights in it.

    A run goes on from its checkpoint where there is one. Everything drawn at random is seeded by its place in the
    run, so a run that was broken off ends with the same weights as one that was not.

    Raises:
        TrainingError: the loss is not finite, or memory is too small for the batch.
        InputError: the checkpoint is of another configuration.
    """
    recipe, network = task.recipe, task.network
    plan = _Plan(task)
    learner = Learner(task, make_optimizer(network, recipe))
    state, best = _resume(task, learner)
    schedule = Schedule(recipe, plan.steps, **state.schedule)

    def save() -> None:
        if task.checkpoints and share.rank() == 0:
            held = not state.step and state.best_epoch == state.epoch - 1 and learner.average is None
            other = None if held else best
            extra = _extra(learner)
            checkpoint.save(task.checkpoints, task.configuration, state, network, learner.optimizer, other, extra)

    with stop_signals() as stopped:
        clock = Clock(state.seconds, state.epoch * plan.steps + state.step)
        while not state.finished:
            loss, stop = math.nan, False
            learner.begin(state.epoch)
            for batch, generator in plan.batches(state):
                taken = state.epoch * plan.steps + state.step
                set_rate(learner.optimizer, schedule.rate(taken))
                began = time.perf_counter()
                loss, norm = learner.step(batch, generator)
                if learner.average is not None:
                    learner.average.update(taken)
                state.add(loss, norm, len(batch.whole), time.perf_counter() - began)
                _tell(task, state, plan.steps, loss, clock)
                stop = share.anywhere(bool(stopped))
                if stop:
                    break
            if not stop:
                if _close_epoch(learner, state, schedule, plan.steps, clock.lap()):
                    best = _weights(learner)
                _tell(task, state, plan.steps, loss, clock)
            state.seconds = clock.seconds
            save()
            if stop:
                raise stopped[0] if stopped else SystemExit(143)
    if best is not None:
        network.load_state_dict(best)
    return state


class _Plan:
    """Which images each step of each epoch takes."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._indices = task.store.indices("train")
        patients = task.store.rows["patient_id"].to_numpy()[self._indices]
        self._weights = sampling_weights(task.recipe.sampling, task.store.targets(self._indices), patients)
        self.steps = len(self._drawn(0))

    def _drawn(self, epoch: int) -> list[np.ndarray]:
        recipe = self._task.recipe
        return epoch_batches(self._indices, recipe.batch_size, recipe.seed, epoch, recipe.epoch_fraction, self._weights)

    def batches(self, state: State) -> Iterator[tuple[Batch, torch.Generator]]:
        """Yield the batches of the current epoch that are still to be trained, each with its own seed."""
        task = self._task
        drawn = self._drawn(state.epoch)[state.step :]
        pin = task.runtime.device.type == "cuda"
        for batch in prefetch(task.store, drawn, boxes=task.boxes, part=share.part, pin=pin):
            yield batch, seed_step(task.recipe.seed, state.epoch, state.step)


def _resume(task: Task, learner: Learner) -> tuple[State, dict[str, Tensor] | None]:
    """Take the run up where its checkpoint left it, or begin it."""
    if task.checkpoints is None:
        return State(), None
    kept = checkpoint.load(task.checkpoints, task.configuration, task.network, learner.optimizer)
    if kept is None:
        return State(), None
    state, best, extra = kept
    if learner.average is not None:
        learner.average.restore(checkpoint.part(extra, "average/"))
    if task.ranking is not None:
        task.ranking.restore(checkpoint.part(extra, "ranking/"))
    if best is None and state.curves:
        best = _weights(learner)
    return state, best


def _extra(learner: Learner) -> dict[str, Tensor]:
    """What a run needs to go on beside its weights and its optimiser's state."""
    parts = {
        "average": learner.average.weights if learner.average is not None else {},
        "ranking": learner.task.ranking.state() if learner.task.ranking is not None else {},
    }
    return {f"{kind}/{name}": tensor for kind, tensors in parts.items() for name, tensor in tensors.items()}


def validate(task: Task) -> tuple[float, dict[str, float]]:
    """Return the loss and each finding's AUROC on the validation split, shared among the processes."""
    store, indices = task.store, task.store.indices("validation")
    if len(indices) < share.world():
        logits = answer(task.network, store, indices, task.runtime).logits
    else:
        mine = answer(task.network, store, share.part(indices), task.runtime)
        logits = share.together(mine.logits, len(indices))
    loss = task.loss(torch.from_numpy(logits), torch.from_numpy(store.targets(indices))).item()
    return loss, aurocs(store.truth(indices), logits, store.findings)


def _close_epoch(learner: Learner, state: State, schedule: Schedule, steps: int, seconds: float) -> bool:
    """Score the validation split, write the epoch's record, move on to the next; says whether this was the best."""
    task = learner.task
    with memory_errors(task), learner.average.applied() if learner.average is not None else nullcontext():
        loss, areas = validate(task)
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
    # A second stage is not stopped before it has begun.
    waiting = task.ranking is not None and state.epoch <= task.recipe.epochs - task.recipe.auc_epochs
    state.finished = state.epoch >= task.recipe.epochs or (state.stale >= task.recipe.patience and not waiting)
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


def _weights(learner: Learner) -> dict[str, Tensor]:
    """A copy, which further training does not touch, of the weights and statistics that answer: averaged or not."""
    held = learner.task.network.state_dict() if learner.average is None else learner.average.weights
    return {name: tensor.clone() for name, tensor in held.items()}
