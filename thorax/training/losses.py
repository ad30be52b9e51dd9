"""Losses for multi-label targets, where a NaN target is left out."""

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from thorax import settings

#: Of the asymmetric loss.
_GAMMA_POSITIVE, _GAMMA_NEGATIVE, _MARGIN = 1, 4, 0.05


def binary_cross_entropy(logits: Tensor, targets: Tensor, positive_weight: Tensor | None = None) -> Tensor:
    """Return the cross-entropy of each entry.

    Args:
        logits: (N, F).
        targets: (N, F), from 0 to 1, no NaN.
        positive_weight: (F,), by which the loss of positives is multiplied.
    """
    return functional.binary_cross_entropy_with_logits(logits, targets, pos_weight=positive_weight, reduction="none")


def focal(logits: Tensor, targets: Tensor, gamma: float) -> Tensor:
    """Return the binary focal loss of each entry: cross-entropy times |target − probability| ** gamma.

    For targets of 0 and 1 this is Lin et al. 2017 (ICCV), equation 4; between them it is the quality focal loss of
    Li et al. 2020 (NeurIPS), which is least where the probability equals the target.

    Args:
        logits: (N, F).
        targets: (N, F), from 0 to 1, no NaN.
        gamma: at least 0; 0 is plain cross-entropy.
    """
    # A zero distance has no gradient at gamma below 1, so the distance is kept off zero.
    distance = (targets - torch.sigmoid(logits)).abs().clamp_min(1e-6)
    return distance**gamma * binary_cross_entropy(logits, targets)


def asymmetric(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the asymmetric loss of each entry (Ridnik et al. 2021, ICCV), with the constants of its authors' code.

    Positives count as under a focal loss of γ = 1. Of a negative's probability 0.05 is taken off, and γ is 4: easy
    negatives, the great majority where findings are rare, count for nothing, and so do some that are mislabelled.

    Args:
        logits: (N, F).
        targets: (N, F), from 0 to 1, no NaN; between them the two losses are mixed.
    """
    probability = torch.sigmoid(logits)
    shifted = (probability - _MARGIN).clamp_min(0)
    positive = (1 - probability).clamp_min(1e-6) ** _GAMMA_POSITIVE * -functional.logsigmoid(logits)
    negative = shifted**_GAMMA_NEGATIVE * -torch.log1p(-shifted.clamp_max(1 - 1e-6))
    return targets * positive + (1 - targets) * negative


def smooth(targets: Tensor, amount: float) -> Tensor:
    """Draw targets towards one half: `target * (1 - amount) + amount / 2` (Szegedy et al. 2016)."""
    return targets * (1 - amount) + amount / 2


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of the entries where the mask holds; 0 where it holds nowhere."""
    return (values * mask).sum() / mask.sum().clamp_min(1)


class Loss(Protocol):
    """A loss of logits (N, F) and targets (N, F), with NaN where a label is to be left out."""

    def entries(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each entry, (N, F); what it is where a label is left out does not matter, but finite."""

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean over the entries that have a label."""


class EntryLoss:
    """One of the losses above, with label smoothing.

    Args:
        recipe: names the loss, gamma and label smoothing.
        positives: (F,), number of positives a finding in the training split, each at least 1.
        negatives: (F,), number of negatives.
    """

    def __init__(self, recipe: settings.Train, positives: Tensor, negatives: Tensor) -> None:
        self._recipe = recipe
        self._weight = (negatives / positives).float()

    def entries(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each entry, (N, F)."""
        logits, recipe = logits.float(), self._recipe
        target = smooth(torch.nan_to_num(targets), recipe.label_smoothing)
        if recipe.loss == "focal":
            return focal(logits, target, recipe.focal_gamma)
        if recipe.loss == "asymmetric":
            return asymmetric(logits, target)
        weight = self._weight.to(logits.device) if recipe.loss == "weighted_bce" else None
        return binary_cross_entropy(logits, target, weight)

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean over the entries that have a label."""
        return masked_mean(self.entries(logits, targets), ~torch.isnan(targets))
