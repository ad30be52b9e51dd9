"""Losses agree with their papers' formulas and with torchvision, and leave out what is not known."""

import numpy as np
import pytest
import torch

from thorax import settings
from thorax.training.losses import EntryLoss, asymmetric, focal, smooth

LOGITS = torch.tensor([[2.0, -1.0], [0.5, 0.0], [-3.0, 4.0]])
TARGETS = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
COUNTS = torch.tensor([10.0, 5.0]), torch.tensor([30.0, 45.0])


def loss_of(kind: str, **changes):
    return EntryLoss(settings.Train(loss=kind, **changes), *COUNTS)


def test_bce_is_the_mean_negative_log_likelihood_of_sklearn():
    from sklearn.metrics import log_loss

    probability = torch.sigmoid(LOGITS).numpy().ravel()
    expected = log_loss(TARGETS.numpy().ravel(), probability)
    assert loss_of("bce")(LOGITS, TARGETS).item() == pytest.approx(expected, rel=1e-5)


def test_focal_of_one_positive_worked_by_hand():
    # A positive seen at p = 0.25: (1 - 0.25)^2 * -ln 0.25 = 0.5625 * 1.386294 = 0.779791.
    logit = torch.tensor([[float(np.log(0.25 / 0.75))]])
    assert focal(logit, torch.ones(1, 1), 2.0).item() == pytest.approx(0.779791, abs=1e-5)


def test_focal_without_gamma_is_plain_cross_entropy():
    assert loss_of("focal", focal_gamma=0)(LOGITS, TARGETS) == pytest.approx(loss_of("bce")(LOGITS, TARGETS))


@pytest.mark.slow
def test_focal_agrees_with_torchvision():
    from torchvision.ops import sigmoid_focal_loss

    expected = sigmoid_focal_loss(LOGITS, TARGETS, alpha=-1, gamma=2.0, reduction="mean")
    assert loss_of("focal")(LOGITS, TARGETS).item() == pytest.approx(expected.item(), rel=1e-5)


def test_weighted_bce_weighs_positives_by_negatives_over_positives():
    # Weights are 3 and 9: the positive's loss counts threefold in the first column, ninefold in the second.
    each = -(TARGETS * torch.tensor([3.0, 9.0]) * torch.nn.functional.logsigmoid(LOGITS))
    each -= (1 - TARGETS) * torch.nn.functional.logsigmoid(-LOGITS)
    assert loss_of("weighted_bce")(LOGITS, TARGETS).item() == pytest.approx(each.mean().item(), rel=1e-5)


@pytest.mark.parametrize("kind", ["bce", "weighted_bce", "focal", "asymmetric"])
def test_a_label_that_is_not_known_changes_nothing(kind):
    targets = TARGETS.clone()
    targets[1, 1] = float("nan")
    logits = LOGITS.clone().requires_grad_()
    loss = loss_of(kind)(logits, targets)
    loss.backward()
    assert torch.isfinite(loss)
    assert logits.grad[1, 1] == 0
    assert (logits.grad[targets == TARGETS] != 0).all()
    other = LOGITS.clone()
    other[1, 1] = 50.0
    assert loss_of(kind)(other, targets).item() == pytest.approx(loss.item())


def test_a_batch_without_any_known_label_gives_zero_and_no_nan():
    logits = LOGITS.clone().requires_grad_()
    loss = loss_of("focal")(logits, torch.full_like(TARGETS, float("nan")))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(LOGITS))


def test_asymmetric_worked_by_hand():
    # p = 0.25. Positive: 0.75 * -ln 0.25 = 1.039721. Negative: 0.2^4 * -ln 0.8 = 0.0016 * 0.223144 = 0.000357.
    logit = torch.full((1, 2), float(np.log(0.25 / 0.75)))
    each = asymmetric(logit, torch.tensor([[1.0, 0.0]]))
    assert each.tolist()[0] == pytest.approx([1.039721, 0.000357], abs=1e-6)


def test_asymmetric_takes_no_notice_of_easy_negatives_and_stays_finite():
    logits = torch.tensor([[-4.0, 60.0, -60.0]], requires_grad=True)
    each = asymmetric(logits, torch.tensor([[0.0, 0.0, 1.0]]))
    each.sum().backward()
    assert each[0, 0] == 0
    assert torch.isfinite(each).all()
    assert torch.isfinite(logits.grad).all()


def test_smoothing_moves_targets_towards_a_half():
    assert torch.allclose(smooth(torch.tensor([0.0, 1.0, 0.5]), 0.2), torch.tensor([0.1, 0.9, 0.5]))


def test_focal_of_an_uncertain_target_is_least_where_the_probability_equals_it():
    logits = torch.linspace(-4, 4, 801)[:, None]
    losses = focal(logits, torch.full_like(logits, 0.7), 2.0)
    assert torch.sigmoid(logits[losses.argmin()]).item() == pytest.approx(0.7, abs=0.01)
