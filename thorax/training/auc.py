"""The AUC-margin loss, as a second stage of training that sharpens ranking."""

from collections.abc import Mapping

import torch
from torch import Tensor

from thorax.training.losses import masked_mean
from thorax.training.share import total

#: Share of a running mean that a batch replaces, once there are enough batches.
_MOMENTUM = 0.1


class AucMargin:
    """The min-max margin loss of Yuan et al. 2021 (ICCV, "Large-scale Robust Deep AUC Maximization"), a finding each.

    Over scores h (sigmoids), with the share of positives p, margin m, and the means a of positives' and b of
    negatives' scores:

        (1 − p)(h − a)²[y = 1] + p(h − b)²[y = 0] + 2α(p(1 − p)m + p·h[y = 0] − (1 − p)h[y = 1]) − p(1 − p)α²

    which over the data is p(1 − p) times the mean of (m − hᵢ + hⱼ)² over all pairs of a positive i and a negative j.
    The best a, b and α are known in closed form: the two means, and max(0, m + b − a). They are kept as running means
    over batches, in place of the paper's second optimiser; the gradient with respect to the scores is the same.

    Args:
        positives: (F,), number of positives a finding in the training split.
        negatives: (F,), number of negatives.
        margin: m.
    """

    def __init__(self, positives: Tensor, negatives: Tensor, margin: float) -> None:
        self.margin = margin
        self._share = (positives / (positives + negatives)).float()
        self._means = torch.full((2, len(positives)), 0.5)
        self._seen = torch.zeros((2, len(positives)))

    def observe(self, logits: Tensor, targets: Tensor) -> None:
        """Take a training batch's scores into the running means."""
        scores = logits.detach().float().sigmoid()
        for row, classes in enumerate((targets > 0.5, targets <= 0.5)):
            summed = total(torch.stack([(scores * classes).sum(dim=0), classes.float().sum(dim=0)])).cpu()
            there = summed[1] > 0
            self._seen[row] += there
            pace = torch.clamp(1 / self._seen[row].clamp_min(1), min=_MOMENTUM) * there
            self._means[row] += pace * (summed[0] / summed[1].clamp_min(1) - self._means[row])

    def entries(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each entry, (N, F)."""
        scores, share = logits.float().sigmoid(), self._share.to(logits.device)
        high, low = self._means.to(logits.device)
        slack = (self.margin + low - high).clamp_min(0)
        present = (targets > 0.5).float()
        absent = 1 - present
        spread = (1 - share) * (scores - high).square() * present + share * (scores - low).square() * absent
        gap = share * (1 - share) * self.margin + share * scores * absent - (1 - share) * scores * present
        return spread + 2 * slack * gap - share * (1 - share) * slack.square()

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean over the entries that have a label."""
        return masked_mean(self.entries(logits, targets), ~torch.isnan(targets))

    def state(self) -> dict[str, Tensor]:
        """Return what a run needs to go on."""
        return {"means": self._means, "seen": self._seen}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave."""
        self._means, self._seen = state["means"].clone(), state["seen"].clone()
