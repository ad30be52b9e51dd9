"""The one shape that every network has: normalisation, backbone, global average pooling, dropout, linear head."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from thorax.models.boxes import BoxHead


class NetworkOutput(NamedTuple):
    """What one forward pass gives.

    Attributes:
        logits: (N, F), one a finding; the sigmoid of each is its uncalibrated probability.
        features: (N, D), the feature map averaged over space, before dropout.
        feature_map: (N, D, h, w), the backbone's last activations.
        boxes: (N, F, 4), x, y, width and height as fractions of the image; None where the network has no box head.
    """

    logits: Tensor
    features: Tensor
    feature_map: Tensor
    boxes: Tensor | None = None


class Network(nn.Module):
    """A backbone under a linear head on globally averaged features.

    For such a network the class activation maps are exact and free: with head weights W and bias b,
    the map of finding f is `sum_d W[f, d] * feature_map[d] + b[f]`, and its spatial mean is the logit of f
    (Zhou et al. 2016, "Learning Deep Features for Discriminative Localization", CVPR).

    Args:
        backbone: maps (N, 1, S, S) to a feature map (N, `feature_dim`, h, w).
        feature_dim: channels of the feature map.
        findings: number of outputs.
        dropout: share of pooled features dropped in training, before the head.
        mean: grey level subtracted from the image, of a scale of 0 to 1.
        std: grey level that it is divided by.
        boxes: whether to have a head that answers with a box a finding.
        context: how many numbers are known beside the image (`thorax.context`); 0 for none.

    Attributes:
        box_head: that head, or None.
        context_head: what those numbers add to each logit, linearly; zeros add nothing. None without them.
        notes: what happened to the starting weights, in sentences for the person who trains.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        feature_dim: int,
        findings: int,
        dropout: float = 0.3,
        mean: float = 0.5,
        std: float = 0.25,
        boxes: bool = False,
        context: int = 0,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(feature_dim, findings)
        self.box_head = BoxHead(feature_dim, findings) if boxes else None
        self.context_head = nn.Linear(context, findings, bias=False) if context else None
        if self.context_head is not None:
            nn.init.zeros_(self.context_head.weight)
        self.register_buffer("mean", torch.tensor(float(mean)))
        self.register_buffer("std", torch.tensor(float(std)))
        self.notes: list[str] = []

    @property
    def feature_dim(self) -> int:
        """Channels D of the feature map."""
        return int(self.head.in_features)

    @property
    def findings(self) -> int:
        """Number of outputs F."""
        return int(self.head.out_features)

    def forward(self, image: Tensor, context: Tensor | None = None) -> NetworkOutput:
        """Score images.

        Args:
            image: (N, 1, S, S), float, 0 (air) to 1; normalisation happens in here.
            context: (N, C) or (1, C), what is known beside the image; None and zeros are nothing known.
        """
        feature_map = self.backbone((image - self.mean) / self.std)
        features = feature_map.mean(dim=(2, 3))
        boxes = None if self.box_head is None else self.box_head(feature_map)
        logits = self.head(self.dropout(features))
        if self.context_head is not None and context is not None:
            logits = logits + self.context_head(context)
        return NetworkOutput(logits, features, feature_map, boxes)

    def maps(self, feature_map: Tensor) -> Tensor:
        """Return the class activation maps (N, F, h, w) whose spatial mean is the logits.

        Args:
            feature_map: (N, D, h, w), from `forward`.
        """
        maps = torch.einsum("ndhw,fd->nfhw", feature_map, self.head.weight)
        return maps + self.head.bias[None, :, None, None]

    def normalise_by(self, mean: float, std: float) -> None:
        """Set the grey levels by which images are normalised."""
        self.mean.fill_(mean)
        self.std.fill_(std)

    def start_head_at(self, prevalence: Tensor) -> None:
        """Set the head's bias to the log-odds of each finding, so that training need not first learn the base rates.

        Args:
            prevalence: (F,), share of positives, strictly between 0 and 1 (Lin et al. 2017, section 4.1).
        """
        with torch.no_grad():
            self.head.bias.copy_(torch.logit(prevalence.clamp(1e-3, 1 - 1e-3)))
