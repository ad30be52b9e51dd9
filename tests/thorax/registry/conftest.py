"""Bundles and a registry to try decisions on."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from thorax.registry.evidence import Evidence, collect
from thorax.registry.record import Candidate
from thorax.registry.register import Registered
from thorax.settings import Settings, load


@pytest.fixture(scope="session")
def evaluation(sample_steps: dict[str, Path]) -> dict[str, Any]:
    """The sample's evaluation, with figures that pass every gate."""
    from registry_factory import passing

    return passing(json.loads((sample_steps["evaluation_dir"] / "evaluation.json").read_text()))


@pytest.fixture(scope="session")
def steps(
    sample_steps: dict[str, Path], evaluation: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """What the steps of two trainings left: `train_dir` and `other_dir`, each with learning curves."""
    folder = tmp_path_factory.mktemp("trainings")
    places = {"train_dir": folder / "one", "other_dir": folder / "two", "evaluation_dir": folder / "evaluation"}
    curves = [{"epoch": epoch, "train_loss": 1.0 / (epoch + 1), "validation_auroc": 0.8} for epoch in range(3)]
    for name in ("train_dir", "other_dir"):
        shutil.copytree(sample_steps["train_dir"], places[name])
        (places[name] / "curves.json").write_text(json.dumps(curves))
    shutil.copytree(sample_steps["evaluation_dir"], places["evaluation_dir"])
    (places["evaluation_dir"] / "evaluation.json").write_text(json.dumps(evaluation))
    return sample_steps | places


@pytest.fixture(scope="session")
def bundle(sample_bundle: Path) -> Path:
    """A bundle."""
    return sample_bundle


@pytest.fixture
def settings(home: Path, mlflow_template: Callable[[Settings], None]) -> Settings:
    """Settings of a project of one's own, with an empty registry."""
    found = load(home, ["evaluation.bootstrap=100"])
    mlflow_template(found)
    return found


@pytest.fixture(scope="session")
def evidence(steps: dict[str, Path]) -> Evidence:
    """What the first training's model answered on its test patients."""
    return collect(steps["train_dir"], steps["calibration_dir"], steps["store_dir"])


@pytest.fixture
def registered(
    settings: Settings, bundle: Path, evaluation: dict[str, Any], evidence: Evidence, tmp_path: Path
) -> Callable[..., Registered]:
    """A function that registers another version: the same network, described anew."""
    from registry_factory import add

    count = 0

    def make(mean: float = 0.9) -> Registered:
        nonlocal count
        count += 1
        return add(settings, bundle, evaluation, evidence, tmp_path, count, mean)

    return make


@pytest.fixture
def candidate(steps: dict[str, Path]) -> Candidate:
    """The first training, as the pipeline hands it to the register step."""
    return Candidate("custom_cnn", steps["train_dir"], steps["calibration_dir"], steps["evaluation_dir"])


@pytest.fixture
def other(candidate: Candidate, steps: dict[str, Path]) -> Candidate:
    """The second training."""
    return replace(candidate, architecture="resnet50", network=steps["other_dir"])
