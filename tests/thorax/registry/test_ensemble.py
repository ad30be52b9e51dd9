"""An ensemble of versions: one bundle like any other, registered where it is better than its members."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from thorax.bundle import Bundle, write_bundle
from thorax.errors import GateError, InputError
from thorax.registry import ensemble as ensembles
from thorax.registry.bundles import fetch
from thorax.registry.ensemble import ensemble
from thorax.registry.evidence import collect
from thorax.registry.gates import Gate
from thorax.registry.promotion import promote
from thorax.registry.register import register
from thorax.registry.tracking import client
from thorax.registry.versions import aliases, resolve
from thorax.settings import Settings, load

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(sample_steps: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Path]]:
    """What the steps of three trainings on the same store left: with other filters, and so with other errors."""
    from unittest.mock import patch

    from bundle_factory import _without_figures, write_training

    from thorax.calibration import calibrate
    from thorax.evaluation import evaluate
    from thorax.settings import Calibration, Evaluation

    found = []
    for seed in (1, 5, 9):
        folder = tmp_path_factory.mktemp("member")
        places = {f"{name}_dir": folder / name for name in ("train", "calibration", "evaluation")}
        write_training(places["train_dir"], sample_steps["store_dir"], seed)
        places["calibration_dir"].mkdir()
        calibrate(places["train_dir"], Calibration(), places["calibration_dir"], sample_steps["store_dir"])
        with patch("thorax.evaluation.report.write_report", _without_figures):
            evaluate(
                places["train_dir"],
                places["calibration_dir"],
                sample_steps["store_dir"],
                Evaluation(bootstrap=10),
                places["evaluation_dir"],
                title="Member",
                synthetic=True,
            )
        found.append(places | {"store_dir": sample_steps["store_dir"]})
    return found


@pytest.fixture
def members(
    home: Path, mlflow_template: Callable[[Settings], None], trained: list[dict[str, Path]], tmp_path: Path
) -> Settings:
    """A registry of three versions, each of another training; a small test split makes every gate uncertain."""
    gates = ("min_mean_auroc=0.5", "min_auroc=0.5", "max_ece=1.0", "min_sensitivity=0.0", "conformal_slack=1.0")
    settings = load(home, ["evaluation.bootstrap=60", "evaluation.max_gap=1", *(f"registry.gates.{g}" for g in gates)])
    mlflow_template(settings)
    for number, places in enumerate(trained):
        bundle = write_bundle(tmp_path / f"bundle{number}", lineage={}, **places)
        evidence = collect(places["train_dir"], places["calibration_dir"], places["store_dir"])
        evaluation = json.loads((bundle / "evaluation.json").read_text())
        register(settings, bundle, evaluation, {"split_digest": "s"}, evidence=evidence)
    return settings


@pytest.fixture(autouse=True)
def quick_report(monkeypatch: pytest.MonkeyPatch) -> None:
    from bundle_factory import _without_figures

    monkeypatch.setattr("thorax.evaluation.report.write_report", _without_figures)


def test_it_answers_with_the_mean_of_its_members_and_loads_like_any_other(
    members: Settings, sample_steps: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from thorax.preprocessing.store import ImageStore

    store = ImageStore.open(sample_steps["store_dir"])
    passed = Gate("members", True, 0.01, 0.0, "better")
    monkeypatch.setattr(ensembles, "_better_than_members", lambda *_: passed)
    found = ensemble(members, ["1", "2", "3"], store=sample_steps["store_dir"], reason="three see more than one")
    assert found.version == "4"
    assert "challenger" in found.aliases
    version = resolve(members, "4")
    assert [item["version"] for item in json.loads(version.lineage["members"])] == ["1", "2", "3"]
    assert version.facts["architecture"] == "custom_cnn + custom_cnn + custom_cnn"
    run = client(members).get_run(version.run_id)
    assert run.inputs.dataset_inputs[0].dataset.digest == "0" * 32
    bundle = Bundle.load(fetch(members, "4"))
    images = store.images(store.indices("test")[:9])
    each = [Bundle.load(fetch(members, number)) for number in ("1", "2", "3")]
    mean = np.mean([one.calibration.probabilities(one.run(images)[0]) for one in each], axis=0)
    logits, features, maps = bundle.run(images)
    np.testing.assert_allclose(1 / (1 + np.exp(-logits.astype(np.float64))), mean, atol=1e-5)
    assert features.shape == (9, 36)
    np.testing.assert_allclose(maps.mean(axis=(2, 3)), logits, atol=1e-5)
    assert promote(members, "4").changed
    # As MLflow loads it, by the same bundle.
    import mlflow

    mlflow.set_tracking_uri(members.tracking_uri)
    answers = mlflow.pyfunc.load_model("models:/thorax@champion").predict(images)
    np.testing.assert_allclose(answers["p_Edema"], bundle.calibration.probabilities(logits)[:, 1], atol=1e-4)


def test_one_that_is_no_better_is_not_registered_unless_asked_and_then_not_promoted(
    members: Settings, sample_steps: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = Gate("members", False, -0.001, 0.0, "ensemble − version 2 +0.003, lower bound -0.001")
    monkeypatch.setattr(ensembles, "_better_than_members", lambda *_: failed)
    store = sample_steps["store_dir"]
    with pytest.raises(GateError, match=r"members: -0\.001 "):
        ensemble(members, ["1", "2"], store=store)
    assert aliases(members)["challenger"] == "3"
    found = ensemble(members, ["1", "2"], store=store, anyway=True)
    assert found.version == "4"
    with pytest.raises(GateError, match="members"):
        promote(members, "4")


def test_the_gate_compares_with_the_hardest_member_on_the_same_patients(members: Settings) -> None:
    from dataclasses import replace

    parts = [ensembles._Part(resolve(members, number), Bundle.load(fetch(members, number))) for number in ("1", "2")]
    own = ensembles.evidence_of(members, parts[0].version)
    same = ensembles._better_than_members(members, parts, own)
    assert not same.passed, "a model is not better than itself"
    perfect = replace(own, probabilities=own.truth.copy())
    better = ensembles._better_than_members(members, parts, perfect)
    assert better.passed
    assert better.figure > 0


def test_members_that_do_not_fit_or_a_store_that_is_not_here_are_refused(
    members: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="at least two different"):
        ensemble(members, ["1", "champion"])
    with pytest.raises(InputError, match="not on this machine"):
        ensemble(members, ["1", "2"])
    with pytest.raises(InputError, match="not the image store"):
        ensemble(members, ["1", "2"], store=tmp_path)
    splits = iter(("s", "other", "s"))
    monkeypatch.setattr(ensembles, "_split", lambda part: next(splits))
    with pytest.raises(GateError, match="their split differs"):
        ensemble(members, ["1", "2"])
