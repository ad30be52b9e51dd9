"""The AUC-margin loss is the mean over pairs that its paper says it is, and its gradient points there."""

import pytest
import torch

from thorax.training.auc import AucMargin


def data(rows: int = 60):
    generator = torch.Generator().manual_seed(0)
    targets = (torch.rand((rows, 2), generator=generator) < 0.3).float()
    return torch.randn((rows, 2), generator=generator) + targets, targets


def settled(logits, targets, margin=1.0) -> AucMargin:
    loss = AucMargin(targets.sum(dim=0), (1 - targets).sum(dim=0), margin)
    for _ in range(200):
        loss.observe(logits, targets)
    return loss


def by_pairs(logits, targets, margin=1.0) -> torch.Tensor:
    """The brute force: all pairs of a positive and a negative."""
    each = []
    for column in range(2):
        scores, present = logits[:, column].sigmoid(), targets[:, column] == 1
        pairs = margin - scores[present][:, None] + scores[~present][None]
        share = present.float().mean()
        each.append(share * (1 - share) * pairs.square().mean())
    return torch.stack(each).mean()


def test_it_is_the_squared_margin_over_all_pairs():
    logits, targets = data()
    assert settled(logits, targets)(logits, targets).item() == pytest.approx(by_pairs(logits, targets).item(), rel=1e-4)


def test_its_gradient_is_that_of_the_pairs():
    logits, targets = data()
    one, other = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    settled(logits, targets)(one, targets).backward()
    by_pairs(other, targets).backward()
    assert torch.allclose(one.grad, other.grad, atol=1e-6)


def test_a_margin_that_is_reached_asks_for_no_more():
    logits = torch.tensor([[8.0, 8.0], [-8.0, -8.0]])
    targets = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    assert settled(logits, targets, margin=0.5)(logits, targets).item() == pytest.approx(0, abs=1e-6)


def test_unknown_labels_are_left_out_and_the_state_goes_on():
    logits, targets = data()
    targets[0, 0] = torch.nan
    loss = settled(logits, torch.nan_to_num(targets))
    moved = logits.clone()
    moved[0, 0] = 9.0
    assert loss(moved, targets).item() == pytest.approx(loss(logits, targets).item())
    other = AucMargin(torch.ones(2), torch.ones(2), 1.0)
    other.observe(logits, targets)
    other.restore(loss.state())
    assert all(torch.equal(other.state()[name], tensor) for name, tensor in loss.state().items())


def test_descending_it_raises_the_area_under_the_curve():
    from sklearn.metrics import roc_auc_score

    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn((400, 5), generator=generator)
    targets = (inputs[:, :2] + torch.randn((400, 2), generator=generator) > 1).float()
    layer = torch.nn.Linear(5, 2)
    optimizer = torch.optim.SGD(layer.parameters(), 2.0)
    loss = AucMargin(targets.sum(dim=0), (1 - targets).sum(dim=0), 1.0)
    before = roc_auc_score(targets, layer(inputs).detach())
    for _ in range(150):
        logits = layer(inputs)
        loss.observe(logits, targets)
        optimizer.zero_grad()
        loss(logits, targets).backward()
        optimizer.step()
    assert roc_auc_score(targets, layer(inputs).detach()) > max(before, 0.8)
