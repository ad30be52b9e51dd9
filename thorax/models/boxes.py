"""A head that answers with a box a finding, read off the feature map."""

import torch
from torch import Tensor, nn


class BoxHead(nn.Module):
    """Votes of the map's cells, averaged by how much each cell speaks for the finding.

    Every cell gives a weight and its distances to the four sides of the box, as in FCOS (Tian et al. 2019, ICCV); the
    softmax of the weights over the map averages the boxes. So the head may look where the finding is, which a linear
    layer on globally averaged features cannot.

    Args:
        feature_dim: channels D of the feature map.
        findings: number F of boxes.
        hidden: channels in between.
    """

    def __init__(self, feature_dim: int, findings: int, hidden: int = 128) -> None:
        super().__init__()
        self.findings = findings
        self.stem = nn.Sequential(nn.Conv2d(feature_dim, hidden, 1), nn.SiLU())
        self.weight = nn.Conv2d(hidden, findings, 3, padding=1)
        self.sides = nn.Conv2d(hidden, 4 * findings, 3, padding=1)
        # Sides start a sixth of the image from their cell: boxes of a third of the image.
        nn.init.constant_(self.sides.bias, -1.6)  # type: ignore[arg-type]

    def forward(self, feature_map: Tensor) -> Tensor:
        """Map (N, D, h, w) to boxes (N, F, 4): x, y, width, height as fractions of the image, within it."""
        height, width = int(feature_map.shape[2]), int(feature_map.shape[3])
        hidden = self.stem(feature_map)
        share = self.weight(hidden).float().flatten(2).softmax(dim=2)
        sides = self.sides(hidden).float().sigmoid().flatten(2).unflatten(1, (self.findings, 4))
        x = ((torch.arange(width, device=feature_map.device) + 0.5) / width).repeat(height)
        y = ((torch.arange(height, device=feature_map.device) + 0.5) / height).repeat_interleave(width)
        corners = [x - sides[:, :, 0], y - sides[:, :, 1], x + sides[:, :, 2], y + sides[:, :, 3]]
        left, top, right, bottom = ((share * corner).sum(dim=2).clamp(0, 1) for corner in corners)
        return torch.stack([left, top, right - left, bottom - top], dim=2)
