"""The optimiser and the learning rate."""

import math
from dataclasses import dataclass

import torch

from thorax import settings
from thorax.models import Network

#: Epochs without improvement after which the plateau schedule lowers the rate, and by what.
_PLATEAU_PATIENCE, _PLATEAU_FACTOR = 2, 0.3


def make_optimizer(network: Network, recipe: settings.Train) -> torch.optim.Optimizer:
    """Build Adam (Kingma and Ba 2015) or AdamW (Loshchilov and Hutter 2019) over the parameters that learn.

    Weight decay spares biases and normalisations, which are vectors.
    """
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in learning if parameter.ndim > 1]
    vectors = [parameter for parameter in learning if parameter.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    return kind([group for group in groups if group["params"]], lr=recipe.learning_rate, fused=True)


@dataclass
class Schedule:
    """The learning rate as a function of the step, and of the validation scores for "plateau".

    Attributes:
        recipe: holds the peak rate, the schedule, the warm-up and the number of epochs.
        steps: an epoch.
        factor: by which a plateau has lowered the rate so far.
        best: the highest score seen.
        stale: epochs since then, or since the rate was lowered.
    """

    recipe: settings.Train
    steps: int
    factor: float = 1.0
    best: float = -math.inf
    stale: int = 0

    def rate(self, step: int) -> float:
        """Return the rate at a step, counted from 0 over the whole run: a linear warm-up, then the schedule."""
        total = self.recipe.epochs * self.steps
        # A warm-up never takes more than a quarter of a short run.
        warmup = min(self.recipe.warmup_epochs * self.steps, total // 4)
        rate = self.recipe.learning_rate * self.factor
        if step < warmup:
            return rate * (step + 1) / (warmup + 1)
        if self.recipe.schedule == "cosine":
            return rate * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))
        return rate

    def observe(self, score: float) -> None:
        """Take note of an epoch's validation score; higher is better."""
        self.stale = 0 if score > self.best else self.stale + 1
        self.best = max(self.best, score)
        if self.recipe.schedule == "plateau" and self.stale > _PLATEAU_PATIENCE:
            self.factor *= _PLATEAU_FACTOR
            self.stale = 0


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every parameter group the rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate
