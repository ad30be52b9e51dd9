"""The studies: what phantoms teach, by severity, and whether that carries over to real radiographs."""

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from thorax.datasets.phantom import study, transfer
from thorax.errors import InputError
from thorax.findings import NIH14


def test_weighted_auroc_is_scikit_learn_s():
    rng = np.random.default_rng(0)
    truth = rng.random((200, 3)) < (0.1, 0.5, 0.3)
    scores = rng.standard_normal((200, 3)) + truth
    weights = np.vstack([np.ones(200), rng.integers(0, 4, 200), rng.random(200)])
    areas = transfer.weighted_auroc(scores, truth, weights)
    for row, weight in enumerate(weights):
        for column in range(3):
            expected = roc_auc_score(truth[:, column], scores[:, column], sample_weight=weight)
            assert areas[row, column] == pytest.approx(expected, abs=1e-12)


def test_weighted_auroc_is_nan_where_nothing_can_be_compared():
    areas = transfer.weighted_auroc(np.array([[0.1], [0.2]]), np.array([[True], [True]]), np.ones((1, 2)))
    assert np.isnan(areas).all()


def test_interval_of_an_auroc_holds_what_repetition_gives():
    rng = np.random.default_rng(1)
    well, ill = rng.standard_normal(80), rng.standard_normal(80) + 1
    line = study._with_interval(ill, well, seed=0)
    scores, truth = np.r_[well, ill], np.r_[np.zeros(80), np.ones(80)]
    assert line["value"] == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
    # P(N(1, 1) > N(0, 1)) = Φ(1 / √2) = 0.760, with a standard error of about 0.037 (Hanley & McNeil 1982).
    assert line["low"] < 0.76 < line["high"]
    assert line["high"] - line["low"] == pytest.approx(4 * 0.037, rel=0.35)


def test_folds_never_share_a_patient():
    patients = np.random.default_rng(0).integers(0, 50, 300)
    folds = transfer.deal(patients, 3, seed=1)
    assert set(folds) == {0, 1, 2}
    assert all(len(set(folds[patients == one])) == 1 for one in set(patients))
    assert (folds != transfer.deal(patients, 3, seed=2)).any()


def answers(real: transfer.RealData, gain: float) -> list[dict]:
    """Two seeds of two folds in which the pretrained network's evidence is stronger by a gain."""
    rng = np.random.default_rng(3)
    sides = []
    for seed in range(2):
        fold_of = transfer.deal(real.patients, 2, seed)
        for fold in range(2):
            held = np.flatnonzero(fold_of == fold)
            noise = rng.standard_normal((len(held), 2))
            signal = real.truth[held]
            sides.append({"seed": seed, "held": held, "scratch": noise + signal, "pretrained": noise + gain * signal})
    return sides


@pytest.mark.parametrize(("gain", "sign"), [(2.0, 1), (1.0, 0), (0.3, -1)])
def test_the_difference_and_its_interval_tell_better_from_worse(gain, sign):
    rng = np.random.default_rng(2)
    truth = rng.random((300, 2)) < 0.4
    real = transfer.RealData(np.zeros((300, 1, 1), np.uint8), truth, np.arange(300) // 2, ("Mass", "Edema"))
    found = transfer.compare(real, answers(real, gain), seeds=2)
    line = found["mean"]["difference"]
    assert line["value"] == pytest.approx(found["mean"]["pretrained"] - found["mean"]["scratch"])
    assert line["value"] == pytest.approx(np.mean(found["by_seed"]))
    assert np.sign(line["low"]) == np.sign(line["high"]) == sign
    assert set(found["findings"]) == {"Mass", "Edema"}


def test_a_folder_without_radiographs_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no"):
        transfer.read_real(tmp_path, 32, 1)
    with pytest.raises(InputError, match="ten subjects"):
        study.severity_study(train_subjects=5)


def test_the_plot_shows_every_finding(tmp_path):
    line = [{"value": 0.6, "low": 0.5, "high": 0.7}, {"value": 0.9, "low": 0.8, "high": 1.0}]
    found = {"findings": list(NIH14), "severities": [0.1, 1.0], "auroc": dict.fromkeys(NIH14, line)}
    study.draw_study(found, tmp_path / "plot.png")
    assert Image.open(tmp_path / "plot.png").width > 1000


#: A nodule is four pixels at 64 px and a hernia lies behind the heart: learning them takes more subjects than a test
#: has. `docs/images/phantom-severity.png` shows what 120 subjects give.
_HARD = {"Nodule", "Hernia"}


@pytest.mark.slow
def test_findings_are_learnt_and_the_better_the_more_severe_they_are():
    arguments = {"train_subjects": 40, "test_subjects": 20, "severities": (0.1, 1.0), "size": 64, "workers": 2}
    found = study.severity_study(**arguments, epochs=20)
    for name in set(NIH14) - _HARD:
        faint, plain = (level["value"] for level in found["auroc"][name])
        assert plain > faint or faint > 0.97, (name, faint, plain)
    faint, plain = (np.mean([found["auroc"][name][level]["value"] for name in NIH14]) for level in (0, 1))
    assert plain > faint + 0.1 and plain > 0.7


@pytest.mark.slow
def test_nothing_is_learnt_from_shuffled_labels():
    arguments = {"train_subjects": 20, "test_subjects": 20, "severities": (1.0,), "size": 48, "workers": 2}
    found = study.severity_study(**arguments, epochs=6, shuffled=True)
    assert np.mean([found["auroc"][name][0]["value"] for name in NIH14]) == pytest.approx(0.5, abs=0.07)


@pytest.mark.slow
def test_the_transfer_study_runs_on_data_in_nih_s_layout(tmp_path):
    from safetensors import safe_open

    from thorax.datasets.phantom.generate import make_phantom

    make_phantom(tmp_path / "real", count=60, size=32, findings="Effusion,Cardiomegaly")
    steps = []
    found = transfer.transfer_study(
        tmp_path / "real",
        phantoms=40,
        size=32,
        epochs=1,
        folds=2,
        seeds=1,
        min_positives=10,
        keep=tmp_path / "custom_cnn.safetensors",
        advance=lambda step=1: steps.append(step),
    )
    assert len(steps) == transfer.trainings(2, 1)
    assert set(found["findings"]) == {"Effusion", "Cardiomegaly"}
    assert found["mean"]["difference"]["low"] <= found["mean"]["difference"]["high"]
    with safe_open(tmp_path / "custom_cnn.safetensors", "pt") as file:
        assert file.metadata()["architecture"] == "custom_cnn"
