"""Two versions on the images that both have answered: every figure, paired, against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, recall_score, roc_auc_score

from thorax.errors import GateError
from thorax.registry.common import align, compare_all, disagreements
from thorax.registry.evidence import Evidence, digests
from thorax.settings import Evaluation

FINDINGS = ("Edema", "Effusion")
LIMITS = {"Edema": 0.5, "Effusion": 0.4}
SETTINGS = Evaluation(bootstrap=80, min_group=20)


def evidence(seed: int, gain: float, n: int = 200, learnt: range = range(0), start: int = 0) -> Evidence:
    """Answers on `n` images, two a patient; the truth is the same whatever the seed."""
    truth = (np.random.default_rng(0).random((400, 2)) < 0.4).astype(np.float32)[start : start + n]
    logits = gain * (truth - 0.5) + np.random.default_rng(seed).normal(0, 1, truth.shape)
    return Evidence(
        FINDINGS,
        digests(range(start, start + n)),
        digests(i // 2 for i in range(start, start + n)),
        (1 / (1 + np.exp(-logits))).astype(np.float32),
        truth,
        digests(learnt),
        {"sex": np.array(["F", "M"] * (n // 2)), "view": np.array(["PA"] * (n - 5) + ["AP"] * 5)},
    )


def test_every_figure_is_that_of_scikit_learn_and_the_difference_is_theirs() -> None:
    common = align(evidence(1, 2.0), evidence(2, 1.0), (LIMITS, LIMITS))
    found = compare_all(common, SETTINGS)
    assert (found["images"], found["patients"]) == (200, 100)
    for j, name in enumerate(FINDINGS):
        metrics = found["metrics"][name]
        for side, scores in (("one", common.one), ("two", common.two)):
            truth, p = scores.truth[:, j], scores.probabilities[:, j]
            expected = {
                "auroc": roc_auc_score(truth, p),
                "auprc": average_precision_score(truth, p),
                "sensitivity": recall_score(truth, p >= LIMITS[name]),
                "specificity": recall_score(truth, p >= LIMITS[name], pos_label=0),
                "brier": brier_score_loss(truth, p),
            }
            for metric, value in expected.items():
                assert metrics[metric][side]["value"] == pytest.approx(value, abs=1e-6), (name, side, metric)
        for figure in metrics.values():
            assert figure["difference"]["value"] == pytest.approx(figure["one"]["value"] - figure["two"]["value"])
    mean = found["metrics"]["mean"]["auroc"]["difference"]
    assert mean["low"] > 0, "twice the signal on a hundred patients is seen"
    assert mean["value"] == pytest.approx(
        np.mean([found["metrics"][name]["auroc"]["difference"]["value"] for name in FINDINGS])
    )


def test_a_model_beside_itself_differs_by_exactly_nothing_in_every_draw() -> None:
    one = evidence(1, 1.0)
    found = compare_all(align(one, one, (LIMITS, LIMITS)), SETTINGS)
    for metrics in found["metrics"].values():
        for figure in metrics.values():
            assert set(figure["difference"].values()) == {0.0}


def test_only_images_of_both_and_patients_that_neither_learnt_from_count() -> None:
    one, two = evidence(1, 1.0), evidence(2, 1.0, start=100, learnt=range(50, 60))
    common = align(one, two, (LIMITS, LIMITS))
    assert len(common.images) == 100 - 20
    held = {image: at for at, image in enumerate(two.images.tolist())}
    expected = two.probabilities[[held[image] for image in common.images.tolist()]]
    np.testing.assert_array_equal(common.two.probabilities, expected.astype(np.float64))
    with pytest.raises(GateError, match="no test image in common"):
        align(one, evidence(2, 1.0, start=200), (LIMITS, LIMITS))
    with pytest.raises(GateError, match="no test image in common"):
        align(one, evidence(2, 1.0, learnt=range(400)), (LIMITS, LIMITS))


def test_subgroups_are_compared_where_they_are_large_enough() -> None:
    found = compare_all(align(evidence(1, 2.0), evidence(2, 1.0), (LIMITS, LIMITS)), SETTINGS)["subgroups"]
    assert found["sex"]["F"]["images"] == 100
    assert found["sex"]["F"]["auroc"]["difference"]["value"] > 0
    assert found["view"]["AP"] == {"images": 5}


def test_the_sharpest_disagreements_come_first_one_of_an_image_and_a_few_of_a_finding() -> None:
    common = align(evidence(1, 1.0), evidence(2, 1.0), (LIMITS, LIMITS))
    chosen = disagreements(common, most=8, each=5)
    assert len(chosen) == len({row for row, _ in chosen}) == 8
    assert max(sum(column == j for _, column in chosen) for j in range(2)) <= 5
    row, column = chosen[0]
    assert common.one.decisions[row, column] != common.two.decisions[row, column]
    gap = np.abs(common.one.probabilities - common.two.probabilities)
    other = common.one.decisions != common.two.decisions
    assert gap[row, column] == pytest.approx(gap[other].max())
    same = align(evidence(1, 1.0), evidence(1, 1.0), (LIMITS, LIMITS))
    assert disagreements(same) == []
