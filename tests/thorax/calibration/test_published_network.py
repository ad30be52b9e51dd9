"""A published network's probabilities for 22,433 real radiographs: the real thing."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from thorax.calibration.calibrators import logit
from thorax.calibration.choice import choose
from thorax.calibration.conformal import answers, fit_cutoffs
from thorax.calibration.fitting import negative_log_likelihood
from thorax.evaluation.calibration_error import expected_calibration_error

pytestmark = [pytest.mark.real_data, pytest.mark.slow]


@pytest.fixture(scope="module")
def published(real_data: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    predictions = pd.read_csv(real_data / "labels" / "chexnet_predictions.csv.gz")
    table = pd.read_csv(real_data / "labels" / "Data_Entry_2017_v2020.csv.gz").set_index("Image Index")
    table = table.loc[predictions["Image Index"]]
    labels = table["Finding Labels"].str.get_dummies("|")
    findings = [name.removeprefix("prob_") for name in predictions.columns[1:]]
    return predictions.iloc[:, 1:].to_numpy(), labels[findings].to_numpy(float), table["Patient ID"].to_numpy()


def test_calibration_and_conformal_error_reach_what_was_agreed(published) -> None:
    probabilities, truth, patients = published
    names, figures, conformal = np.unique(patients), [], []
    for seed in range(2):
        half = np.isin(patients, np.random.default_rng(seed).permutation(names)[: len(names) // 2])
        for fitted, held in ((half, ~half), (~half, half)):
            chosen = choose(logit(probabilities[fitted]), truth[fitted], patients[fitted])
            after = np.stack(
                [one.calibrator.probabilities(logit(probabilities[held, k])) for k, one in enumerate(chosen)], axis=1
            )
            row = [np.mean([expected_calibration_error(p, y) for p, y in zip(after.T, truth[held].T, strict=True)])]
            for p in (probabilities[held], after):
                row.append(negative_log_likelihood(p, truth[held]).mean())
            figures.append(row)
            errors = []
            for k, one in enumerate(chosen):
                p = one.calibrator.probabilities(logit(probabilities[fitted, k]))
                said = answers(after[:, k], fit_cutoffs(p, truth[fitted, k], 0.1, 0.1))
                errors.append(np.mean(said == np.where(truth[held, k] == 1, "absent", "present")))
            conformal.append(errors)
    ece, nll_raw, nll = np.mean(figures, axis=0)
    assert ece < 0.0062
    assert nll < nll_raw
    often = truth.sum(axis=0) >= 200
    assert np.abs(np.mean(conformal, axis=0)[often] - 0.1).max() < 0.01
