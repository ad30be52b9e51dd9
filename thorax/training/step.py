"""One step of training: a batch forward and backward, and what goes wrong in it told so that a person can mend it."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from thorax import settings
from thorax.errors import ThoraxError
from thorax.files import write_json
from thorax.models import Network
from thorax.models.freezing import train_mode, unfreeze_gradually
from thorax.training import share
from thorax.training.auc import AucMargin
from thorax.training.augment import augment
from thorax.training.average import Average
from thorax.training.batches import Batch, to_float
from thorax.training.boxes import box_entries
from thorax.training.losses import Loss
from thorax.training.runtime import Runtime

#: Share of the images that are trained on as if nothing were known beside them.
_HIDDEN = 0.2

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
        ranking: the loss of the second stage, or None where there is none.
        boxes: (rows of the store, F, 4), what the box head learns, or None where there is no box head.
        context: (rows of the store, C), what is known beside the images, or None where the network reads none.
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
    ranking: AucMargin | None = None
    boxes: np.ndarray | None = None
    context: np.ndarray | None = None


class Learner:
    """A network that learns: as it is trained, with its optimiser and the average of its weights.

    Args:
        task: what is trained on what.
        optimizer: over all parameters that will learn.
    """

    def __init__(self, task: Task, optimizer: torch.optim.Optimizer) -> None:
        self.task, self.optimizer = task, optimizer
        self.average = Average(task.network, task.recipe.ema) if task.recipe.ema else None
        self._model: nn.Module | None = None
        self._ranking = False

    def begin(self, epoch: int) -> None:
        """Set what learns in an epoch, and by which loss."""
        recipe = self.task.recipe
        if recipe.unfreeze_epochs:
            unfreeze_gradually(self.task.network, recipe.unfreeze, epoch, recipe.unfreeze_epochs)
        train_mode(self.task.network)
        # Several processes agree anew on what learns whenever that changes.
        if self._model is None or 0 < epoch <= recipe.unfreeze_epochs:
            self._model = share.share_out(self.task.network)
        self._ranking = self.task.ranking is not None and epoch >= recipe.epochs - recipe.auc_epochs

    def step(self, batch: Batch, generator: torch.Generator) -> tuple[float, float]:
        """Augment a batch, pass it forward and backward, and update the weights.

        Returns:
            The loss, and the norm of the gradient before clipping; over the whole batch where processes share it.

        Raises:
            TrainingError: the loss or the gradient is not finite, or memory is too small for the batch.
        """
        recipe, runtime = self.task.recipe, self.task.runtime
        assert self._model is not None
        with memory_errors(self.task):
            images, boxes = self.see(batch, generator)
            targets = batch.targets.to(runtime.device, non_blocking=True)
            context = self._context(batch, generator)
            with runtime.precision():
                output = self._model(images.contiguous(memory_format=runtime.memory_format), context)
            loss = self._loss(output.logits, targets)
            if output.boxes is not None:
                loss = loss + recipe.boxes.weight * self._box_loss(output.boxes, boxes)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(self.task.network.parameters(), recipe.gradient_clip or math.inf)
            value, size = (share.total(loss) / share.world()).item(), norm.item()
        if not math.isfinite(value) or not math.isfinite(size):
            raise _not_finite(self.task, batch, value, size)
        self.optimizer.step()
        return value, size

    def see(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Return a batch's images as the network sees them in training, and their boxes where they are learned."""
        part = (share.rank(), share.world(), len(batch.whole))
        images = to_float(batch.images, self.task.runtime.device)
        return augment(images, self.task.recipe.augment, generator, batch.boxes, part)

    def _context(self, batch: Batch, generator: torch.Generator) -> Tensor | None:
        """Return what is known beside a batch's images; a fifth of them hide it, as not everyone will tell."""
        if self.task.context is None:
            return None
        kept = torch.rand(len(batch.whole), generator=generator)[share.rank() :: share.world()] >= _HIDDEN
        known = torch.from_numpy(self.task.context[batch.indices]) * kept[:, None]
        return known.to(self.task.runtime.device)

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        ranking = self.task.ranking if self._ranking else None
        if ranking is not None:
            ranking.observe(logits, targets)
        loss = self.task.loss if ranking is None else ranking
        return _mean(loss.entries(logits, targets), ~torch.isnan(targets))

    def _box_loss(self, predicted: Tensor, targets: Tensor | None) -> Tensor:
        if targets is None:
            return predicted.sum() * 0
        return _mean(*box_entries(predicted, targets.to(predicted.device), self.task.recipe.boxes.loss))


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over the whole batch's entries where the mask holds, times the number of processes.

    Gradients are averaged over the processes, so the factor makes them those of the whole batch's mean.
    """
    return (values * mask).sum() * share.world() / share.total(mask.sum().float()).clamp_min(1)


@contextmanager
def memory_errors(task: Task) -> Iterator[None]:
    """Turn running out of memory, on a GPU or not, into a TrainingError that names a batch size to try."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        # The CPU's allocator raises a plain RuntimeError.
        if type(error) is RuntimeError and "allocate memory" not in str(error):
            raise
        raise TrainingError(
            f"{task.architecture}: memory is too small for batches of {task.recipe.batch_size} images.",
            f"Set train.batch_size to {max(2, task.recipe.batch_size // 2)}.",
        ) from error


def _not_finite(task: Task, batch: Batch, loss: float, norm: float) -> TrainingError:
    file = task.failures / f"non-finite-{task.architecture}.json"
    images = [str(name) for name in task.store.rows["image_id"].iloc[batch.whole]]
    if share.rank() == 0:
        told = {"architecture": task.architecture, "loss": str(loss), "norm": str(norm), "image_ids": images}
        write_json(file, told)
    return TrainingError(
        f"{task.architecture}: the loss became {loss:g}, with a gradient of norm {norm:g}.",
        f"The images of that batch are named in {file}. Try a lower train.learning_rate or train.precision=float32.",
    )
